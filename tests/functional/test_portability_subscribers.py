"""The API for subscribers is the same on all platforms: the same requests have the same answers, effects and log lines.

functions/README.md lists what a platform cannot express.
"""

import asyncio
import http.client
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from functions.subscribe import api as subscribe_api, lambda_handler
from functions.subscribe.credentials import api_key_text, read_api_key
from functions.subscribe.routes import ROUTES
from functions.subscribe.service import Service
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.ledger import LocalLedger
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.store_ports import Documents
from shared.subscribers.directory import API_KEYS, TENANTS, Directory, endpoints_of, messages_of
from shared.subscribers.model import ApiKey
from tests.aws.invoked import Context, url_event
from tests.fakes.subscribe_api import Subscribers
from tests.portability.platforms import Answer, lambda_answer, logged, send_request, serving

KEY: Final = api_key_text("portability0", b"k" * 32)
ODD_IDS: Final = ("", ".", "..", "%2e%2e", "a%2Fb", "a%20b", "%C3%A4", "%00", "x" * 300, "ep_0")
ODD_BODIES: Final = (b"", b"[]", b"{", b"null", b"\xff", b'{"a": 1, "a": 2}', b'{"url": 1e999}', b"[" * 2_000)
ODD_HEADERS: Final = (
    (),
    (("authorization", "Bearer"),),
    (("authorization", "Basic YTpi"),),
    (("authorization", "Bearer hck_portability0_" + "A" * 43),),
    (("authorization", "Bearer hpt_e30.e30"),),
    (("authorization", f"Bearer {KEY}"), ("content-type", "text/plain")),
    (("authorization", f"Bearer {KEY}"), ("if-match", "*"), ("idempotency-key", "x" * 300)),
    (("authorization", f"Bearer {KEY}"), ("content-encoding", "gzip")),
)
Conversation = Generator[Request, Answer, None]
"""Requests, each of which may depend on the answers before."""


