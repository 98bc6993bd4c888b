import asyncio
import ctypes
from pathlib import Path

import pytest

from shared import claim_check
from shared.claim_check import MAX_INLINE_BYTES, checked_in, checked_out
from shared.cloud.local.blobs import LocalBlobs
from shared.event import Event

LARGE = Event("a" * 32, "/sources/shop", "received", "2026-03-01T12:00:00Z", "b" * 64, {"n": "n" * MAX_INLINE_BYTES})
SMALL = Event("a" * 32, "/sources/shop", "received", "2026-03-01T12:00:00Z", "b" * 64, {"n": 1})


class CLibrary:
    def __init__(self) -> None:
        self.trims: list[int] = []

    def malloc_trim(self, left: int) -> None:
        self.trims.append(left)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> CLibrary:
    library = CLibrary()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(claim_check, "_memory", claim_check._Memory())
    monkeypatch.setattr(claim_check, "GIVE_BACK_SECONDS", 0.0)
    return library


async def through(blobs: LocalBlobs, *events: Event) -> None:
    for event in events:
        light, _ = await checked_in(event, blobs, "name")
        assert await checked_out(light, blobs) == event
    for _ in range(3):
        await asyncio.sleep(0)


def test_the_memory_of_a_large_event_is_given_back(library: CLibrary, tmp_path: Path) -> None:
    asyncio.run(through(LocalBlobs(tmp_path), LARGE))
    assert set(library.trims) == {0}


def test_no_memory_is_given_back_for_small_events(library: CLibrary, tmp_path: Path) -> None:
    asyncio.run(through(LocalBlobs(tmp_path), SMALL, SMALL))
    assert library.trims == []


def test_large_events_at_once_share_a_timer(library: CLibrary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(claim_check, "GIVE_BACK_SECONDS", 3_600.0)
    scheduled: list[float] = []

    async def two_at_once() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda delay, _: scheduled.append(delay))
        await through(LocalBlobs(tmp_path), LARGE, LARGE)

    asyncio.run(two_at_once())
    assert scheduled.count(3_600.0) == 1


def test_a_c_library_that_gives_nothing_back_is_no_fault(
    library: CLibrary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    asyncio.run(through(LocalBlobs(tmp_path), LARGE))
    assert library.trims == []
