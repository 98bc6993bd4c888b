import asyncio
from pathlib import Path

import pytest

from shared import claim_check
from shared.claim_check import MAX_INLINE_BYTES, checked_in, checked_out
from shared.cloud.local.blobs import LocalBlobs
from shared.event import Event

LARGE = Event("a" * 32, "/sources/shop", "received", "2026-03-01T12:00:00Z", "b" * 64, {"n": "n" * MAX_INLINE_BYTES})
SMALL = Event("a" * 32, "/sources/shop", "received", "2026-03-01T12:00:00Z", "b" * 64, {"n": 1})


async def through(blobs: LocalBlobs, event: Event) -> None:
    light, _ = await checked_in(event, blobs, "name")
    assert await checked_out(light, blobs) == event


@pytest.mark.parametrize(("event", "times"), [(LARGE, 2), (SMALL, 0)], ids=["large", "small"])
def test_the_memory_of_large_events_alone_is_kept(
    event: Event, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept: list[None] = []
    monkeypatch.setattr(claim_check, "keep_freed_memory", lambda: kept.append(None))
    asyncio.run(through(LocalBlobs(tmp_path), event))
    assert len(kept) == times