def asked(method: str, path: str, body: "Json | bytes" = None, *headers: tuple[str, str]) -> Request:
    """Return a request of the operator's, unless it has an authorization of its own."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [("host", "hooks.example.com"), *headers]
    names = {name for name, _ in headers}
    if "authorization" not in names:
        lines.append(("authorization", f"Bearer {KEY}"))
    if content and "content-type" not in names:
        lines.append(("content-type", "application/json"))
    if content:
        lines.append(("content-length", str(len(content))))
    where, _, query = path.partition("?")
    return Request(method, where, query, tuple(lines), content)


def document(answer: Answer) -> JsonObject:
    found = json.loads(answer.body)
    assert isinstance(found, dict), answer
    return found


def conversation() -> Conversation:
    """An operator and a tenant use every part of the API, rightly and wrongly."""
    for tenant in ("acme", "other"):
        yield asked("PUT", f"/v1/tenants/{tenant}", {"name": tenant.title(), "email": f"ops@{tenant}.example"})
    created = yield asked(
        "POST",
        "/v1/tenants/acme/endpoints",
        {"url": "https://acme.example/in", "types": ["order.*"], "filter": "data.total > `10`", "fields": {"a": "ü"}},
        ("idempotency-key", "once"),
    )
    endpoint = document(created)["id"]
    etag = created.headers["etag"]
    at = f"/v1/tenants/acme/endpoints/{endpoint}"
    yield asked("POST", "/v1/tenants/acme/endpoints", {"url": "https://other.example"}, ("idempotency-key", "once"))
    yield asked("PATCH", at, {"description": "ours"}, ("if-match", '"another"'))
    yield asked("PATCH", at, {"description": "ours"}, ("if-match", etag))
    for url in ("http://acme.example", "https://10.0.0.1/", "https://user:pass@acme.example", "https://[::1]/", "x"):
        yield asked("POST", "/v1/tenants/acme/endpoints", {"url": url})
    yield asked("POST", f"{at}/disable")
    yield asked("POST", f"{at}/enable")
    yield asked("POST", f"{at}/secret/rotate", {})
    yield asked("GET", f"{at}/secret")
    tested = yield asked("POST", f"{at}/test", {"type": "order.paid"})
    delivery = document(tested)["delivery_id"]
    yield asked("GET", f"/v1/tenants/acme/messages/{document(tested)['message_id']}")
    yield asked("GET", f"/v1/tenants/acme/deliveries/{delivery}")
    yield asked("POST", f"/v1/tenants/acme/deliveries/{delivery}/resend")
    for action in ("recover", "replay"):
        yield asked("POST", f"{at}/{action}", {"since": "2020-01-01T00:00:00Z", "dry_run": True})
        yield asked("POST", f"{at}/{action}", {"since": "2020-01-01T00:00:00Z"})
    yield asked("PUT", "/v1/event-types/order.sent", {"description": "Sent", "examples": [{"a": 1}]})
    made = yield asked("POST", "/v1/tenants/acme/portal-tokens", {"capabilities": ["view", "resend"]})
    token = ("authorization", f"Bearer {document(made)['token']}")
    yield asked("GET", "/v1/portal-info", None, token)
    for other in ("acme", "other"):
        yield asked("GET", f"/v1/tenants/{other}/endpoints", None, token)
        yield asked("POST", f"/v1/tenants/{other}/endpoints", {"url": "https://evil.example"}, token)
    for path in (
        "/portal",
        "/portal/",
        "/portal/app.js",
        "/portal/../main.py",
        "/docs",
        "/openapi.json",
        "/",
        "/v1",
        "/x",
    ):
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            yield asked(method, path)
    yield from every_route(
        {"tenant": "acme", "endpoint": str(endpoint), "delivery": str(delivery), "type": "order.paid"}
    )
    yield asked("DELETE", f"/v1/tenants/acme/portal-sessions/{document(made)['session']}")
    yield asked("GET", "/v1/portal-info", None, token)
    yield asked("DELETE", "/v1/tenants/other")


def every_route(params: dict[str, str]) -> Conversation:
    usual = {"message": "m", "session": "s", "key": "0" * 12, **params}
    for route in ROUTES:
        path = route.path
        for name, value in usual.items():
            path = path.replace(f"{{{name}}}", quote(value))
        for headers in ODD_HEADERS:
            yield asked(route.method, path, b"{}", *(headers or (("authorization", ""),)))
        if route.method == "GET":
            for query in ("limit=0", "limit=x", "cursor=x", "limit=2&limit=3", "a=%ff", "state=none"):
                yield asked("GET", f"{path}?{query}")
        elif route.method != "DELETE":
            for body in ODD_BODIES:
                yield asked(route.method, path, body)
        if "{tenant}" in route.path and route.method == "GET":
            for odd in ODD_IDS:
                yield asked("GET", path.replace("acme", odd, 1))
        yield asked("TRACE" if route.method == "GET" else "GET", path)


@dataclass
class Platform:
    """The function on a platform. `api` has its fakes."""

    api: Subscribers
    service: Service
    send: Callable[[Request], Answer]

    def documents(self) -> dict[str, list[tuple[str, str]]]:
        """Return the ids and texts of documents, by partition."""
        partitions = (API_KEYS, TENANTS, "event-types", endpoints_of("acme"), messages_of("acme"))
        return {name: asyncio.run(read_all(self.service.documents, name)) for name in partitions}


async def read_all(documents: Documents, partition: str) -> list[tuple[str, str]]:
    return [(each.id, each.text) for each in await documents.page(partition, 1_000)]


@contextmanager
def behind_http(api: Subscribers, service: Service, ledger: LocalLedger | None = None) -> Iterator[Platform]:
    """Serve the function by the HTTP server of Google Cloud, which `hookchain dev` has too."""

    async def close(_: str) -> None:
        if ledger:
            await ledger.close()

    with serving({"subscribe": lambda head, read: subscribe_api.answer(service, head, read)}, close=close) as ports:
        connection = http.client.HTTPConnection("127.0.0.1", ports["subscribe"])
        try:
            yield Platform(api, service, lambda request: send_request(connection, request))
        finally:
            connection.close()


@contextmanager
def platforms(folder: Path) -> Iterator[tuple[Platform, Platform, Platform]]:
    """Yield Google Cloud, with which the others are compared, Lambda, and this machine with its stores."""
    first, second, third = Subscribers(), Subscribers(), Subscribers()
    ledger, blobs = LocalLedger(folder / "ledger.db"), LocalBlobs(folder / "blobs")
    documents = LocalDocuments(folder / "documents.db", now=third.clock.now)
    local = replace(third.service, directory=Directory(documents), ledger=ledger, blobs=blobs)

    def invoke(request: Request) -> Answer:
        return lambda_answer(lambda_handler.handle(url_event(request), Context(), lambda: second.service))

    with ExitStack() as stack:
        stack.callback(documents.close)
        google = stack.enter_context(behind_http(first, first.service))
        here = stack.enter_context(behind_http(third, local, ledger))
        yield google, Platform(second, second.service, invoke), here


async def keep_key(service: Service) -> None:
    parts = read_api_key(KEY)
    assert parts
    kept = ApiKey(id=parts.id, scopes=("admin",), digests=((parts.digest, None),))
    await service.documents.write(API_KEYS, parts.id, kept.text())


def test_a_request_has_the_same_answer_and_effect_on_all(tmp_path: Path) -> None:
    with platforms(tmp_path) as found:
        for platform in found:
            asyncio.run(keep_key(platform.service))
        talk = conversation()
        request, statuses, count = next(talk), set[int](), 0
        while True:
            seen = []
            for platform in found:
                with logged() as lines:
                    answer = platform.send(request)
                # Whatever a function answers to HEAD, no platform sends its body.
                seen.append((answer._replace(body=b"") if request.method == "HEAD" else answer, lines))
            for other in seen[1:]:
                assert other == seen[0], request
            answer = seen[0][0]
            statuses.add(answer.status)
            count += 1
            try:
                request = talk.send(answer)
            except StopIteration:
                break
        assert count > 500
        assert statuses >= {200, 201, 202, 204, 400, 401, 403, 404, 405, 412, 422}
        assert 503 not in statuses
        first, *others = found
        for each in others:
            assert each.documents() == first.documents()
            assert each.api.bus.sent == first.api.bus.sent
