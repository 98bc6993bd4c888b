"""How many mails are sent at the same time, and what becomes of those that wait."""

import asyncio

import pytest

from functions.notify.destinations.email.mail import SendLimit
from shared.errors import Temporary


async def test_a_mail_waits_until_another_is_done() -> None:
    limit, done = SendLimit(1), []

    async def send(name: str) -> None:
        async with limit.place(5):
            await asyncio.sleep(0)
            done.append(name)

    await asyncio.gather(send("first"), send("second"))
    assert done == ["first", "second"]


async def test_where_no_place_comes_free_nothing_is_sent() -> None:
    limit = SendLimit(1)
    async with limit.place(5):
        with pytest.raises(Temporary, match="1 mails are being sent"):
            async with limit.place(0.01):
                pytest.fail("it was sent")
    async with limit.place(0.01):
        pass


async def test_what_fails_or_is_cancelled_gives_its_place_back() -> None:
    limit = SendLimit(1)
    with pytest.raises(ZeroDivisionError):
        async with limit.place(5):
            raise ZeroDivisionError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), limit.place(5):
            await asyncio.sleep(5)
    async with limit.place(0.01):
        pass
