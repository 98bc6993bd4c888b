"""The implementations of a port: the fake, what runs on this machine, and what runs on each cloud."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar, cast

import pytest

from tests.aws.dynamo import DynamoTables
from tests.gcp.firestore_emulated import EmulatedFirestore

Port = TypeVar("Port")

PLATFORMS: Final = (
    *("fake", "local", "firestore"),
    pytest.param("npm_firestore", marks=pytest.mark.slow),
    pytest.param("dynamo", marks=pytest.mark.slow),
    "npm_dynamo",
)
"""The parameters of a fixture that yields one of the Implementations."""


class _Closable(Protocol):
    def close(self) -> Awaitable[None] | None: ...


@dataclass(frozen=True)  # without slots: Python 3.11 cannot call Implementations[Port] with them
class Implementations(Generic[Port]):
    """What makes a port on each platform."""

    fake: Callable[[], Port]
    local: Callable[[], Port]
    firestore: Callable[[EmulatedFirestore], Port]
    dynamo: Callable[[DynamoTables], Port]

    async def of(self, request: pytest.FixtureRequest) -> AsyncIterator[Port]:
        """Yield the port on the platform that the fixture's parameter names, and close it."""
        match request.param:
            case "fake":
                yield self.fake()
                return
            case "local":
                made = self.local()
            case "firestore" | "npm_firestore":
                made = self.firestore(request.getfixturevalue(request.param))
            case _:
                made = self.dynamo(request.getfixturevalue(request.param))
        yield made
        if (closing := cast("_Closable", made).close()) is not None:
            await closing
        await asyncio.sleep(0)  # in which its connections are gone
