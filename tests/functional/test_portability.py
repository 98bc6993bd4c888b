"""The promise of one bundle for both clouds: the same bytes in give the same answers, events, deliveries and log lines.

functions/README.md lists what a platform cannot express.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from shared.http import Request
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, BusMessage
from tests.portability.corpus import Case, Corpus, corpus, on_the_wire, schemes_of, vectors
from tests.portability.platforms import FunctionsFramework, Lambda, Parts, functions_framework

ROUTES: Final = """
sources: {web: {auth: none}}
routes:
  - {name: keep all, from: all, to: archive}
  - {name: change, from: all, where: "data != `null`", steps: [{set: {data: {is: "{{ type }}"}}}], to: [crm, archive]}
  - {name: select, from: all, where: "data.a || data.type", steps: [{drop: [data.a]}], to: crm}
  - {name: filter, from: all, types: [order.*, push], steps: [{filter: {keep: data.paid, reason: not paid}}], to: crm}
  - {name: fail, from: all, where: "data.n == `1`", steps: [{set: {data.n.m: 1}}], to: crm}
chains:
  clean: [{drop: [data.password]}]
  plist: [{convert: {to: plist}}]
  hex: [{encode: {to: hex}}]
destinations:
  archive: {email: {to: [a@example.com], from: b@example.com, subject: x}}
  crm: {email: {to: [a@example.com], from: b@example.com, subject: x}}
"""
SCHEMES: Final = {
    *("none", "basic", "bearer", "header", "query", "path", "token", "link"),
    *("hmac", "digest", "standard-webhooks", "ed25519", "ecdsa", "rsa", "jwt", "aws-sns", "paypal", "contentful"),
}
JUNK: Final = (BusMessage(b"\xff\x00"), BusMessage(b""), BusMessage(b"[]"), BusMessage(b"{}", {"ce-id": "\x00"}))
"""Messages that are none of ours."""


@pytest.fixture(scope="module")
def requests_(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus(tmp_path_factory.mktemp("corpus"))


def routes(folder: Path) -> JsonObject:
    return compile_config(parse_config(ROUTES, "routes.yaml", folder))["transform"]


Both = tuple[FunctionsFramework, Lambda]


@pytest.fixture
def both(requests_: Corpus, tmp_path: Path) -> Iterator[Both]:
    parts = [Parts(requests_.sources, requests_.secrets, routes(tmp_path)) for _ in range(2)]
    with functions_framework(parts[0]) as first:
        yield first, Lambda(parts[1])


def differences(both: Both, cases: list[Case]) -> tuple[list[str], set[int]]:
    """Post each request to both, and return what is not the same, and the statuses of the answers."""
    found: list[str] = []
    statuses: set[int] = set()
    for case in cases:
        request, answers, sent = on_the_wire(case.request), [], []
        for platform in both:
            platform.parts.clock.time = case.now
            count = len(platform.parts.bus.sent)
            answer = platform.post(request)
            sent.append(platform.parts.bus.sent[count:])
            # Whatever a function answers to HEAD, no platform sends its body.
            answers.append(answer._replace(body=b"") if request.method == "HEAD" else answer)
        statuses.add(answers[0].status)
        if answers[0] != answers[1]:
            found.append(f"{case.name}: {answers[0]} is not {answers[1]}")
        if both[0].log != both[1].log:
            found.append(f"{case.name}: {both[0].log} is not {both[1].log}")
        if sent[0] != sent[1]:
            found.append(f"{case.name}: {sent[0]} is not {sent[1]}")
    return found, statuses


def test_the_corpus_has_every_auth_scheme_and_outcome(requests_: Corpus) -> None:
    assert len(requests_.cases) >= 300
    assert set(schemes_of(requests_.sources)) == SCHEMES


def test_a_request_has_the_same_answer_and_events_on_both(both: Both, requests_: Corpus) -> None:
    found, statuses = differences(both, requests_.cases)
    assert not found
    assert statuses >= {200, 202, 400, 401, 403, 404, 405, 413, 415, 422, 503}
    assert len(both[0].parts.bus.on(EVENTS)) > 100


def test_a_genuine_request_has_the_same_answer_and_events_on_both(inputs_folder: Path, tmp_path: Path) -> None:
    found = vectors(inputs_folder)
    parts = [
        Parts(found.sources, found.secrets, routes(tmp_path), found.fetched, are_weak_secrets_allowed=True)
        for _ in range(2)
    ]
    with functions_framework(parts[0]) as first:
        both = first, Lambda(parts[1])
        different, statuses = differences(both, found.cases)
    assert (different, statuses) == ([], {200, 400, 401, 415})
    assert len(parts[0].bus.on(EVENTS)) > len(found.cases) / 3


def test_events_and_deliveries_are_the_same_on_both(both: Both, requests_: Corpus) -> None:
    """All events of the corpus, and messages that are none, on the way to their destinations; then the sweep's."""
    for case in requests_.cases:
        both[1].post(on_the_wire(case.request))
    both[0].parts.bus.sent = [*both[1].parts.bus.sent]
    both[0].parts.blobs.contents = {**both[1].parts.blobs.contents}
    counts = dict.fromkeys((EVENTS, DELIVERIES, DEAD_LETTERS), 0)

    def take_new(topic: str) -> None:
        new = [[*platform.parts.bus.on(topic)[counts[topic] :], *JUNK] for platform in both]
        counts[topic] = len(both[0].parts.bus.on(topic))
        taken = [platform.take(topic, messages) for platform, messages in zip(both, new, strict=True)]
        assert taken[0] == taken[1], topic
        assert both[0].log == both[1].log, topic
        assert_same_state(both)

    for topic in (EVENTS, DELIVERIES, DEAD_LETTERS):
        take_new(topic)
    for platform in both:
        platform.parts.clock.advance(3_600.0)
    assert both[0].sweep() == both[1].sweep() > 0
    assert both[0].log == both[1].log
    take_new(DELIVERIES)
    take_new(DEAD_LETTERS)
    assert {row.state for row in both[0].parts.rows} >= {"delivered", "retry_scheduled", "dead_lettered"}
    assert min(counts.values()) > 100


