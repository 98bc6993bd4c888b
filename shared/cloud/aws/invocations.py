"""Invocations on AWS Lambda: all run on one event loop, and each ends before Lambda would end the process.

Lambda freezes the process between two invocations, so the loop does not turn. Its clients keep their connections.
Timers that were due meanwhile run at the beginning of the next invocation.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from shared import errors, time_bound

if TYPE_CHECKING:
    from shared.telemetry.exporter import Exporter

STOP_SECONDS: Final = 2.5
"""The time by which the work ends before Lambda's limit: enough to report which messages are done, and when the others
are to be delivered again."""

Answer = TypeVar("Answer")


class LambdaContext(Protocol):
    """The second argument of every handler, as far as it is used.

    `invoked_function_arn` ends with the alias if the function was called by an alias.
    """

    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int: ...


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process, made at first use."""
    return asyncio.new_event_loop()


def run(
    work: Callable[[float], Coroutine[object, object, Answer]],
    context: LambdaContext,
    exporter: "Exporter | None" = None,
) -> Answer:
    """Run `work`, which takes the time of the loop by which it must end, and return its result.

    `exporter` sends spans before the end; None if telemetry is off.
    """
    loop = event_loop()
    deadline = loop.time() + context.get_remaining_time_in_millis() / 1000 - STOP_SECONDS

    async def stop_after() -> Answer:
        try:
            return await (work(deadline) if exporter is None else exporter.around(work(deadline)))
        finally:
            # Stops the loop after this turn; run_until_complete would take one turn more.
            loop.stop()

    task = loop.create_task(stop_after())
    loop.run_forever()
    return task.result()


async def in_time(work: Awaitable[Answer], deadline: float) -> Answer:
    """Await the work until `deadline`, a time of the event loop. Raises Temporary (`invocation_timeout`) at it."""
    try:
        return await _deadlines(asyncio.get_running_loop()).wait(work, deadline)
    except time_bound.TooLate as error:
        raise too_late() from error


@lru_cache(maxsize=1)
def _deadlines(_: asyncio.AbstractEventLoop) -> time_bound.Deadlines:
    """Return the deadlines of the loop. They keep one timer over all invocations: a timer for each would take 7 µs."""
    return time_bound.Deadlines()


def too_late() -> errors.Temporary:
    detail = "the function's time on Lambda ended before its work; raise the function's timeout if this happens often"
    return errors.Temporary("invocation_timeout", detail)
