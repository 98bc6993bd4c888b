"""Requests with a canary in every secret, header and body: accepted, breaking, rejected, and no HTTP at all."""

import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from shared.jsontext import JsonObject

CANARY: Final = "kanarienvogel"
SECRETS: Final = {
    "FORM_PASSWORD": f"{CANARY}-basic-password",
    "GIT_KEY": f"{CANARY}-hmac-key-0123456789",
    "API_TOKEN": f"{CANARY}-bearer-token",
    "HEADER_PASSWORD": f"{CANARY}-header-password",
    "PATH_TOKEN": f"{CANARY}-path-token",
    "QUERY_TOKEN": f"{CANARY}-query-token",
    "PAY_KEY": "whsec_" + base64.b64encode(f"{CANARY}-signing-key".encode()).decode(),
}
CARD: Final = "4111-1111-1111-1111"
LENGTH: Final = "987654321"
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"


@dataclass(frozen=True, slots=True)
class Post:
    """`expected` is the first digit of its answer's status; 0 for any."""

    path: str
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    expected: int = 2

    def with_headers(self, **headers: str) -> "Post":
        return replace(self, headers={**self.headers, **{name.replace("_", "-"): headers[name] for name in headers}})


EVERY_HEADER: Final = {
    "Accept": CANARY,
    "Cookie": f"session={CANARY}",
    "Content-Type": f"application/json; note={CANARY}",
    "Forwarded": f"for={CANARY}",
    "Hookchain-Hops": CANARY,
    "Host": f"{CANARY}.example.com",
    "Idempotency-Key": CANARY,
    "Referer": f"https://{CANARY}.example.com",
    "Traceparent": f"00-{TRACE}-{SPAN}-01",
    "Tracestate": f"{CANARY}={CANARY}",
    "User-Agent": f"{CANARY}/1.0",
    "Webhook-Id": f"msg_{CANARY}",
    "X-Forwarded-For": CANARY,
    "X-Webhook-Password": f"{CANARY} and wrong",
}


def a_body(event_type: str, **more: str) -> bytes:
    texts = {name: f"{name} {CANARY}" for name in ("id", "who", "when")}
    nested: JsonObject = {f"a {CANARY} key": [CANARY, {"deep": f"<b>{CANARY}</b>"}]}
    return json.dumps({"event": event_type, **texts, **nested, **more}).encode()


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"web:{password}".encode()).decode()


def signed(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRETS["GIT_KEY"].encode(), body, hashlib.sha256).hexdigest()


def standard(body: bytes) -> dict[str, str]:
    at = str(int(time.time()))
    content = f"msg_{CANARY}.{at}.".encode() + body
    digest = hmac.new(f"{CANARY}-signing-key".encode(), content, hashlib.sha256).digest()
    return {"Webhook-Timestamp": at, "Webhook-Signature": "v1," + base64.b64encode(digest).decode()}


def accepted() -> Iterator[Post]:
    body = a_body("canary.sent")
    yield Post("/open", body)
    yield Post("/form", body, {"Authorization": basic(SECRETS["FORM_PASSWORD"])})
    yield Post("/git", body, {"X-Signature": signed(body)})
    yield Post("/api", body, {"Authorization": f"Bearer {SECRETS['API_TOKEN']}"})
    yield Post("/head", body, {"X-Webhook-Password": SECRETS["HEADER_PASSWORD"]})
    yield Post(f"/path/{SECRETS['PATH_TOKEN']}", body)
    yield Post(f"/query?token={SECRETS['QUERY_TOKEN']}&more={CANARY}", body)
    yield Post("/pay", body, standard(body))
    yield Post("/open", f"<event><id>x-{CANARY}</id><who>{CANARY}</who></event>".encode()).with_headers(
        Content_Type="application/xml"
    )
    yield Post("/open", f"id=f&who={CANARY}&{CANARY}=1".encode()).with_headers(
        Content_Type="application/x-www-form-urlencoded"
    )
    yield Post("/open", CANARY.encode()).with_headers(Content_Type=f"text/plain; note={CANARY}")
    for event_type in (f"card {CANARY}", CARD, f"{CANARY}@example.com", f"<{CANARY}>", f"{CANARY}\n{CANARY}"):
        yield Post("/open", a_body(event_type, id=f"{event_type} {CANARY}"))
    yield Post("/open", a_body("upgrade.offered", id=f"h2c {CANARY}")).with_headers(
        Connection="close, Upgrade", Upgrade=f"h2c, {CANARY}", HTTP2_Settings=CANARY
    )
    yield Post("/open", a_body("trace.broken", id=f"trace {CANARY}")).with_headers(Traceparent=f"00-{CANARY}-01")


def breaking() -> Iterator[Post]:
    """Accepted, and dead-lettered afterwards."""
    for number, event_type in enumerate(("step.breaks", "subject.breaks", "where.breaks", "address.breaks")):
        yield Post("/open", a_body(event_type, id=f"{number} {CANARY}", mail=f"{CANARY}@evil.example.net"))


