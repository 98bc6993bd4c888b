"""Noting when a source last sent an event, for sources with `silence`. A failure harms no event."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from shared import errors, jsontext, logs, ports, store_ports, time_bound, times
from shared.event import Event
from shared.seen_record import KEPT_SECONDS, SEEN_AT, seen_record

WRITE_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 5.0
"""The time after a failure until an event of the source is noted again."""


@dataclass(slots=True)
class Seen:
    """Notes when sources were last seen.

    intervals  for each source with `silence`, the seconds from one note to the next
    records    returns the store of the notes; it is called at first use
    """

    intervals: Mapping[str, float]
    records: Callable[[], store_ports.Records]
    clock: ports.Clock
    deadlines: time_bound.Deadlines = field(default_factory=time_bound.Deadlines)
    _noted: dict[str, float] = field(default_factory=dict)
    """For each source, the time up to which its events need no note, by the time at which they were received."""

    async def note(self, event: Event) -> None:
        """Note that receive has accepted an event, whether or not a route takes it. A failure is only logged."""
        source = event.source_name
        interval = self.intervals.get(source)
        if interval is None:
            return
        now = self.clock.now()
        at = min(_received_at(event, now), now)
        if at < self._noted.get(source, 0.0):
            return
        self._noted[source] = at + interval  # first, so that of events that come together only one makes the note
        try:
            deadline = asyncio.get_running_loop().time() + WRITE_SECONDS
            last = await self.deadlines.wait(self._write(source, at, interval, now), deadline)
            self._noted[source] = last + interval
        except (errors.Temporary, TimeoutError) as error:
            self._noted[source] = at + min(interval, AGAIN_SECONDS)
            detail = error.detail if isinstance(error, errors.Temporary) else f"not written within {WRITE_SECONDS:g} s"
            logs.log("WARNING", "not noted as seen", function="transform", source=source, detail=detail)

    async def _write(self, source: str, at: float, interval: float, now: float) -> float:
        """Write the note, unless another instance wrote one in the interval. Return the time of the stored note."""

        def decide(text: str | None) -> tuple[float, store_ports.Kept | None]:
            stored = jsontext.from_json(text.encode()) if text else {}
            record = stored if isinstance(stored, dict) else {}
            last = record.get(SEEN_AT)
            if isinstance(last, int | float) and at < last + interval:
                return float(last), None
            return at, store_ports.Kept(jsontext.texts_json({**record, SEEN_AT: at}).decode(), now + KEPT_SECONDS)

        return await self.records().change(seen_record(source), now, decide)


def _received_at(event: Event, now: float) -> float:
    try:
        return times.unix_seconds(event.receivedat)
    except (ValueError, OverflowError):
        return now


def read_intervals(slice_: Mapping[str, object]) -> dict[str, float]:
    """Return the intervals as the compiler wrote them."""
    written = slice_.get("seen")
    pairs = written.items() if isinstance(written, dict) else ()
    return {str(name): float(value) for name, value in pairs if isinstance(value, int | float)}
