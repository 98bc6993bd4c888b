"""A replay restarts the expiry of a large body: the delivery that follows may take a whole schedule."""

from deploy.history.replay import restart_blob_expiry
from shared.delivery import Delivery
from shared.event import Event, to_cloudevent
from shared.jsontext import to_json
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.deliveries import message_of

NOW = 1_790_000_000.0


class AgeingBlobs(FakeBlobs):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    async def put(self, name: str, content: bytes) -> None:
        self.written.append(name)
        await super().put(name, content)


def event(dataref: str | None) -> Event:
    return Event("e1", "/sources/web", "order", rfc3339(NOW), "0" * 64, dataref=dataref)


async def test_the_blobs_that_an_event_and_a_delivery_name_are_written_again() -> None:
    blobs = AgeingBlobs()
    blobs.contents = {"e1-a": b"1", "e1-b": b"2", "e1-c": b"3"}
    messages = [to_json(to_cloudevent(event("e1-a"))).encode(), message_of(Delivery(event("e1-b"), "r", "d"), NOW)]
    await restart_blob_expiry([*messages, messages[0]], blobs)
    assert blobs.written == ["e1-a", "e1-b"]
    assert blobs.contents == {"e1-a": b"1", "e1-b": b"2", "e1-c": b"3"}


async def test_what_names_no_blob_or_one_that_is_gone_writes_nothing() -> None:
    blobs = AgeingBlobs()
    gone, plain = (to_json(to_cloudevent(event(each))).encode() for each in ("e1-gone", None))
    await restart_blob_expiry([gone, plain, b'"dataref" in no JSON', b'{"dataref": 17}'], blobs)
    assert blobs.written == []
