"""A Lambda Function URL: a request as an event in payload format 2.0, and the handler's result as a response.

Header lines of one name are joined with commas, cookies are apart. The path and the query are as they were sent. A body
is text where its content type says so and its bytes are UTF-8, else base64.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import base64
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from shared.jsontext import Json, JsonObject, from_json, to_json

DOMAIN: Final = "local.lambda-url.localhost"
ACCOUNT: Final = "anonymous"
TEXT_TYPES: Final = frozenset({"application/json", "application/javascript", "application/xml"})
TOO_LARGE: Final = b'{"Message":"Request must be smaller than 6291556 bytes for the InvokeFunction operation"}'
JSON_TYPE: Final = ("content-type", "application/json")

Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def event_of(method: str, target: str, header_pairs: Pairs, body: bytes, peer: str) -> JsonObject:
    """Return the event of a request. `target` is the path and the query as they were sent."""
    path, _, query = target.partition("?")
    headers, cookies = _headers(header_pairs)
    text = _text(body, headers.get("content-type", ""))
    now = time.time()
    event: JsonObject = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(headers),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": DOMAIN.partition(".")[0],
            "domainName": DOMAIN,
            "domainPrefix": DOMAIN.partition(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": peer,
                "userAgent": headers.get("user-agent"),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(body) and text is None,
    }
    if cookies:
        event["cookies"] = [*cookies]
    if parameters := _parameters(query):
        event["queryStringParameters"] = dict(parameters)
    if body:
        event["body"] = base64.b64encode(body).decode("ascii") if text is None else text
    return event


def response_of(result: bytes) -> HttpResponse:
    """Return the response that the handler's result, in JSON, stands for. Without `statusCode` it is the body itself.

    Raises ValueError for a result that Lambda answers with 502.
    """
    document: Json = from_json(result)
    if not isinstance(document, dict) or "statusCode" not in document:
        return HttpResponse(200, (JSON_TYPE,), document.encode() if isinstance(document, str) else result)
    status = int(str(document["statusCode"]))
    if not 200 <= status <= 599:
        raise ValueError(f"statusCode: must be from 200 to 599; got {status}")
    written, cookies, body = document.get("headers"), document.get("cookies"), document.get("body") or ""
    named = {name.lower(): str(value) for name, value in written.items()} if isinstance(written, dict) else {}
    headers = [*named.items(), *(() if "content-type" in named else (JSON_TYPE,))]
    headers += [("set-cookie", str(each)) for each in cookies] if isinstance(cookies, list) else []
    text = body if isinstance(body, str) else to_json(body)
    content = base64.b64decode(text) if document.get("isBase64Encoded") is True else text.encode()
    return HttpResponse(status, tuple(headers), content)


def _headers(pairs: Pairs) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers, cookies


def _text(body: bytes, content_type: str) -> str | None:
    """Return None for a body that travels in base64."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type.startswith("text/") and media_type not in TEXT_TYPES:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters
