"""Objects in Cloud Storage and S3, through notify: each once, also where answers are lost.

Cloud Storage is a stand-in that holds each request to Google's own description; S3 is moto's.
"""

import asyncio
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import pytest

from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.guarded_fetch import GuardedFetch
from shared.ports import DELIVERIES
from tests.aws.local_aws import KEYS, boto_client, local_aws
from tests.fakes.notifier import DELIVERY, FakeNotifier, a_delivery
from tests.stand_ins.kind_services import notifier_over
from tests.stand_ins.object_stores import CloudStorage, Losing, StoredObject, google_token

if TYPE_CHECKING:
    from botocore.client import BaseClient

ARCHIVE: Final = "the-archive"
UNKNOWN_SECONDS: Final = 5_000.0
"""Longer than the wait after attempts whose outcome is unknown."""


class Store(Protocol):
    """A service with buckets, of which one is ARCHIVE."""

    way: Losing

    def settings(self, **others: Json) -> JsonObject: ...

    def notifier(self, settings: JsonObject) -> FakeNotifier: ...

    def objects(self) -> dict[str, StoredObject]: ...


@dataclass
class Google:
    storage: CloudStorage = field(default_factory=lambda: CloudStorage({ARCHIVE: {}}))
    way: Losing = field(init=False)

    def __post_init__(self) -> None:
        self.way = Losing(self.storage)

    def settings(self, **others: Json) -> JsonObject:
        return {"bucket": f"gs://{ARCHIVE}", **others}

    def notifier(self, settings: JsonObject) -> FakeNotifier:
        return notifier_over(self.way, CloudIdentity(access_token=google_token), "object", settings, {})

    def objects(self) -> dict[str, StoredObject]:
        return self.storage.buckets[ARCHIVE]


@dataclass
class Amazon:
    endpoint: str
    client: "BaseClient"
    way: Losing = field(default_factory=lambda: Losing(GuardedFetch()))

    def settings(self, **others: Json) -> JsonObject:
        return {
            "bucket": f"s3://{ARCHIVE}",
            "region": "eu-central-1",
            "endpoint": self.endpoint,
            "access_key_id": KEYS.access_key_id,
            "secret": "s3-key",
            "allow_private": True,
            **others,
        }

    def notifier(self, settings: JsonObject) -> FakeNotifier:
        return notifier_over(self.way, CloudIdentity(), "object", settings, {"s3-key": KEYS.secret_access_key})

    def objects(self) -> dict[str, StoredObject]:
        listed = self.client.list_objects_v2(Bucket=ARCHIVE).get("Contents", [])
        found = {each["Key"]: self.client.get_object(Bucket=ARCHIVE, Key=each["Key"]) for each in listed}
        return {
            key: StoredObject(each["Body"].read(), each["ContentType"], each["Metadata"]) for key, each in found.items()
        }


@pytest.fixture(scope="module")
def amazon() -> Iterator[Amazon]:
    with local_aws() as place:
        assert place.endpoint is not None
        yield Amazon(place.endpoint, boto_client(place, "s3"))


@pytest.fixture(params=["google", "amazon"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "google":
        yield Google()
        return
    made: Amazon = request.getfixturevalue("amazon")
    made.way = Losing(GuardedFetch())
    made.client.create_bucket(Bucket=ARCHIVE, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield made
    for key in made.objects():
        made.client.delete_object(Bucket=ARCHIVE, Key=key)
    made.client.delete_bucket(Bucket=ARCHIVE)


async def test_each_of_many_deliveries_is_one_object_with_its_id_and_the_whole_event(store: Store) -> None:
    notify = store.notifier(store.settings(format="ndjson", gzip=True, metadata={"about": "{{ type }} – ü"}))
    await asyncio.gather(*[notify.take(a_delivery(n % 10)) for n in range(30)])

    found = store.objects()
    assert {key.rpartition("/")[2] for key in found} == {f"{a_delivery(n).id}.ndjson.gz" for n in range(10)}
    for key, each in found.items():
        assert each.content_type == "application/gzip"
        assert each.metadata["hookchain-delivery"] in key
        assert each.metadata["about"] in ("signup.created – ü", "signup.created %E2%80%93 %C3%BC")
        assert json.loads(gzip.decompress(each.content))["data"] == {"name": "Ada"}


@pytest.mark.parametrize("key", [None, "all/{{ data.name }}"])
async def test_an_object_whose_answer_was_lost_is_there_once_and_delivered(store: Store, key: str | None) -> None:
    notify = store.notifier(store.settings(key=key))
    store.way.lost = 1
    await notify.take()
    assert (await notify.row()).attempts[-1].outcome == "unknown"

    notify.clock.advance(UNKNOWN_SECONDS)
    await notify.sweep_and_take()

    [before, after] = (await notify.row()).attempts
    assert (before.outcome, after.outcome) == ("unknown", "delivered")
    assert "there already" in after.answer
    [found] = store.objects().values()
    assert found.metadata["hookchain-delivery"] == DELIVERY.id


async def test_another_deliverys_object_is_neither_replaced_nor_taken_for_ones_own(store: Store) -> None:
    notify = store.notifier(store.settings(key="all/{{ data.name }}"))
    await notify.take(a_delivery(1))
    await notify.take(a_delivery(2))

    [found] = store.objects().values()
    assert found.metadata["hookchain-delivery"] == a_delivery(1).id
    [letter] = notify.dead_letters
    assert b"another delivery wrote" in letter.data


async def test_hostile_text_is_the_content_and_the_key_byte_for_byte(store: Store) -> None:
    key = 'Ünï "q" <&> %2F ?#[]+ ~*\'();:@=$,!.json'
    data: JsonObject = {"key": key, "text": "--x\r\n\r\n\x00 <Code>SlowDown</Code> \u2028 👩"}
    notify = store.notifier(store.settings(key="in/{{ data.key }}", value="data"))
    delivery = a_delivery(1)
    delivery.event.data = data
    await notify.take(delivery)

    assert {key: each.content for key, each in store.objects().items()} == {f"in/{key}": to_json(data).encode()}
    assert (await notify.row()).attempts[-1].outcome == "delivered"


async def test_a_bucket_that_is_not_there_holds_the_destination_until_it_is(store: Store) -> None:
    missing = store.settings()
    notify = store.notifier({**missing, "bucket": f"{missing['bucket']}-missing"})
    await notify.take()
    state = await notify.ledger.destination_state("crm")
    assert "correct the bucket" in str(state.disabled_reason)
    assert not notify.bus.on(DELIVERIES)
