"""The CPU of servers that take turns.

A machine changes its speed several times a second, by up to two times: two figures compare only where they come from
the same second. A turn begins on a machine that has come to rest, which costs the first milliseconds more: so each
server's requests are as many as keep it busy for about as long as the others. Its connections stay open between its
turns, and opening them does not count. What a server does after its last answer does: the next turn waits for it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import uvloop

from tests.bench.cpu import cpu_seconds_of, tree_of
from tests.bench.load import CONNECTIONS, Connections, Load
from tests.bench.pipe import FED_BY, Cost, Pipe, checked
from tests.running.processes import Running

TURNS: Final = 2
REPEATS: Final = 3
"""Comparisons in a round where the line is close: the cost of one process differs by a fifth from turn to turn."""
QUIET_SECONDS: Final = 0.1
"""Longer than any function keeps what it writes later, for others to share the write."""


@dataclass(frozen=True, slots=True)
class Job:
    """Requests, each of which is sent to the server once."""

    server: Running
    requests: Sequence[bytes]
    connections: int = CONNECTIONS


@dataclass(slots=True)
class _Turns:
    job: Job
    connections: Connections
    pids: set[int]
    load: Load
    seconds: float = 0.0

    async def take(self, turn: int) -> None:
        count = len(self.job.requests)
        part = self.job.requests[count * turn // TURNS : count * (turn + 1) // TURNS]
        before = cpu_seconds_of(self.pids)
        await self.connections.send(iter(part), self.load)
        await asyncio.sleep(QUIET_SECONDS)
        self.seconds += cpu_seconds_of(self.pids) - before

    def cost(self) -> Cost:
        return checked(self.job.server, Cost(self.seconds / len(self.job.requests), self.load))


def costs(*jobs: Job) -> list[Cost]:
    """Return the cost of each job. They take turns, forwards and backwards.

    Raises RuntimeError where more than a few requests of one fail.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_costs(jobs))


async def _costs(jobs: Sequence[Job]) -> list[Cost]:
    all_turns = [
        _Turns(
            job, Connections(job.server.port, min(job.connections, len(job.requests))), tree_of(job.server.pid), Load()
        )
        for job in jobs
    ]
    try:
        for each in all_turns:
            await each.connections.open()
        for turn in range(TURNS):
            for each in all_turns if turn % 2 == 0 else all_turns[::-1]:
                await each.take(turn)
    finally:
        for each in all_turns:
            each.connections.close()
    return [each.cost() for each in all_turns]


def stages(
    *fed: tuple[Pipe, Sequence[bytes]],
    forwarded: int | None = None,
    beside: Callable[[str, int], Sequence[Job]] = lambda _, __: (),
) -> Iterator[tuple[str, list[Cost]]]:
    """Take the requests of each pipe from request to mail; past receive only so many of them.

    At each function the pipes take turns, and with them the jobs that `beside` returns for the function's name and the
    number of its requests. Yields the name, and the costs in this order.
    """
    jobs = [Job(pipe.servers["receive"], requests, pipe.connections) for pipe, requests in fed]
    yield "receive", costs(*jobs, *beside("receive", len(jobs[0].requests)))
    for name in FED_BY:
        pushes = [pipe.pushes(name, pipe.published(name)[:forwarded]) for pipe, _ in fed]
        jobs = [Job(pipe.servers[name], each, pipe.connections) for (pipe, _), each in zip(fed, pushes, strict=True)]
        yield name, costs(*jobs, *beside(name, len(pushes[0])))
