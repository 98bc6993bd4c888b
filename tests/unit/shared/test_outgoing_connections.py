"""Kept connections of the guarded way out: what is sent on one, what is not, and what happens when it ends."""

import asyncio

import pytest

from shared.errors import Temporary, Unanswered
from shared.outgoing.guarded_fetch import AGE_SECONDS, MAX_IDLE_OF_HOST, UNREPEATABLE_SECONDS, GuardedFetch
from shared.outgoing.http_client import IDLE_SECONDS
from tests.unit.shared.outgoing_worlds import OK, Exchange, serving


async def test_requests_to_one_host_share_a_connection_whose_address_was_checked_once() -> None:
    async with serving() as world:
        assert [await world.send() for _ in range(3)] == [b"ok"] * 3
        await world.send(host="two.example")
    assert world.seen == [(0, "POST")] * 3 + [(1, "POST")]
    assert world.names == ["one.example", "two.example"]


async def test_a_command_that_keeps_no_connection_opens_one_for_each_request() -> None:
    async with serving() as world:
        world.fetch = GuardedFetch(world.resolve, keeps=False)
        assert [await world.send() for _ in range(2)] == [b"ok"] * 2
    assert world.seen == [(0, "POST"), (1, "POST")]


async def test_requests_at_the_same_time_have_their_own_connections_and_few_are_kept() -> None:
    async with serving() as world:
        await asyncio.gather(*(world.send() for _ in range(40)))
        assert len({connection for connection, _ in world.seen}) == 40
        await asyncio.gather(*(world.send() for _ in range(40)))
    assert len({connection for connection, _ in world.seen}) == 80 - MAX_IDLE_OF_HOST


@pytest.mark.parametrize(
    ("method", "may_repeat", "idle", "is_kept"),
    [
        ("POST", True, IDLE_SECONDS, True),
        ("POST", True, IDLE_SECONDS + 1, False),
        ("POST", False, UNREPEATABLE_SECONDS, True),
        ("POST", False, UNREPEATABLE_SECONDS + 1, False),
        ("POST", True, -1, False),
    ],
)
async def test_a_connection_that_was_idle_for_long_is_not_trusted(
    method: str, may_repeat: bool, idle: float, is_kept: bool
) -> None:
    async with serving() as world:
        await world.send()
        world.now += idle
        await world.send(method, may_repeat=may_repeat)
    assert [connection for connection, _ in world.seen] == [0, 0 if is_kept else 1]


async def test_a_name_is_looked_up_again_however_busy_its_connection_is() -> None:
    async with serving() as world:
        for _ in range(5):
            await world.send("GET")
            world.now += AGE_SECONDS / 6
        assert world.names == ["one.example"]
        world.now += AGE_SECONDS / 6
        await world.send("GET")
        world.now += 1
        await world.send("GET")
    assert world.names == ["one.example"] * 2


@pytest.mark.parametrize(("method", "may_repeat"), [("GET", False), ("POST", True)])
async def test_what_may_repeat_is_sent_again_where_a_kept_connection_just_ends(method: str, may_repeat: bool) -> None:
    async def stale(exchange: Exchange) -> None:
        if (exchange.connection, exchange.number) == (0, 1):
            exchange.writer.close()
        else:
            exchange.writer.write(OK)

    async with serving(stale) as world:
        await world.send()
        assert (await world.fetch.fetch(world.request(method, may_repeat=may_repeat))).status == 200
    assert world.seen == [(0, "POST"), (0, method), (1, method)]


async def test_it_is_sent_again_once_and_only_after_a_kept_connection() -> None:
    async def mute(exchange: Exchange) -> None:
        if (exchange.connection, exchange.number) == (0, 0):
            exchange.writer.write(OK)
        else:
            exchange.writer.close()

    async with serving(mute) as world:
        await world.send()
        with pytest.raises(Unanswered):
            await world.send(may_repeat=True)
        assert len(world.seen) == 3
        with pytest.raises(Unanswered):
            await world.send(may_repeat=True)
    assert len(world.seen) == 4


async def test_what_must_not_repeat_is_unanswered_and_sent_once() -> None:
    async def stale(exchange: Exchange) -> None:
        if exchange.number:
            exchange.writer.close()
        else:
            exchange.writer.write(OK)

    async with serving(stale) as world:
        await world.send()
        with pytest.raises(Unanswered):
            await world.send()
    assert world.seen == [(0, "POST"), (0, "POST")]


async def test_an_answer_that_has_begun_is_no_reason_to_send_again() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.writer.write(OK if not exchange.number else OK[:20])
        if exchange.number:
            exchange.writer.close()

    async with serving(half) as world:
        await world.send()
        with pytest.raises(Unanswered):
            await world.send("GET")
    assert len(world.seen) == 2


@pytest.mark.parametrize(
    "more",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"garbage",
    ],
)
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_second_answer_to_one_request_is_the_answer_to_none(more: bytes, is_late: bool) -> None:
    async def twice(exchange: Exchange) -> None:
        exchange.writer.write(OK if is_late else OK + more)
        if is_late:
            await exchange.writer.drain()
            await asyncio.sleep(0.01)
            exchange.writer.write(more)
            await exchange.writer.drain()
        sent.set()

    sent = asyncio.Event()
    async with serving(twice) as world:
        assert await world.send() == b"ok"
        await sent.wait()
        await asyncio.sleep(0.01)
        assert await world.send() == b"ok"
    assert world.seen == [(0, "POST"), (1, "POST")]


@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_that_comes_before_the_body_is_read_is_the_answer(closes: bool) -> None:
    async def early(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        if closes:
            exchange.writer.close()
        else:
            await done.wait()

    done = asyncio.Event()
    async with serving(early) as world:
        fetched = await world.fetch.fetch(world.request()._replace(body=b"x" * 50_000_000))
        assert (fetched.status, fetched.body) == (413, b"big")
        assert not world.fetch._idle._idle
        done.set()


async def test_a_server_that_ends_while_the_body_is_sent_did_not_take_it() -> None:
    async def away(exchange: Exchange) -> None:
        exchange.writer.transport.abort()

    async with serving(away) as world:
        with pytest.raises(Temporary) as error:
            await world.fetch.fetch(world.request()._replace(body=b"x" * 50_000_000))
    assert not isinstance(error.value, Unanswered)


async def test_a_request_that_is_cancelled_takes_its_connection_with_it() -> None:
    async def slow(exchange: Exchange) -> None:
        if (exchange.connection, exchange.number) == (0, 1):
            sending.cancel()
        else:
            exchange.writer.write(OK)

    async with serving(slow) as world:
        await world.send()
        sending = asyncio.create_task(world.send("GET"))
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await world.send("GET") == b"ok"
    assert [connection for connection, _ in world.seen] == [0, 0, 1]


async def test_a_server_says_how_long_it_keeps_a_connection() -> None:
    async def brief(exchange: Exchange) -> None:
        exchange.writer.write(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=10, max=100\r\n\r\n"))

    async with serving(brief) as world:
        for wait in (0, 9, 10):
            world.now += wait
            await world.send("GET")
    assert [connection for connection, _ in world.seen] == [0, 0, 1]
