"""Senders that try again until they have their 200, as webhooks' senders do."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tests.kill.checker import Post

PATIENCE_SECONDS: Final = 180.0


@dataclass(slots=True)
class Sent:
    """Every request, with its answer."""

    posts: list[Post] = field(default_factory=list)

    @property
    def accepted(self) -> set[int]:
        return {int(post.id) for post in self.posts if post.status == 200}


async def send_all(url: str, headers: dict[str, str], count: int, rate: float, seed: int) -> Sent:
    """`count` events, about `rate` a second, each its own delivery id."""
    sent, chance = Sent(), random.Random(seed)
    gate = asyncio.Semaphore(64)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), headers=headers) as session,
        asyncio.TaskGroup() as senders,
    ):
        for number in range(count):
            await gate.acquire()
            sender = senders.create_task(_send(session, url, number, sent, chance))
            sender.add_done_callback(lambda _: gate.release())
            await asyncio.sleep(chance.expovariate(rate))
    return sent


async def _send(session: aiohttp.ClientSession, url: str, number: int, sent: Sent, chance: random.Random) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    status = None
    while status != 200 and time.monotonic() < give_up_at:
        try:
            async with session.post(url, json={"event": "kill.test", "id": number}) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = None  # not confirmed: it is sent again
        sent.posts.append(Post(str(number), status))
        if status != 200:
            await asyncio.sleep(chance.uniform(0.2, 1.0))
