"""The promise of one bundle for all platforms: the same bytes in, the same answers, events, deliveries and log lines.

functions/README.md lists what a platform cannot express.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from shared.http import Request
from shared.jsontext import JsonObject
from shared.ledger import LedgerRow
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, TOPIC_NAMES, BusMessage
from tests.in_process.signed_samples import NOW
from tests.portability.corpus import Case, Corpus, corpus, on_the_wire, schemes_of, vectors
from tests.portability.local_pipe import LocalPipe, local_pipe
from tests.portability.parts import Faked, Kept, Parts
from tests.portability.platforms import Lambda, Platform, functions_framework
from tests.portability.sending import DESTINATIONS, NAMES, FetchFromReceivers, Received, Receivers, receivers

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
SENDING: Final = f"""
sources: {{web: {{auth: none}}}}
routes: [{{name: send, from: all, to: [{", ".join(NAMES)}]}}]
destinations:
{DESTINATIONS}
"""
SOME: Final = 12
"""Of so many requests of the corpus, one is sent on to destinations."""
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


CLOUDS: Final = 2
ALL: Final = 3

Platforms = Sequence[Platform]
"""functions-framework first, with which the others are compared."""


@contextmanager
def running(folder: Path, make_parts: Callable[[Kept], Parts]) -> Iterator[Platforms]:
    with functions_framework(make_parts(Faked())) as first, local_pipe(folder, make_parts) as local:
        yield first, Lambda(make_parts(Faked())), local


@pytest.fixture
def platforms(requests_: Corpus, tmp_path: Path) -> Iterator[Platforms]:
    def make_parts(kept: Kept) -> Parts:
        return Parts(requests_.sources, requests_.secrets, routes(tmp_path), kept=kept)

    with running(tmp_path / "state", make_parts) as found:
        yield found


def differences(platforms: Platforms, cases: list[Case]) -> tuple[list[str], set[int]]:
    """Post each request to all, and return what is not the same, and the statuses of the answers."""
    found: list[str] = []
    statuses: set[int] = set()
    counts = [len(platform.parts.kept.sent()) for platform in platforms]
    for case in cases:
        request, seen = on_the_wire(case.request), []
        for platform in platforms:
            platform.parts.clock.time = case.now
            answer = platform.post(request)
            # Whatever a function answers to HEAD, no platform sends its body.
            seen.append((answer._replace(body=b"") if request.method == "HEAD" else answer, platform.log))
        statuses.add(seen[0][0].status)
        found += [f"{case.name}: {seen[0]} is not {other}" for other in seen[1:] if other != seen[0]]
    sent = [platform.parts.kept.sent()[count:] for platform, count in zip(platforms, counts, strict=True)]
    for others in sent[1:]:
        found += [f"{one} is not {other}" for one, other in zip_longest(sent[0], others) if one != other]
    return found, statuses


def test_the_corpus_has_every_auth_scheme_and_outcome(requests_: Corpus) -> None:
    assert len(requests_.cases) >= 300
    assert set(schemes_of(requests_.sources)) == SCHEMES


def test_a_request_has_the_same_answer_and_events_on_all(platforms: Platforms, requests_: Corpus) -> None:
    found, statuses = differences(platforms, requests_.cases)
    assert not found
    assert statuses >= {200, 202, 400, 401, 403, 404, 405, 413, 415, 422, 503}
    assert len(platforms[0].parts.sent_on(EVENTS)) > 100
    assert_same_state(platforms)


@pytest.mark.slow
def test_a_genuine_request_has_the_same_answer_and_events_on_all(inputs_folder: Path, tmp_path: Path) -> None:
    corpus = vectors(inputs_folder)

    def make_parts(kept: Kept) -> Parts:
        return Parts(corpus.sources, corpus.secrets, routes(tmp_path), corpus.fetched, True, kept)

    with running(tmp_path / "state", make_parts) as platforms:
        found, statuses = differences(platforms, corpus.cases)
        assert len(platforms[0].parts.sent_on(EVENTS)) > len(corpus.cases) / 3
    assert (found, statuses) == ([], {200, 400, 401, 415})


@pytest.mark.slow
def test_events_and_deliveries_are_the_same_on_all(platforms: Platforms, requests_: Corpus) -> None:
    """All events of the corpus, and messages that are none, on the way to their destinations; then the sweep's."""
    for case in requests_.cases:
        for platform in platforms:
            platform.post(on_the_wire(case.request))
    *others, last = platforms
    counts = dict.fromkeys(TOPIC_NAMES, 0)

    def take_new(topic: str) -> None:
        new = [[*platform.parts.sent_on(topic)[counts[topic] :], *JUNK] for platform in platforms]
        counts[topic] += len(new[0]) - len(JUNK)
        acknowledged = last.take(topic, new.pop())
        for platform, messages in zip(others, new, strict=True):
            if isinstance(last, LocalPipe):  # whose bus names the messages itself
                platform.message_ids = iter(last.taken_ids)
            assert platform.take(topic, messages) == acknowledged, topic
            assert platform.log == last.log, topic
        assert_same_state(platforms)

    for topic in TOPIC_NAMES:
        take_new(topic)
    for platform in platforms:
        platform.parts.clock.advance(3_600.0)
    swept = [platform.sweep() for platform in platforms]
    assert swept == [swept[0]] * len(platforms)
    assert swept[0] > 0
    assert [platform.log for platform in platforms] == [platforms[0].log] * len(platforms)
    take_new(DELIVERIES)
    take_new(DEAD_LETTERS)
    assert {row.state for row in platforms[0].parts.kept.rows()} >= {"delivered", "retry_scheduled", "dead_lettered"}
    assert min(counts.values()) > 100


