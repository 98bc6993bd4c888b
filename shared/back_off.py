"""The wait before a call is made again."""

import asyncio
import random


async def back_off(seconds: float) -> None:
    """Sleep for about that long, so that those who failed together do not come back together."""
    await asyncio.sleep(random.uniform(0.5, 1.5) * seconds)  # noqa: S311 no secret
