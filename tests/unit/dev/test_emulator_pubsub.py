"""The emulated Pub/Sub, without a socket or a clock: deliveries, resources, its file, and who may speak to it."""

import asyncio
import base64
import contextlib
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from deploy.config.local_ports import ports_from
from deploy.dev.faults import FaultPlan
from deploy.dev.local_server import is_local, owner_in
from deploy.dev.pubsub import resources
from deploy.dev.pubsub.broker import PubSub
from deploy.dev.pubsub.messages import Message, dead_letter, draft_of, drafts_from, kept_back_seconds, push_body
from deploy.dev.pubsub.store import Changes, Store, read_waiting
from deploy.dev.pubsub.subscriber import Backlog, PendingDelivery, PushClient, Subscriber, retry_delay
from deploy.dev.pubsub.topology import local_topology, topology
from shared.cloud.gcp.pubsub import DELAY
from shared.jsontext import Json, JsonObject
from shared.push import parse_push

SUBSCRIPTION = "projects/p1/subscriptions/to-transform"
TOPIC = "projects/p1/topics/events"


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (7, 32.0), (8, 60.0), (10_000, 60.0)])
def test_the_wait_doubles_from_the_minimum_to_the_maximum(failures: int, seconds: float) -> None:
    policy = resources.RetryPolicy.model_validate({"minimumBackoff": "0.500s", "maximumBackoff": "60s"})
    assert retry_delay(policy, failures) == seconds


def test_the_sources_take_turns_so_that_a_flood_of_one_delays_no_other() -> None:
    backlog = Backlog()
    sources = ["loud"] * 1_000 + ["quiet"] * 2 + ["loud"] * 2
    for number, source in enumerate(sources):
        backlog.add(PendingDelivery(Message(number, TOPIC, "", {"ce-source": source}, 0.0)))
    order = [pending.message.id for _ in sources if (pending := backlog.take(0.0))]
    assert order[:5] == [0, 1_000, 1, 1_001, 2]
    assert sorted(order) == list(range(1_004))
    assert backlog.take(0.0) is None


@pytest.mark.parametrize(
    ("delay", "now", "seconds"),
    [
        ("60.0", 10_000.0, 60.0),
        ("60.0", 10_059.0, 1.0),
        ("60.0", 10_060.0, 0.0),
        ("60.0", 10_000.0 - 3_600, 60.0),  # the clock was set back by an hour
        ("99999.0", 10_000.0, 900.0),
        ("nan", 10_000.0, 0.0),
        ("soon", 10_000.0, 0.0),
    ],
)
def test_a_message_is_kept_back_for_its_delay_at_most(delay: str, now: float, seconds: float) -> None:
    kept = Message(7, TOPIC, "", {DELAY: delay}, published_at=10_000.0)
    assert kept_back_seconds(kept, now) == seconds


def test_a_dead_letter_is_not_kept_back_again() -> None:
    content = json.dumps({"data": "aGk=", "attributes": {DELAY: "60.0", "n": "7"}})[1:-1]
    given_up = Message(7, TOPIC, content, {DELAY: "60.0", "n": "7"}, published_at=10_000.0)
    attributes = dead_letter(given_up, SUBSCRIPTION, 5).attributes
    assert attributes["n"] == "7"
    assert DELAY not in attributes


@given(
    st.binary(min_size=1, max_size=50), st.dictionaries(st.text(min_size=1), st.text(), max_size=3), st.integers(1, 100)
)
def test_our_own_functions_read_every_push(data: bytes, attributes: dict[str, str], attempt: int) -> None:
    draft = draft_of(base64.b64encode(data).decode(), attributes)
    message = Message(7, TOPIC, draft.content, draft.attributes, 0.0)
    try:
        body = push_body(message, SUBSCRIPTION, attempt)
    except UnicodeEncodeError:  # half of a surrogate pair, which the API refuses at the door
        return
    push = parse_push(body)
    assert (push.data, push.attributes, push.message_id) == (data, attributes, "7")
    document = json.loads(body)
    assert (document["deliveryAttempt"], document["subscription"]) == (attempt, SUBSCRIPTION)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"data": "not base64!"},
        {"data": "aGk=", "attributes": {"googclient": "x"}},
        {"data": "aGk=", "attributes": {"k": "x" * 1025}},
        "aGk=",
    ],
)
def test_a_message_that_google_rejects_is_rejected(message: object) -> None:
    with pytest.raises(resources.ApiError, match="INVALID_ARGUMENT"):
        drafts_from(json.dumps({"messages": [message]}).encode())


class FailedPushes:
    """A recorder of the pushes that failed, where nothing else may happen."""

    def __init__(self) -> None:
        self.failed_ids: list[int] = []

    def acknowledged(self, subscriber: Subscriber, message: Message) -> None:
        raise AssertionError(message)

    def failed(self, subscriber: Subscriber, pending: PendingDelivery) -> None:
        self.failed_ids.append(pending.message.id)

    def dead_lettered(self, subscriber: Subscriber, pending: PendingDelivery) -> None:
        raise AssertionError(pending)


