"""The calls that each event makes are answered the same directly and by aiohttp."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.jsontext import JsonObject
from tests.emulation import Emulation

TOPIC = "/v1/projects/p1/topics/events"
PUBLISHED: JsonObject = {"messages": [{"data": "aGk=", "attributes": {"ce-id": "1"}}]}
MAIL: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com"},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}],
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["aGk=", "a@example.com", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["data", "attributes", "x"]), inner),
    max_leaves=6,
)
CHANGED = st.sampled_from([PUBLISHED, MAIL]).flatmap(
    lambda document: st.dictionaries(st.sampled_from([*PUBLISHED, *MAIL, "x"]), VALUES, max_size=1).map(
        lambda changes: json.dumps({**document, **changes}).encode()
    )
)
BODIES = st.binary(max_size=20) | VALUES.map(lambda value: json.dumps(value).encode()) | CHANGED
PATHS = st.sampled_from([f"{TOPIC}:publish", TOPIC, "/v1/projects/p1/topics/none:publish", "/v3/mail/send", "/v3/none"])
AUTHORIZATIONS = st.sampled_from(["", "Bearer SG.x", "bearer x", "Basic eDp5"])


@pytest.fixture(scope="module")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    with Emulation(tmp_path_factory.mktemp("state")).running() as running:
        running.ask("PUT", TOPIC, {})
        yield running


def answer(
    emulation: Emulation, path: str, authorization: str, body: bytes, *more: str
) -> tuple[int, str, bytes, bool]:
    """Return status, content type, body (of a publish, its members) and whether a mail's id is there."""
    head = ["Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}", *more]
    if authorization:
        head.append(f"Authorization: {authorization}")
    with socket.create_connection(("127.0.0.1", emulation.port)) as client:
        client.sendall("\r\n".join([f"POST {path} HTTP/1.1", *head, "", ""]).encode() + body)
        response = http.client.HTTPResponse(client)
        response.begin()
        content = response.read()
        if b"messageIds" in content:
            content = b"%d ids" % len(json.loads(content)["messageIds"])
        content_type = response.headers.get_content_type() if content else ""
        return response.status, content_type, content, bool(response.headers["X-Message-Id"])


@settings(max_examples=150)
@given(PATHS, AUTHORIZATIONS, BODIES)
@pytest.mark.slow
def test_every_call_is_answered_as_by_aiohttp(emulation: Emulation, path: str, authorization: str, body: bytes) -> None:
    by_aiohttp = answer(emulation, path, authorization, body, "Accept-Encoding: identity")
    assert answer(emulation, path, authorization, body) == by_aiohttp


@pytest.mark.parametrize("bus", [{"unavailable": 1.0}, {"unconfirmed": 1.0}])
def test_faults_on_demand_hit_direct_publishes_too(emulation: Emulation, bus: dict[str, float]) -> None:
    body = json.dumps(PUBLISHED).encode()
    emulation.ask("POST", "/emulator/faults", {"bus": {**bus}})
    assert answer(emulation, f"{TOPIC}:publish", "", body)[0] == 503
    emulation.ask("DELETE", "/emulator/faults")
    assert answer(emulation, f"{TOPIC}:publish", "", body)[0] == 200
