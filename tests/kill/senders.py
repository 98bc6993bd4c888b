"""Senders that try again until they have their 200, as webhooks' senders do."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

import aiohttp

PATIENCE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Sent:
    accepted: set[int] = field(default_factory=set)
    given_up: set[int] = field(default_factory=set)
    tries: int = 0


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
    while time.monotonic() < give_up_at:
        sent.tries += 1
        try:
            async with session.post(url, json={"event": "kill.test", "id": number}) as answer:
                if answer.status == 200:
                    sent.accepted.add(number)
                    return
        except (aiohttp.ClientError, TimeoutError):
            pass  # not confirmed: it is sent again
        await asyncio.sleep(chance.uniform(0.2, 1.0))
    sent.given_up.add(number)
