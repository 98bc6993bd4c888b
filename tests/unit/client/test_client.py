"""The package for applications: sending, subscribers, and formats."""

import base64
import inspect
import json
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final, get_type_hints, is_typeddict
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, strategies as st

from deploy.client.hookchain import subscribers_types
from deploy.client.hookchain.auth import Auth, Basic, Bearer, Hmac, Password, StandardWebhooks
from deploy.client.hookchain.formats import as_json, encode_body
from deploy.client.hookchain.http import NoResponse, Response
from deploy.client.hookchain.sending import send
from deploy.client.hookchain.subscribers import Attempts, Subscribers, SubscribersError
from deploy.client.hookchain.subscribers_api import Headers
from shared.jsontext import Json, JsonObject, list_at
from shared.signatures.standard_webhooks import verify_standard
from tests.fakes.receiver import http_answer, receiver
from tests.running.processes import ROOT
from tests.unit.shared.hmac_verification import verify_hmac

ACCEPTED = http_answer(200, b'{"id":"3f2a9c"}')
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHSK = f"whsk_{base64.b64encode(bytes(32)).decode()}"
NOW = 1_790_000_000.0


def test_an_accepted_event_is_named_as_the_receiver_names_it() -> None:
    with receiver(ACCEPTED) as hook:
        outcome = send(hook.url, {"event": "signup.created", "n": 1.5, "list": (1, 2)})
    assert outcome.ok
    assert (outcome.status, outcome.event_id, outcome.code) == (200, "3f2a9c", None)
    assert outcome.message == "accepted as event 3f2a9c"
    assert json.loads(hook.bodies[0]) == {"event": "signup.created", "n": 1.5, "list": [1, 2]}
    assert hook.header("content-type") == "application/json"


def test_a_secret_alone_is_a_password_but_a_signing_key_never_leaves() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {}, secret="correct horse battery")
        assert hook.header("x-webhook-password") == "correct horse battery"
        for number, key in enumerate((WHSEC, f"v1,{WHSEC}", WHSK), 1):
            send(hook.url, {}, secret=key, now=NOW)
            assert "webhook-signature" in hook.heads[number].lower()
            assert key.partition("_")[2] not in hook.heads[number]


@pytest.mark.parametrize(
    ("auth", "secret", "header", "value"),
    [
        (Password("X-Token"), "pass word", "x-token", "pass word"),
        (Basic("web"), "pässword", "authorization", "Basic d2ViOnDDpHNzd29yZA=="),
        (Bearer(), "token", "authorization", "Bearer token"),
    ],
)
def test_a_secret_is_sent_in_the_header_of_its_scheme(auth: Auth, secret: str, header: str, value: str) -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {}, secret=secret, auth=auth)
    assert hook.header(header) == value


def test_a_signature_is_over_the_bytes_that_are_sent() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {"a": "ü"}, secret="key", auth=Hmac("X-Sig", "sha512", "base64", "v="), extra={"b": 2})
        verify_hmac(hook.header("x-sig"), hook.bodies[0], ["key"], "sha512", "base64", "v=")
        send(hook.url, {"a": 1}, secret=WHSEC, auth=StandardWebhooks(), delivery_id="msg_1", now=NOW)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    webhook_id, timestamp, signature = (hook.header(name) for name in names)
    verify_standard(
        webhook_id=webhook_id, timestamp=timestamp, signatures=signature, body=hook.bodies[1], secrets=[WHSEC], now=NOW
    )
    assert webhook_id == "msg_1"


def test_a_header_of_the_caller_replaces_the_one_that_send_makes() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {}, headers={"content-type": "application/vnd.shop+json", "X-Shop": "1"})
    names = [line.partition(":")[0].lower() for line in hook.heads[0].split("\r\n")[1:]]
    assert (names.count("content-type"), hook.header("content-type")) == (1, "application/vnd.shop+json")
    assert hook.header("x-shop") == "1"


def test_extra_fields_stand_at_the_top_of_the_body_in_every_format() -> None:
    with receiver(ACCEPTED) as hook:
        for form in ("json", "xml", "yaml", "form"):
            send(hook.url, {"a": "1"}, format=form, extra={"env": "staging"})
    json_body, xml_body, yaml_body, form_body = (body.decode() for body in hook.bodies)
    assert json_body == '{"a":"1","env":"staging"}'
    assert xml_body.endswith("<event><a>1</a><env>staging</env></event>\n")
    assert yaml_body == "a: '1'\nenv: staging\n"
    assert form_body == "a=1&env=staging"


