"""The rate at which a tenant may make requests that send something: to its endpoints, or to whatever URL it entered."""

from collections.abc import Callable
from functools import cache
from math import ceil
from typing import Final

from functions.subscribe.problems import ApiProblem
from shared.ports import Clock
from shared.store_ports import Grants

MAX_REQUESTS: Final = 60
"""In a minute, and at once after a minute without any."""
INTERVAL_SECONDS: Final = 60 / MAX_REQUESTS
AHEAD_SECONDS: Final = INTERVAL_SECONDS * (MAX_REQUESTS - 1)
"""Requests take slots that far ahead: none waits for its slot, but once these are taken, the next is rejected."""


class RequestRate:
    """`grants` is called at first use. All instances together keep the rate."""

    def __init__(self, grants: Callable[[], Grants], clock: Clock) -> None:
        self._grants = cache(grants)
        self._clock = clock

    async def verify(self, tenant: str) -> None:
        """Count a request of the tenant. Raises ApiProblem (`too_many_requests`), and Temporary."""
        now = self._clock.now()
        bucket = f"api:{tenant}:requests"
        first, _, reserved = await self._grants().reserve(bucket, 1, INTERVAL_SECONDS, now, AHEAD_SECONDS)
        if reserved:
            return
        seconds = max(1, ceil(first - now - AHEAD_SECONDS))
        rule = f"at most {MAX_REQUESTS} requests a minute may verify, test or send again; try again in {seconds} s"
        raise ApiProblem("too_many_requests", rule, retry_after_seconds=seconds)