@pytest.mark.slow
def test_a_destination_gets_the_same_requests_on_all(requests_: Corpus, tmp_path: Path) -> None:
    """Their signatures, too: the time is that of the fake clock. Among them are retries, and what a breaker and a cap
    defer."""
    slices = compile_config(parse_config(SENDING, "sending.yaml", tmp_path))
    with receivers() as stand_in:
        ways = [FetchFromReceivers(stand_in.url) for _ in range(ALL)]
        unused = iter(ways)

        def make_parts(kept: Kept) -> Parts:
            sources, secrets = requests_.sources, requests_.secrets
            return Parts(
                sources, secrets, slices["transform"], kept=kept, sending=slices["notify"], way_out=next(unused)
            )

        with running(tmp_path / "state", make_parts) as platforms:
            received = [_delivered(platform, requests_, stand_in) for platform in platforms]
            asked = [way.asked for way in ways]
            assert_same_state(platforms)
    assert [each for each in received if each != received[0]] == []
    assert [each for each in asked if each != asked[0]] == []
    requests, log = received[0]
    hosts = {urlsplit(each.url).netloc for each in asked[0]}
    assert hosts == {each.line.split("/")[1] for each in requests}
    assert len(hosts) == len(NAMES)
    assert len(requests) > 80
    assert {line.get("outcome") for line in log} >= {"delivered", "retry_scheduled", "deferred", "dead_lettered"}


def _delivered(platform: Platform, requests_: Corpus, stand_in: Receivers) -> tuple[list[Received], list[JsonObject]]:
    """Send some events of the corpus through the platform. Return what the receivers got, and notify's log."""
    for case in (*requests_.cases[::SOME], *(case for case in requests_.cases if "beside the bus" in case.name)):
        platform.parts.clock.time = NOW
        platform.post(on_the_wire(case.request))
    platform.take(EVENTS, platform.parts.sent_on(EVENTS))
    log: list[JsonObject] = []
    done = 0
    for _ in range(3):
        new = platform.parts.sent_on(DELIVERIES)[done:]
        done += len(new)
        for message in new:  # one at a time: what comes together on Lambda is under way before a breaker opens
            platform.take(DELIVERIES, [message])
            log += platform.log
        platform.parts.clock.advance(3_600.0)
        platform.sweep()
    return stand_in.new(), log


DIFFERENT: Final = {
    "lines of one header": Request("POST", "/kept", "", (("x-event", "one"), ("x-event", "two")), b"{}"),
    "a header's bytes that are no UTF-8": Request("POST", "/kept", "", (("x-name", "\xe9"),), b"{}"),
    "a URL that the HTTP server does not read": Request("POST", "/open", "a=" + "x" * 70_000, (), b"{}"),
    "a file for browsers": Request("GET", "/robots.txt"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", DIFFERENT)
def test_what_lambda_cannot_express_is_what_differs(requests_: Corpus, tmp_path: Path, what: str) -> None:
    """So that the list in functions/README.md is neither too short nor too long."""
    parts = [Parts(requests_.sources, requests_.secrets, routes(tmp_path)) for _ in range(CLOUDS)]
    with functions_framework(parts[0]) as first:
        found, _ = differences([first, Lambda(parts[1])], [Case(what, DIFFERENT[what])])
    assert found


@pytest.mark.slow
def test_the_local_pipe_expresses_all_that_google_cloud_does(platforms: Platforms) -> None:
    first, _, local = platforms
    found, _ = differences([first, local], [Case(what, request) for what, request in DIFFERENT.items()])
    assert not found


def assert_same_state(platforms: Platforms) -> None:
    states = [platform.parts for platform in platforms]
    parts, kept, sent = states[0], states[0].kept, states[0].kept.sent()
    for other in states[1:]:
        others = other.kept.sent()
        assert [name for name, _ in others] == [name for name, _ in sent]
        for (_, message), (_, one) in zip(sent, others, strict=True):
            assert (one.data, names_of(one)) == (message.data, names_of(message))
        assert other.kept.bodies() == kept.bodies()
        assert other.kept.entries() == kept.entries()
        assert other.destination.attempts == parts.destination.attempts
        assert [unfenced(row) for row in other.kept.rows()] == [unfenced(row) for row in kept.rows()]


def unfenced(row: LedgerRow) -> LedgerRow:
    """Return the row without its fence, which is random."""
    return row._replace(fence=0)


def names_of(message: BusMessage) -> Mapping[str, str]:
    """Return the message's attributes without the random fence of a delivery that is due."""
    return {**message.attributes, "due": ""}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clean", "plist", "hex", "nowhere"])
def test_a_named_chain_gives_the_same_document_on_all(platforms: Platforms, name: str) -> None:
    bodies = [
        ("application/json", b'{"a": 1, "password": "x"}'),
        ("text/plain", b"\xff\x00"),
        ("application/xml", b"<"),
    ]
    for content_type, body in bodies:
        seen = [(platform.ask_chain(name, content_type, body), platform.log) for platform in platforms]
        assert seen == [seen[0]] * len(platforms)
