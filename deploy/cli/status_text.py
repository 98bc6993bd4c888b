"""`hookchain status` for people: what runs, what came, what waits, what needs them."""

from collections.abc import Iterator
from typing import Final

from deploy.cli.events_text import clock
from deploy.history.status import Backlog, Retrying, SourceActivity, Status, Version
from deploy.terminal.tables import BOLD, GREEN, RED, YELLOW, Column, Screen, printable, table
from shared.jsontext import JsonObject

LATE_SECONDS: Final = 300.0
"""A message that waits longer is not only in a queue."""
_SERVES: Final = "serves"
_VERSIONS: Final = (
    Column("RUNS"),
    Column("VERSION", 12),
    Column("SINCE"),
    Column("STATE", 10, colour=lambda text: GREEN if text == _SERVES else RED),
)
_SOURCES: Final = (Column("SOURCE", 8), Column("LAST EVENT"), Column("AGO"), Column("LAST DAY"))
_BACKLOGS: Final = (
    Column("SUBSCRIPTION", 12),
    Column("WAITING"),
    Column("OLDEST", colour=lambda text: YELLOW if text.endswith("!") else ""),
)


def status_text(status: Status, now: float, screen: Screen, where: str = "") -> Iterator[str]:
    """`where` is what a command needs to act there too."""
    yield table(_VERSIONS, [_version(each) for each in status.versions], screen)
    if status.sources:
        yield "\n" + table(_SOURCES, [_source(each, now) for each in status.sources], screen)
    if status.backlogs:
        yield "\n" + table(_BACKLOGS, [_backlog(each) for each in status.backlogs], screen)
    yield "\n" + _letters(status.dead_letters, screen, where)
    for held in status.held:
        yield _held(held, screen, where)
    for retrying in status.retrying:
        yield _retrying(retrying, screen, where)
    for note in status.notes:
        yield screen.coloured(f"cannot be told: {printable(note)}", YELLOW)


def _version(each: Version) -> tuple[str, ...]:
    return each.name, each.version, "" if each.since is None else clock(each.since), each.trouble or _SERVES


def _source(each: SourceActivity, now: float) -> tuple[str, ...]:
    if each.last_at is None:
        return each.source, "none yet", "", "0"
    count = f"{each.day_count:,}{' and more' if each.is_more else ''}"
    return each.source, clock(each.last_at), duration(now - each.last_at), count


def _backlog(each: Backlog) -> tuple[str, ...]:
    count = "?" if each.count is None else f"{each.count:,}"
    if not each.oldest_seconds:
        return each.subscription, count, ""
    return (
        each.subscription,
        count,
        duration(each.oldest_seconds) + (" !" if each.oldest_seconds > LATE_SECONDS else ""),
    )


def _letters(count: int | None, screen: Screen, where: str) -> str:
    if count is None:
        return "dead letters: cannot be told"
    if count == 0:
        return "dead letters: none"
    return screen.coloured(f"dead letters: {count:,}", RED) + f"  (hookchain dead-letters list{where})"


def _held(held: JsonObject, screen: Screen, where: str) -> str:
    name = printable(str(held.get("destination")))
    if held.get("reason") is None:
        return screen.coloured(f"paused: {name}, until {held.get('paused_until')}", YELLOW)
    told = f"held: {name}, {held.get('count')} waiting: {printable(str(held.get('reason')))}"
    return screen.coloured(told, BOLD) + f"  (hookchain release {name}{where})"


def _retrying(each: Retrying, screen: Screen, where: str) -> str:
    count = f"{each.count:,}{' and more' if each.is_more else ''}"
    unknown = f" ({each.unknown:,} accepted or not: unknown)" if each.unknown else ""
    told = f"retrying: {printable(each.destination)}, {count} waiting{unknown}: {printable(each.reason)}"
    return screen.coloured(told, YELLOW) + f"  (hookchain events list --status retrying{where})"


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `5 h`, `12 d`: the largest unit of which there are two at least."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