def refused() -> Iterator[Post]:
    body = a_body("canary.refused")
    yield Post("/form", body, {"Authorization": basic(f"{CANARY} wrong")}, expected=4)
    yield Post("/form", body, {"Authorization": f"Basic {CANARY}"}, expected=4)
    yield Post("/git", body, {"X-Signature": f"sha256={CANARY}"}, expected=4)
    yield Post("/git", body + b" ", {"X-Signature": signed(body)}, expected=4)
    yield Post("/api", body, {"Authorization": f"Bearer {CANARY}"}, expected=4)
    yield Post("/head", body, expected=4)
    yield Post(f"/path/{CANARY}", body, expected=4)
    yield Post(f"/query?token={CANARY}", body, expected=4)
    yield Post("/pay", body, {"Webhook-Timestamp": CANARY, "Webhook-Signature": CANARY}, expected=4)
    for path in (f"/{CANARY}", f"/tok%2F{CANARY}", f"/unknown/{CANARY}?{CANARY}", f"/open%2F{CANARY}", f"//{CANARY}"):
        yield Post(path, body, expected=4)
    yield Post(f"/path%2F{SECRETS['PATH_TOKEN']}", body, expected=4)
    yield Post("/open", body, {"Content-Length": LENGTH}, expected=4)
    yield Post("/open", body, method="DELETE", expected=4)
    yield Post("/open", body, {"Content-Encoding": CANARY}, expected=4)
    yield Post("/open", CANARY.encode(), {"Content-Type": f"text/plain; charset={CANARY}"}, expected=4)
    yield Post("/open", CANARY.encode(), {"Content-Encoding": "gzip"}, expected=4)
    yield Post("/open", gzip.compress(CANARY.encode() * 500_000), {"Content-Encoding": "gzip"}, expected=4)
    too_large = json.dumps({"event": "large", "who": CANARY * 1_000}).encode()
    yield Post("/form", too_large, {"Authorization": basic(SECRETS["FORM_PASSWORD"])}, expected=4)


def not_http() -> Iterator[Post]:
    """What the server itself answers."""
    yield Post("/", method=CANARY, expected=4)
    yield Post(f"{CANARY}:443", method="CONNECT", expected=4)
    yield Post(f"/{CANARY} {CANARY}", expected=4)
    yield Post(f"http://[{CANARY}", expected=4)
    yield Post("/", headers={"Content-Length": CANARY}, expected=4)
    yield Post("/", headers={f"{CANARY}\0": CANARY}, expected=4)
    yield Post("/", CANARY.encode(), {"Content-Length": "2", "Transfer-Encoding": "chunked"}, expected=4)
    yield Post(f"/{CANARY}", method="TRACE", expected=4)


def unparsable() -> Iterator[Post]:
    form, multipart = "application/x-www-form-urlencoded", f"multipart/form-data; boundary={CANARY}"
    for content_type, text in (
        ("application/json", '{"who": "CANARY'),
        ("application/json", '{"who": CANARY}'),
        ("application/json", '{"CANARY": 1, "CANARY": 2}'),
        ("application/json", '{"CANARY": ' + "9" * 5_000 + "}"),
        ("application/json", '["CANARY", ' * 1_000),
        ("application/xml", "<CANARY>"),
        ("application/xml", '<!DOCTYPE a [<!ENTITY CANARY "CANARY">]><a>&CANARY;</a>'),
        ("application/xml", "<a>&CANARY;</a>"),
        ("application/yaml", "a: [CANARY"),
        ("application/yaml", "a: !CANARY b"),
        ("application/yaml", "a: *CANARY"),
        ("application/yaml", "CANARY: 1\nCANARY: 2"),
        (form, "&".join(f"CANARY{number}=1" for number in range(5_000))),
        (multipart, "--CANARY\r\nContent-Disposition: CANARY\r\n\r\nCANARY"),
        ("application/x-plist", "<plist><CANARY/></plist>"),
        ("text/csv", 'a,b\n"CANARY'),
    ):
        body = text.replace("CANARY", CANARY).encode()
        yield Post("/open", body, {"Content-Type": content_type}, expected=4)


def pushes() -> Iterator[Post]:
    """To transform and notify, as no bus of ours would."""
    event = base64.b64encode(f'{{"id": "{CANARY}", "type": 7}}'.encode()).decode()
    whole = {"id": "e" * 32, "source": f"/sources/{CANARY}", "type": f"card {CANARY}", "traceparent": f"00-{CANARY}-01"}
    readable = base64.b64encode(json.dumps({**whole, "receivedat": CANARY, "payloadhash": CANARY}).encode()).decode()
    bodies = [CANARY, "{}", '{"message": {"data": "CANARY!"}}', f'{{"message": {{"data": "{event}"}}}}']
    bodies += [f'{{"message": {{"data": "{readable}"}}}}']
    for path in ("/", "/dead-letters", f"/{CANARY}"):
        for body in bodies:
            yield Post(path, body.replace("CANARY", CANARY).encode(), expected=0)