UNKNOWN = "it may or may not have arrived"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "code", "message"),
    [
        (http_answer(401, b'{"code":"signature_mismatch"}'), 401, "signature_mismatch",
         "rejected: the signature does not match (401 signature_mismatch)"),
        (http_answer(422, b'{"code":"deep","title":"deeper than 64."}'), 422, "deep",
         "rejected: deeper than 64 (422 deep)"),
        (http_answer(418, b'{"code":"\\u001b[31mred"}'), 418, "[31mred",
         "rejected: the receiver gives no reason (418 [31mred)"),
        (http_answer(503, b'{"code":"busy"}'), 503, "busy",
         f"not confirmed: {UNKNOWN}; send it again later (503 busy)"),
        (http_answer(301), 301, "http", "rejected: the receiver redirects to another URL; send to that one (301)"),
        (http_answer(304), 304, "http", "rejected: the receiver gives no reason (304)"),
        (b"SSH-2.0-OpenSSH_9\r\n", None, "not_http", f"the response is not HTTP: {UNKNOWN}"),
        (b"", None, "cut", f"the connection closed before a response: {UNKNOWN}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc", 200, None, "accepted (200)"),
        (EARLY_HINTS + http_answer(200, b"{}"), 200, None, "accepted (200)"),
    ],
)  # fmt: skip
def test_the_outcome_is_that_of_the_final_response(
    answer: bytes, status: int | None, code: str | None, message: str
) -> None:
    with receiver(answer) as hook:
        outcome = send(hook.url, {})
    assert (outcome.ok, outcome.status, outcome.code, outcome.message) == (code is None, status, code, message)


def test_the_time_limit_holds_for_an_answer_that_drips() -> None:
    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"H")
            time.sleep(0.02)

    with receiver(drip) as hook:
        outcome = send(hook.url, {}, timeout_seconds=0.2)
    assert outcome.code == "timeout"
    assert outcome.message == "no response within 0.2 s: it may or may not have arrived"


def test_a_rejection_before_the_whole_body_was_read_is_still_seen() -> None:
    def refuse_early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(http_answer(413, b'{"code":"body_too_large"}'))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1_000_000):
            pass

    with receiver(refuse_early) as hook:
        outcome = send(hook.url, b"x" * 3_000_000)
    assert outcome.message == "rejected: the body is too large (413 body_too_large)"