DIFFERENT: Final = {
    "lines of one header": Request("POST", "/kept", "", (("x-event", "one"), ("x-event", "two")), b"{}"),
    "a header's bytes that are no UTF-8": Request("POST", "/kept", "", (("x-name", "\xe9"),), b"{}"),
    "a URL that the HTTP server does not read": Request("POST", "/open", "a=" + "x" * 70_000, (), b"{}"),
    "a file for browsers": Request("GET", "/robots.txt"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_a_platform_cannot_express_is_what_differs(both: Both, what: str) -> None:
    """So that the list in functions/README.md is neither too short nor too long."""
    found, _ = differences(both, [Case(what, DIFFERENT[what])])
    assert found


def assert_same_state(both: Both) -> None:
    parts, others = (platform.parts for platform in both)
    assert [name for name, _ in parts.bus.sent] == [name for name, _ in others.bus.sent]
    for (_, message), (_, other) in zip(parts.bus.sent, others.bus.sent, strict=True):
        assert (message.data, names_of(message)) == (other.data, names_of(other))
    assert parts.blobs.contents == others.blobs.contents
    assert parts.journal.entries == others.journal.entries
    assert parts.destination.attempts == others.destination.attempts
    assert parts.rows == others.rows


def names_of(message: BusMessage) -> Mapping[str, str]:
    """Return the message's attributes without the random fence of a delivery that is due."""
    return {**message.attributes, "due": ""}


@pytest.mark.parametrize("name", ["clean", "plist", "hex", "nowhere"])
def test_a_named_chain_gives_the_same_document_on_both(both: Both, name: str) -> None:
    bodies = [
        ("application/json", b'{"a": 1, "password": "x"}'),
        ("text/plain", b"\xff\x00"),
        ("application/xml", b"<"),
    ]
    for content_type, body in bodies:
        answers = [platform.ask_chain(name, content_type, body) for platform in both]
        assert answers[0] == answers[1]
        assert both[0].log == both[1].log
