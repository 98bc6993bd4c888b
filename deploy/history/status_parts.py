"""What `hookchain status` tells, as data; and the parts of it that are had the same way on every platform."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history.held import held_destinations
from deploy.history.journal_view import EventQuery, JournalView
from deploy.history.state import State
from shared.jsontext import Json, JsonObject
from shared.ledger import LedgerRow
from shared.times import rfc3339

DAY_SECONDS: Final = 86_400.0
MOST_COUNTED: Final = 500
MOST_RETRYING: Final = 100


@dataclass(frozen=True, slots=True)
class Version:
    """One function, or `hookchain dev`. `trouble` is empty where it serves."""

    name: str
    version: str
    since: float | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SourceNews:
    """`last_at` is None where nothing ever came. `is_more`: than `day_count` in the last day."""

    source: str
    last_at: float | None
    day_count: int
    is_more: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of one subscription: how many messages wait, and how old the oldest is. None where it cannot be told."""

    subscription: str
    count: int | None
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Retrying:
    """What is to be tried again for a destination. `reason` is of the newest; `is_more`: than `count`.

    `unknown` counts those that the destination may have accepted: the last attempt got no answer.
    """

    destination: str
    count: int
    reason: str
    is_more: bool = False
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """`held` are documents of deploy/dev/inspector/overview.py; `notes` say what could not be had, and why."""

    versions: Sequence[Version]
    sources: Sequence[SourceNews] = ()
    backlogs: Sequence[Backlog] = ()
    dead_letters: int | None = None
    held: Sequence[JsonObject] = ()
    retrying: Sequence[Retrying] = ()
    notes: Sequence[str] = ()

    def document(self) -> JsonObject:
        versions: list[Json] = [
            {"name": each.name, "version": each.version, "since": _time(each.since), "trouble": each.trouble or None}
            for each in self.versions
        ]
        sources: list[Json] = [
            {"source": each.source, "last_at": _time(each.last_at), "last_day": each.day_count, "more": each.is_more}
            for each in self.sources
        ]
        backlogs: list[Json] = [
            {"subscription": each.subscription, "waiting": each.count, "oldest_seconds": each.oldest_seconds}
            for each in self.backlogs
        ]
        retrying: list[Json] = [
            {
                "destination": each.destination,
                "count": each.count,
                "more": each.is_more,
                "unknown": each.unknown,
                "reason": each.reason,
            }
            for each in self.retrying
        ]
        return {
            "versions": versions,
            "sources": sources,
            "backlog": backlogs,
            "dead_letters": self.dead_letters,
            "held": list(self.held),
            "retrying": retrying,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Kept:
    """What journal and ledger tell."""

    sources: Sequence[SourceNews]
    dead_letters: int
    held: Sequence[JsonObject]
    retrying: Sequence[Retrying]


def kept_in(state: State, sources: Iterable[str], now: float) -> Kept:
    """Raises HookchainError and sqlite3.Error."""
    held, retrying = asyncio.run(owed_in(state, now))
    return Kept(news_of(state.reader, sources, now), state.reader.totals().dead_letters, held, retrying)


async def owed_in(state: State, now: float) -> tuple[list[JsonObject], list[Retrying]]:
    """What is held, and what is to be tried again."""

    async with state.ledger() as ledger:
        held = await held_destinations(ledger, state.destinations(), now)
        rows = await ledger.rows(MOST_RETRYING, state="retry_at")
    return [each for each in held if isinstance(each, dict)], retrying_of(rows)


def retrying_of(rows: Sequence[LedgerRow]) -> list[Retrying]:
    """`rows` come newest first."""
    reasons = {row.destination: row.reason for row in reversed(rows)}
    counts = Counter(row.destination for row in rows)
    unknown = Counter(row.destination for row in rows if row.unknown_count)
    is_more = len(rows) == MOST_RETRYING
    return [Retrying(name, count, reasons[name], is_more, unknown[name]) for name, count in counts.items()]


def news_of(reader: JournalView, sources: Iterable[str], now: float) -> list[SourceNews]:
    found: list[SourceNews] = []
    for source in sources:
        page = reader.events(EventQuery(source=source, since=now - DAY_SECONDS, limit=MOST_COUNTED))
        newest = page.events or reader.events(EventQuery(source=source, limit=1)).events
        last_at = newest[0].received_at if newest else None
        found.append(SourceNews(source, last_at, len(page.events), page.next_before is not None))
    return found


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
