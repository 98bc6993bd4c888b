"""A report for a person to read from top to bottom."""

import json
import textwrap
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from deploy.explain.report import NOT_DELIVERED, NOT_MADE, Check, Report, Stage
from deploy.terminal.printing import count_of
from deploy.terminal.tables import BOLD, DIM, GREEN, RED, Screen, printable
from shared.event import Event, to_cloudevent

_MARKS: Final = {"passed": "ok  ", "failed": "NO  ", "skipped": "-   "}
_COLOURS: Final = {"passed": GREEN, "failed": RED, "skipped": DIM}
_WIDTH: Final = 110
MAX_REASONS: Final = 10


def report_text(report: Report, screen: Screen) -> Iterator[str]:
    """Lines."""
    for stage in report.stages:
        yield from (*_stage(stage, screen), "")
    for event in report.events:
        yield from (*_event(event, screen), "")
    yield _verdict(report, screen)
    for line in (*report.advice, *report.undelivered_because[:MAX_REASONS]):
        yield from textwrap.wrap(printable(line), _WIDTH, initial_indent="  ▸ ", subsequent_indent="    ")
    if (more := len(report.undelivered_because) - MAX_REASONS) > 0:
        yield f"  ▸ {more} more routes"


def _stage(stage: Stage, screen: Screen) -> Iterator[str]:
    yield screen.coloured(stage.name, BOLD)
    width = max((len(check.name) for check in stage.checks), default=0)
    unmade = [check.name for check in stage.checks if check.words == NOT_MADE]
    for check in stage.checks:
        if check.name not in unmade:
            yield from _check(check, width, screen)
    if unmade:
        yield from _check(Check(NOT_MADE, "skipped", ", ".join(unmade)), width, screen)
    yield from (f"  {printable(line)}" for line in stage.detail)


def _check(check: Check, width: int, screen: Screen) -> Iterator[str]:
    mark = screen.coloured(_MARKS[check.state], _COLOURS[check.state])
    first, *others = textwrap.wrap(printable(check.words), _WIDTH - width - 8) or [""]
    yield f"  {mark}{check.name.ljust(width)}  {first}".rstrip()
    yield from (f"{' ' * (width + 8)}{line}" for line in others)


def _verdict(report: Report, screen: Screen) -> str:
    try:
        status = f"{report.status} {HTTPStatus(report.status).phrase}"
    except ValueError:
        status = str(report.status)
    if report.code is None:
        reply = f"  {printable(report.reply)}" if report.reply else ""
        if report.exit_code == NOT_DELIVERED:
            return screen.coloured(f"Accepted: {status}, but nothing is delivered", RED) + reply
        count = f", {count_of(len(report.deliveries), 'delivery', 'deliveries')}" if report.events else ""
        return screen.coloured(f"Accepted: {status}{count}", GREEN) + reply
    word = "Not confirmed" if report.status >= 500 else "Rejected"
    return screen.coloured(f"{word}: {status}, code {report.code}", RED)


def _event(event: Event, screen: Screen) -> Iterator[str]:
    yield screen.coloured(f"Event {event.id}", BOLD)
    text = json.dumps(to_cloudevent(event), indent=2, ensure_ascii=False)
    yield from (f"  {printable(line)}" for line in text.split("\n"))