def test_an_untrusted_certificate_stops_it_before_anything_is_sent(tmp_path: Path) -> None:
    seen: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))

    def greet(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            seen.append(secure.recv(1000))

    with receiver(greet) as hook:
        outcome = send(f"https://{hook.address}/", {"a": 1}, timeout_seconds=5)
    assert outcome.code == "untrusted"
    assert outcome.message == "not sent: the receiver's certificate is not trusted: self-signed certificate"
    assert not any(seen)


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(*form) + pem)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "https://straße.example/shop"},
        {"url": "ftp://example.com/"},
        {"url": "http://"},
        {"url": "http://user:canary@example.com/"},
        {"url": "http://example.com\\@evil.test/"},
        {"url": "http://example.com/\r\nX: y"},
        {"url": "http://a..b/"},
        {"auth": Bearer()},
        {"secret": "canary\r\nX: y"},
        {"secret": "canary", "auth": Basic("a:b")},
        {"secret": "canary", "auth": Hmac("X-Sig", prefix="\r\n")},
        {"secret": "whsec_canary!"},
        {"headers": {"X": "canary\n"}},
        {"delivery_id": "a.b"},
        {"timeout_seconds": float("nan")},
        {"format": "protobuf"},
        {"secret": ""},
        {"secret": "canary", "auth": Hmac("X-Sig", algorithm="crc32")},
        {"headers": {"Host": "example.com"}},
    ],
)
def test_a_call_that_cannot_be_meant_is_rejected_without_repeating_a_secret(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        send(**{"url": "http://127.0.0.1:1/", "data": {}, **arguments})  # type: ignore[arg-type] # wrong on purpose
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("format", ["json", "xml", "yaml", "form"])
def test_data_that_contains_itself_or_is_very_deep_is_rejected(format: str) -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for arguments in ({"data": {"a": cycle}}, {"data": deep}, {"data": {}, "extra": {"a": cycle}}):
        with pytest.raises(ValueError, match="must not contain itself"):
            send("http://127.0.0.1:1/", format=format, **arguments)
    with pytest.raises(ValueError, match="must not contain itself"):
        World(TENANT).client().put_event_type("a", schema=deep)  # type: ignore[arg-type] # a deep object


def test_it_is_imported_without_any_installed_package(root: Path) -> None:
    path = f"import sys; sys.path.insert(0, {str(root / 'deploy' / 'client')!r})"
    script = f"{path}; from hookchain import send; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert not {"yaml", "pydantic", "urllib3", "google", "jinja2"} & set(done.stdout.split())


API: Final = json.loads((ROOT / "functions" / "subscribe" / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS: Final = API["components"]["schemas"]
TYPES: Final = [each for each in vars(subscribers_types).values() if is_typeddict(each)]
SAMPLES: Final = {
    "str": "x",
    "int": 60,
    "bool": True,
    "Sequence": ["x"],
    "Mapping": {"a": "x"},
    "Auth": {"kind": "bearer"},
}


def operations() -> Iterator[tuple[str, str, JsonObject]]:
    for path, item in API["paths"].items():
        for method in ("get", "put", "post", "patch", "delete"):
            if method in item:
                yield method.upper(), path, {**item[method], "parameters": parameters(item) + parameters(item[method])}


def parameters(holder: JsonObject) -> list[Json]:
    return list_at(holder.get("parameters", []))


OPERATIONS: Final = {str(each["operationId"]): (method, path, each) for method, path, each in operations()}


def names_of(operation: JsonObject) -> set[str]:
    """The arguments that an operation has, as the client names them."""
    names = {str(each["name"]) for each in parameters(operation) if isinstance(each, dict)}
    for header, argument in (("Idempotency-Key", "idempotency_key"), ("If-Match", "if_match")):
        if header in names:
            names = names - {header} | {argument}
    body = operation.get("requestBody")
    if isinstance(body, dict):
        reference = body["content"]["application/json"]["schema"]["$ref"]  # type: ignore[index,call-overload]
        names |= set(SCHEMAS[str(reference).rpartition("/")[2]].get("properties", {}))
    return names


def test_the_client_has_each_operation_of_the_api_and_no_other() -> None:
    public = {name for name in dir(Subscribers) if not name.startswith("_")}
    assert public == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_takes_what_its_operation_does_and_requests_it(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    signature = inspect.signature(getattr(Subscribers, name))
    taken = [each for each in signature.parameters if each != "self"]
    assert set(taken) == names_of(operation)
    world = World(Response(200, b'{"items": [], "next": null}'))
    values = {each: sample(str(signature.parameters[each].annotation)) for each in taken}
    got = getattr(world.client(), name)(**values)
    if got is not None and "Listing" in str(signature.return_annotation):
        assert list(got) == []
    request = world.requests[0]
    expected = "^" + re.sub(r"{\w+}", "x", path) + "$"
    assert (request.method, bool(re.match(expected, request.path.partition("?")[0]))) == (method, True)
    sent = set(json.loads(request.body)) if request.body else set()
    queried = {each.partition("=")[0] for each in request.path.partition("?")[2].split("&") if each}
    in_path = set(re.findall(r"{(\w+)}", path))
    assert sent | queried | in_path == set(taken) - {"idempotency_key", "if_match"}
    assert ("Idempotency-Key" in request.headers) is ("idempotency_key" in taken)
    assert ("If-Match" in request.headers) is ("if_match" in taken)


@pytest.mark.parametrize("declared", TYPES, ids=lambda declared: declared.__name__)
def test_a_type_has_the_fields_of_its_schema(declared: type) -> None:
    name = declared.__name__
    [schema, *_] = [SCHEMAS[each] for each in (f"{name}View", f"{name}Created", name) if each in SCHEMAS]
    assert set(get_type_hints(declared)) - {"etag"} == set(schema["properties"])


def sample(annotation: str) -> object:
    return next((value for kind, value in SAMPLES.items() if re.search(rf"\b{kind}\b", annotation)), "x")


class Sent:
    def __init__(self, method: str, path: str, headers: Headers, body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, dict(headers), body


class World:
    """An API that gives these answers, the last one again and again."""

    def __init__(self, *answers: Response | NoResponse) -> None:
        self.answers = list(answers)
        self.requests: list[Sent] = []
        self.waits: list[float] = []

    def send(self, method: str, path: str, headers: Headers, body: bytes) -> Response | NoResponse:
        self.requests.append(Sent(method, path, headers, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def client(self) -> Subscribers:
        attempts = Attempts(sleep=self.waits.append)
        return Subscribers("http://localhost", "hck_a_b", transport=self.send, attempts=attempts)


TENANT: Final = Response(200, b'{"id": "acme", "name": ""}')


def problem(status: int, code: str, *headers: tuple[str, str], errors: Json = None) -> Response:
    document = {"title": "x", "status": status, "code": code, "detail": "what is wrong", "errors": errors or []}
    return Response(status, json.dumps(document).encode(), headers)


def test_a_list_is_read_page_by_page() -> None:
    pages = [
        Response(200, json.dumps({"items": [{"id": name}], "next": next_}).encode())
        for name, next_ in (("a", "c&1"), ("b", None))
    ]
    world = World(*pages)
    listing = world.client().list_tenants(limit=1)
    assert [each["id"] for each in listing] == ["a", "b"]
    assert [each.path for each in world.requests] == ["/v1/tenants?limit=1", "/v1/tenants?limit=1&cursor=c%261"]


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        *(
            (502, body, "the API gives no reason")
            for body in (b"", b"<html>", b"[]", b'{"errors": [1]}', b"[" * 100_000)
        ),
        (200, b"null", "got NoneType"),
        (200, b"[1]", "got list"),
        (200, b"{}", r"got an object with the fields \[\]"),
        (200, b'{"items": {}, "next": null}', r"fields \['items', 'next'\]"),
        (200, b'{"items": []}', r"fields \['items'\]"),
        (200, b'{"items": [], "next": 1}', r"fields \['items', 'next'\]"),
    ],
)
def test_an_answer_that_is_not_of_the_api_is_an_exception_that_says_what_it_is(
    status: int, body: bytes, found: str
) -> None:
    calls: list[Callable[[Subscribers], object]] = [lambda client: list(client.list_tenants())]
    if status != 200 or body[:1] != b"{":  # any object may be a tenant
        calls.append(lambda client: client.get_tenant("acme"))
    for call in calls:
        with pytest.raises(SubscribersError, match=found) as raised:
            call(World(Response(status, body)).client())
        assert (raised.value.status, raised.value.code) == (status, "http")


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ],
)
def test_an_answer_that_ends_before_its_end_is_asked_for_again(part: bytes) -> None:
    attempts = Attempts(sleep=lambda _: None)
    with receiver(part, http_answer(200, b'{"id": "acme"}')) as hook:
        assert Subscribers(hook.url, "hck_a_b", attempts=attempts).get_tenant("acme")["id"] == "acme"
    with receiver(part) as hook:
        with pytest.raises(SubscribersError, match="before the whole answer") as raised:
            Subscribers(hook.url, "hck_a_b", attempts=attempts).get_tenant("acme")
        assert (raised.value.code, len(hook.heads)) == ("cut", 4)
    with receiver(part.replace(b"200 OK", b"404 Not Found")) as hook:
        with pytest.raises(SubscribersError) as raised:
            Subscribers(hook.url, "hck_a_b", attempts=attempts).get_tenant("acme")
        assert (raised.value.status, len(hook.heads)) == (404, 1)


def test_a_request_is_made_again_as_the_answer_says_with_the_same_idempotency_key() -> None:
    unavailable = problem(503, "unavailable", ("retry-after", "5"))
    world = World(
        unavailable, problem(429, "too_many"), problem(409, "request_in_progress", ("retry-after", "1")), TENANT
    )
    world.client().create_token("acme")
    assert world.waits == [5.0, 1.0, 1.0]
    assert len({each.headers["Idempotency-Key"] for each in world.requests}) == 1
    assert len(world.requests) == 4


def test_a_request_ends_with_the_last_problem() -> None:
    world = World(problem(503, "unavailable"))
    with pytest.raises(SubscribersError, match="unavailable"):
        world.client().get_tenant("acme")
    assert len(world.requests) == 4
    long = World(problem(503, "unavailable", ("retry-after", "3600")))
    with pytest.raises(SubscribersError, match="unavailable"):
        long.client().get_tenant("acme")
    assert long.waits == []


def test_an_answer_that_is_lost_is_asked_for_again_unless_that_could_hide_a_change() -> None:
    world = World(NoResponse("timeout"), NoResponse("cut"), TENANT)
    assert world.client().get_tenant("acme")["id"] == "acme"
    for lost, status, code in ((NoResponse("cut"), None, "cut"), (problem(503, "unavailable"), 503, "unavailable")):
        with pytest.raises(SubscribersError) as raised:
            World(lost, TENANT).client().change_endpoint("acme", "ep_1", url="https://x.example", if_match='"1"')
        assert (raised.value.status, raised.value.code) == (status, code)
    untrusted = World(NoResponse("untrusted", "self-signed"))
    with pytest.raises(SubscribersError, match="self-signed"):
        untrusted.client().get_tenant("acme")
    assert len(untrusted.requests) == 1


def test_what_an_attempt_without_an_answer_deleted_is_deleted() -> None:
    World(NoResponse("cut"), problem(404, "not_found")).client().delete_tenant("acme")
    with pytest.raises(SubscribersError, match="not_found"):
        World(problem(404, "not_found")).client().delete_tenant("acme")


@pytest.mark.parametrize(
    ("url", "token", "id_", "fault"),
    [
        ("ftp://x", "hck_a", "acme", "URL"),
        *(("http://x", token, "acme", "token") for token in ("a\nb", "", "ä")),
        *(("http://x", "hck_a", id_, "an id must not be") for id_ in ("", ".", "..")),
    ],
)
def test_a_url_a_token_or_an_id_that_cannot_be_used_is_rejected(url: str, token: str, id_: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Subscribers(url, token, transport=None).delete_tenant(id_)


def test_over_http_the_key_and_the_etag_are_in_headers() -> None:
    answer = b'HTTP/1.1 200 OK\r\nETag: "7"\r\nContent-Length: 13\r\n\r\n{"id": "ep"}\n'
    with receiver(answer) as hook:
        endpoint = Subscribers(hook.url.rstrip("/"), "hck_a_b").get_endpoint("acme", "ep")
    assert endpoint["etag"] == '"7"'
    assert hook.header("authorization") == "Bearer hck_a_b"
    with receiver(http_answer(204)) as hook:
        Subscribers(hook.url, "hck_a_b").delete_tenant("acme")
    assert hook.heads[0].startswith("DELETE /")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_what_is_written_as_xml_is_read_back_or_was_rejected(fields: dict[str, str]) -> None:
    try:
        written = encode_body(dict(fields), "xml")[0]
    except ValueError:
        return
    element = ElementTree.fromstring(written)
    found = {child.tag: child.text or "" for child in element}
    found |= {f"@{name}": value for name, value in element.attrib.items()}
    if "#text" in fields:
        found["#text"] = fields["#text"]
    assert found == fields


@given(values)
def test_what_is_written_as_yaml_is_read_back_or_was_rejected(value: Json) -> None:
    try:
        written = encode_body(value, "yaml")[0]
    except UnicodeEncodeError:
        return
    assert yaml.safe_load(written) == value


def test_a_form_is_flat_and_repeats_a_field_for_a_list() -> None:
    written, _ = encode_body({"a": "x y&z", "b": [1, 2.5], "c": None, "d": False}, "form")
    pairs = [("a", "x y&z"), ("b", "1"), ("b", "2.5"), ("c", ""), ("d", "false")]
    assert parse_qsl(written.decode(), keep_blank_values=True) == pairs


@pytest.mark.parametrize(
    ("value", "form", "fault"),
    [
        *(
            ({name: 1}, "xml", "not a name for an XML el")
            for name in ("a><script>", "1a", "", "a b", "a:b", "-a", "@a b")
        ),
        ({"a": "\x00"}, "xml", "control character"),
        ({"a": {"b": 1}}, "form", "field 'a' has a nested dict"),
        (float("nan"), "json", "JSON compliant"),
        ({"a": HTTPStatus.OK}, "yaml", r"must hold only what YAML can; got HTTPStatus$"),  # and not the value
    ],
)
def test_a_value_that_a_format_cannot_hold_is_rejected(value: Json, form: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        encode_body(value, form)


def test_data_that_json_cannot_hold_is_rejected() -> None:
    with pytest.raises(ValueError, match="got set"):
        as_json({"a": {1}})
    with pytest.raises(ValueError, match="name must be a string; got int"):
        as_json({1: "a"})
