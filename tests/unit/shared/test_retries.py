"""The retries of the clouds' APIs, in a loop whose time is not real."""

import asyncio

from shared.cloud.retries import PATIENT, with_retries
from tests.fakes.virtual_time import run


def test_no_call_begins_after_the_time_of_the_policy() -> None:
    """A lease must not end while a slow answer is asked for again."""
    calls = 0

    async def call() -> bool:
        nonlocal calls
        calls += 1
        await asyncio.sleep(PATIENT.until_seconds)
        return True

    assert run(with_retries(call, bool, PATIENT))
    assert calls == 1
