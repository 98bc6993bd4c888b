"""The retry policies for the clouds' APIs: which requests are repeated, how often, and after which waits.

    Pub/Sub, Cloud Storage, metadata server   BRIEF: a sender waits for the response, and some senders never send again
    Firestore, DynamoDB                       PATIENT: if an outcome is not recorded, the delivery is repeated
    Secret Manager                            no retries here. For a status in PASSING_STATUSES, SecretStore uses the
                                              last values of a secret, and reads it again later

A passing answer is one that may be different when the same call is made again.

https://cloud.google.com/storage/docs/retry-strategy#retryable
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from shared.outgoing.http_client import Answer
from shared.time_bound import back_off

PASSING_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
PASSING_CODES: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "502", "503", "504"}
)
"""Firestore's own codes, and the HTTP statuses of the load balancers in front of it, which do not use these codes."""

Result = TypeVar("Result")


class RetryPolicy(NamedTuple):
    """The waits between the calls, and the time after which no further call begins.

    waits_seconds  the wait before each further call. `back_off` makes each up to half shorter or longer, so that
                   instances that failed together do not call again together
    until_seconds  counted from the first call
    """

    waits_seconds: tuple[float, ...]
    until_seconds: float


BRIEF: Final = RetryPolicy(waits_seconds=(0.1, 0.2), until_seconds=1.0)
PATIENT: Final = RetryPolicy(waits_seconds=(0.05, 0.1, 0.2, 0.4), until_seconds=5.0)


async def with_retries(
    call: Callable[[], Awaitable[Result]], is_passing: Callable[[Result], bool], policy: RetryPolicy = BRIEF
) -> Result:
    """Return the first result that is not passing, or the last one. `call` may be made more than once."""
    loop = asyncio.get_running_loop()
    until = loop.time() + policy.until_seconds
    result = await call()
    for wait in policy.waits_seconds:
        if not is_passing(result) or loop.time() >= until:
            break
        await back_off(wait)
        result = await call()
    return result


def is_temporary_answer(answer: Answer) -> bool:
    """Return whether a Google API's answer is a failure that may pass."""
    return answer.status in PASSING_STATUSES
