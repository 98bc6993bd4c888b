"""What Google refuses for a moment is asked for again: some senders never send again what was answered 503.

https://cloud.google.com/storage/docs/retry-strategy#retryable
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from shared.http_client import Answer

PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
PAUSES: Final = (0.1, 0.2)
LAST_SECONDS: Final = 1.0
"""Later, nothing is asked for again: whoever waits for the answer has not much longer."""


async def until_it_passes(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """`call` may be made more than once. Raises what it raises."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LAST_SECONDS
    answer = await call()
    for pause in PAUSES:
        if answer.status not in PASSING or loop.time() >= until:
            break
        await asyncio.sleep(pause)
        answer = await call()
    return answer
