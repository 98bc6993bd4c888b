"""Requests to a Lambda Function URL: the event, in payload format 2.0, and the response.

    {"requestContext": {"http": {"method": "POST", "sourceIp": "192.0.2.1"}}, "rawPath": "/github",
     "rawQueryString": "", "headers": {"content-type": "text/plain"}, "body": "hello", "isBase64Encoded": false}

The platform has joined repeated headers with commas and moved the cookies to their own list. A body is in base64 unless
its content type is text. The path and the query are as they were sent.
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from collections.abc import Awaitable, Callable
from typing import Final

from shared import errors, logs, outcomes
from shared.cloud.aws.invocations import in_time
from shared.http import Headers, ReadBody, Reply, Request, body_too_large, problem
from shared.jsontext import Json, JsonObject, base64_text, decode_base64, list_at, mapping_at, value_at

AnswerRequest = Callable[[Request, ReadBody], Awaitable[Reply]]
"""Answers a request. Its arguments are the request without its body, and a function that reads the body."""

OWN_HEADERS: Final = frozenset({"connection", "content-length"})
"""Headers of a reply that the platform writes itself."""
_REJECTED: Final[outcomes.RequestOutcome] = "rejected"
_UNAVAILABLE: Final[outcomes.RequestOutcome] = "unavailable"
_LATE: Final = problem(503, "unavailable", "The event is not confirmed. Send it again later.", ("retry-after", "5"))


async def answer_event(function: str, answer: AnswerRequest, event: JsonObject, deadline: float) -> JsonObject:
    """Answer the request in the event. At `deadline`, a time of the event loop, give up and answer 503.

    Raises ValueError for an event that is not a request.
    """
    try:
        head, body = request_of(event)
    except errors.Rejected as error:
        logs.log("WARNING", _REJECTED, function=function, outcome=_REJECTED, code=error.code, detail=error.detail)
        return response_of(problem(error.status, error.code, error.detail))
    try:
        return response_of(await in_time(answer(head, reader_of(body)), deadline))
    except errors.Temporary as error:
        logs.log(
            "ERROR",
            _UNAVAILABLE,
            function=function,
            outcome=_UNAVAILABLE,
            method=head.method,
            status=_LATE.status,
            code=error.code,
            detail=error.detail,
        )
        return response_of(_LATE)


def request_of(event: JsonObject) -> tuple[Request, bytes]:
    """Return the request without its body, and the body. Raises Rejected, and ValueError for any other event."""
    http = value_at(event, "requestContext", "http")
    if not isinstance(http, dict):
        raise ValueError("requestContext.http: is missing; this function takes requests to its Function URL")
    head = Request(
        method=_text(http.get("method")),
        path=_latin_1(_text(event.get("rawPath"))) or "/",
        query=_latin_1(_text(event.get("rawQueryString"))),
        headers=_headers(event),
        peer=_text(http.get("sourceIp")),
    )
    return head, body_of(event)


def _headers(event: JsonObject) -> Headers:
    lines = mapping_at(event, "headers").items()
    headers = [(name.lower(), _latin_1(_text(value)).strip(" \t")) for name, value in lines]
    cookies = list_at(event, "cookies")
    if cookies and not any(name == "cookie" for name, _ in headers):
        headers.append(("cookie", "; ".join([_latin_1(_text(cookie)) for cookie in cookies])))
    return tuple(headers)


def body_of(event: JsonObject) -> bytes:
    """Return the body. Raises Rejected if it is malformed: whoever may invoke the function can send any event."""
    body = _text(event.get("body"))
    try:
        return decode_base64(body, strict=False) if event.get("isBase64Encoded") else body.encode()
    except ValueError as error:
        rule = "body: must be text, or base64 where isBase64Encoded is true"
        raise errors.Rejected("malformed_body", rule) from error


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _latin_1(text: str) -> str:
    """Return the text with one character for each of its UTF-8 bytes, as the servers of other platforms pass it on."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def reader_of(body: bytes) -> ReadBody:
    async def read_body(max_bytes: int) -> bytes:
        if len(body) > max_bytes:
            raise body_too_large(max_bytes)
        return body

    return read_body


def response_of(reply: Reply) -> JsonObject:
    """Return the response for Lambda. A body that is not UTF-8 is encoded in base64."""
    headers: dict[str, str] = {}
    for name, value in reply.headers:
        if name not in OWN_HEADERS:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    try:
        body, is_encoded = reply.body.decode(), False
    except UnicodeDecodeError:
        body, is_encoded = base64_text(reply.body), True
    return {"statusCode": reply.status, "headers": {**headers}, "body": body, "isBase64Encoded": is_encoded}
