"""How many messages go into one request to Pub/Sub, which takes at most 1,000 and 10 MB."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, strategies as st

from shared.cloud.gcp.pubsub import PubSubBus, publish_body
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.retries import PASSING_STATUSES
from shared.errors import Temporary
from shared.ports import BusMessage


@asynccontextmanager
async def bus(
    *answers: int,
) -> AsyncIterator[tuple[PubSubBus, list[int]]]:
    """A bus, and how many messages each request had; the last of `answers`, HTTP statuses, is repeated."""
    counts: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                counts.append(len(json.loads(await reader.readexactly(length))["messages"]))
                status = answers[min(len(counts), len(answers)) - 1] if answers else 200
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the bus has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=2**24)
    made = PubSubBus(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "p", "", no_authorization)
    try:
        yield made, counts
    finally:
        made.close()
        server.close()


texts = st.text(st.characters(exclude_categories=["Cs"]))
messages = st.builds(BusMessage, st.binary(), st.dictionaries(texts, texts, max_size=3))


@given(st.lists(st.lists(messages, max_size=3), max_size=3))
def test_a_request_is_the_compact_json_of_all_its_messages(groups: list[list[BusMessage]]) -> None:
    document = {
        "messages": [
            {"data": base64.b64encode(message.data).decode(), "attributes": message.attributes}
            for group in groups
            for message in group
        ]
    }
    expected = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    assert publish_body(groups) == expected


async def test_messages_of_mixed_sizes_go_together_up_to_the_bytes_or_the_number_that_a_request_takes() -> None:
    large, small = BusMessage(b"x" * 2_900_000), BusMessage(b"x")
    async with bus() as (made, counts):
        await made.publish("events", [large, *[small] * 600, large, large])
    assert sorted(counts, reverse=True) == [500, 102, 1]


async def test_a_batch_of_which_one_request_is_rejected_is_not_confirmed() -> None:
    async with bus(403) as (made, _):
        with pytest.raises(Temporary, match=r"answered 403 .* lacks roles/pubsub\.publisher"):
            await made.publish("events", [BusMessage(b"x")] * 1_200)


@pytest.mark.usefixtures("quick_back_off")
@pytest.mark.parametrize("status", sorted(PASSING_STATUSES))
async def test_what_is_rejected_for_a_moment_is_sent_again(status: int) -> None:
    """A sender that is told 503 may never send again."""
    async with bus(status, status, 200) as (made, counts):
        await made.publish("events", [BusMessage(b"x")])
    assert counts == [1, 1, 1]


@pytest.mark.usefixtures("quick_back_off")
@pytest.mark.parametrize(("status", "times"), [(503, 3), (400, 1), (401, 1), (404, 1)])
async def test_what_goes_on_being_rejected_is_not_confirmed(status: int, times: int) -> None:
    async with bus(status) as (made, counts):
        with pytest.raises(Temporary, match=f"Pub/Sub answered {status}"):
            await made.publish("events", [BusMessage(b"x")])
    assert counts == [1] * times