class BrokenClient(PushClient):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def push(self, target: resources.PushTarget, body: bytes, timeout_seconds: float) -> bool:
        raise self._error


async def test_a_push_that_ends_in_an_unknown_error_is_logged_and_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    pushes = FailedPushes()
    config = resources.subscription_from(
        SUBSCRIPTION, {"topic": TOPIC, "pushConfig": {"pushEndpoint": "http://127.0.0.1:9/"}}
    )
    subscriber = Subscriber(1, config, pushes, BrokenClient(ValueError("a body")), FaultPlan())
    subscriber.offer(message(7))
    subscriber.wake()
    deadline = time.monotonic() + 5
    while len(pushes.failed_ids) < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    await subscriber.stop(grace_seconds=0)
    assert pushes.failed_ids[:2] == [7, 7]
    output = capsys.readouterr().out
    assert "message 7: ValueError" in output
    assert "a body" not in output


# Resources, and what the API rejects


def subscription(**settings: Json) -> JsonObject:
    return resources.subscription_from(SUBSCRIPTION, {"topic": TOPIC, **settings}).resource


def rejection(**settings: Json) -> str:
    with pytest.raises(resources.ApiError) as caught:
        subscription(**settings)
    return str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"ackDeadlineSeconds": 601},
        {"messageRetentionDuration": "599s"},
        {"retryPolicy": {"minimumBackoff": "601s"}},
        {"retryPolicy": {"minimumBackoff": "60s", "maximumBackoff": "1s"}},
        {"deadLetterPolicy": {"deadLetterTopic": "projects/p1/topics/dead", "maxDeliveryAttempts": 101}},
        {"deadLetterPolicy": {"maxDeliveryAttempts": 5}},
        {"filter": 'hasPrefix(attributes.a, "b")'},
        {"pushConfig": {"pushEndpoint": "https://example.com/"}},
        {"pushConfig": {"pushEndpoint": "http://localhost/ HTTP/1.1"}},
    ],
)
def test_what_google_rejects_is_an_invalid_argument(settings: JsonObject) -> None:
    assert rejection(**settings).startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize("member", ["enableMessageOrdering", "unheardOf"])
def test_what_is_not_emulated_is_rejected_by_name_and_never_ignored(member: str) -> None:
    assert f"UNIMPLEMENTED: this emulator does not have a subscription's {member}" in rejection(**{member: True})
    assert member not in subscription(**{member: False})
    with pytest.raises(resources.ApiError, match=f"UNIMPLEMENTED: this emulator does not have a topic's {member}"):
        resources.topic_from(TOPIC, {member: True})


@pytest.mark.parametrize(
    "text", ["attributes:kind", 'attributes.a = "b" OR attributes.c = "d"', 'attributes.a = "b" AND']
)
def test_the_rest_of_the_filter_language_is_rejected_in_plain_words(text: str) -> None:
    with pytest.raises(resources.ApiError, match="takes equality of attributes"):
        resources.parse_filter(text)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_body_is_an_object_or_rejected(body: bytes) -> None:
    with contextlib.suppress(resources.ApiError):
        assert isinstance(resources.parse_object(body), dict)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": 1' + b"0" * 5000 + b"}"])
def test_json_that_could_not_be_returned_is_rejected(body: bytes) -> None:
    with pytest.raises(resources.ApiError, match="INVALID_ARGUMENT"):
        resources.parse_object(body)


# The file of the bus


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def message(number: int, published_at: float = 0.0) -> Message:
    return Message(number, TOPIC, f'"data":"aGk=","attributes":{{"n":"{number}"}}', {"n": str(number)}, published_at)


def owed(store: Store, subscription: int) -> list[tuple[int, int]]:
    """Message ids and failed deliveries."""
    return [(kept.id, failures) for kept, failures in store.backlog(subscription)]


def publish(store: Store, *published: Message, to: tuple[int, ...] = (1,)) -> None:
    pairs = [(subscription, each.id) for each in published for subscription in to]
    store.write(Changes(messages=list(published), unacknowledged=pairs))


async def test_a_clock_that_jumps_by_years_before_a_start_expires_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_topic(TOPIC, "{}")
    number = store.add_subscription("projects/p1/subscriptions/reader", f'{{"topic":"{TOPIC}"}}')
    publish(store, message(1, time.time() - 5 * 365 * 86_400), to=(number,))
    store.close()
    pubsub = PubSub(tmp_path)
    pubsub.start()
    await pubsub.stop()
    assert [each.due for each in read_waiting(tmp_path, time.time())] == [1]


@pytest.mark.parametrize(
    ("now", "waiting"),
    [(1_000.0, (1, 1, 990.0)), (1_030.0, (2, 0, 960.0)), (500.0, (1, 1, 990.0)), (9_000.0, (2, 0, 960.0))],
)
def test_a_message_that_is_kept_back_does_not_count_as_waiting(
    tmp_path: Path, now: float, waiting: tuple[int, int, float]
) -> None:
    store = Store(tmp_path)
    number = store.add_subscription("projects/p1/subscriptions/reader", f'{{"topic":"{TOPIC}"}}')
    later = draft_of("aGk=", {DELAY: "60.000"})
    kept_back = Message(2, TOPIC, later.content, later.attributes, 960.0)
    publish(store, message(1, 990.0), kept_back, to=(number,))
    store.close()
    assert read_waiting(tmp_path, now) == [("reader", *waiting)]


async def test_the_topology_is_laid_once_and_brought_up_to_date_without_sources_that_are_gone(tmp_path: Path) -> None:
    bus: JsonObject = {"kind": "pubsub", "pubsub": "orders", "name": "bus-orders"}
    before = local_topology(ports_from(8080), {"sources": {"orders": {"bus": bus}}})
    for wanted in (before, local_topology(ports_from(9080), {})):
        pubsub = PubSub(tmp_path, wanted)
        pubsub.plan.is_paused = True
        pubsub.start()
        subscribers = pubsub.broker.subscribers
        found = {**pubsub.broker.topics, **{name: each.config.resource for name, each in subscribers.items()}}
        assert all(settings.items() <= found[name].items() for name, settings in wanted)
        assert {*subscribers} == {name for name, _ in wanted if "/subscriptions/" in name}
        await pubsub.stop()


@pytest.mark.parametrize(("days", "count"), [(30, 1), (32, 0)])
async def test_our_own_subscriptions_keep_a_message_for_31_days_and_its_end_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int, count: int
) -> None:
    [own] = [each for each in topology("p1", "", 1, 2) if each.name.endswith("/transform-events")]
    store = Store(tmp_path)
    store.put_topic(TOPIC, "{}")
    number = store.add_subscription(own.name, json.dumps(own.settings))
    publish(store, message(1, time.time() - days * 86_400), to=(number,))
    store.close()
    pubsub = PubSub(tmp_path)
    pubsub.plan.is_paused = True
    pubsub.start()
    await pubsub.stop()
    assert [each.due for each in read_waiting(tmp_path, time.time())] == [count]
    assert ("not acknowledged within their retention" in capsys.readouterr().out) == (count == 0)


def is_synced(database: sqlite3.Connection) -> bool:
    """Return whether the last commit waited for the disk: SQLite's `synchronous` was FULL."""
    return bool(database.execute("PRAGMA synchronous").fetchone() == (2,))


def test_a_message_is_on_the_disk_before_it_is_confirmed_and_an_acknowledgement_need_not_be(store: Store) -> None:
    publish(store, message(1))
    assert is_synced(store.db)
    store.write(Changes(done=[(1, 1)]))
    assert not is_synced(store.db)
    store.write(Changes(done=[(1, 1)]), Changes(messages=[message(2)]))
    assert is_synced(store.db)


def test_what_an_earlier_version_kept_for_a_seek_does_not_come_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, message(1), message(2))
    store.db.executescript("ALTER TABLE owed ADD COLUMN acked INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = 0")
    store.db.execute("UPDATE owed SET acked = 1 WHERE message = 1")
    store.close()
    with closing(Store(tmp_path)) as upgraded:
        assert owed(upgraded, 1) == [(2, 0)]


# The topology of a local bundle

MAPPED = "0000000000000000FFFF0000"


@pytest.mark.parametrize(
    "url",
    [
        "//127.0.0.1.evil.example",
        "//127.0.0.1:80.evil.example",
        "null",
        "",
        "//0.0.0.0",
        "http://localhost.evil.example",
        "//[",
    ],
)
def test_no_other_name_is_local(url: str) -> None:
    assert not is_local(url)


@pytest.mark.parametrize(
    ("row", "owner"),
    [
        ("0100007F:D431 0100007F:1F95 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 x", 1000),
        ("0100007F:D431 0100007F:1F95 06 00000000:00000000 00:00000000 00000000     0        0 0 3 x", None),
        ("0100007F:1F95 0100007F:D431 01 00000000:00000000 00:00000000 00000000     7        0 4712 1 x", None),
        (f"{MAPPED}0100007F:D431 {MAPPED}0100007F:1F95 01 0:0 0:0 0  1000  0 4711 1 x", 1000),
    ],
    ids=["held", "closed", "our own end", "over an IPv6 socket"],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the rows are a little-endian machine's")
def test_a_connections_owner_is_who_holds_its_clients_end(row: str, owner: int | None) -> None:
    assert owner_in([f"  1: {row}"], ("127.0.0.1", 54_321), ("127.0.0.1", 8_085)) == owner
