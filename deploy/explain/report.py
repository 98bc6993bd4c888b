"""The report on a request: the checks in their order and the events, as JSON and as text."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

from deploy.terminal.output import BOLD, DIM, GREEN, RED, YELLOW, Screen, count_of, printable
from shared.event import Event, to_cloudevent
from shared.jsontext import Json, JsonObject

State = Literal["passed", "failed", "skipped"]

ACCEPTED: Final = 0
REJECTED: Final = 3
NOT_DELIVERED: Final = 4
TRANSFORM: Final = "transform"
NOTIFY: Final = "notify"
"""The name of the stage that has a check for each delivery."""
HANDSHAKE: Final = "handshake"
"""The name of the check of a request that receive answers without an event."""
NO_MATCH: Final = "not_matched"
"""How the words of a route begin that did not take the event."""
OTHER_SOURCE: Final = f"{NO_MATCH}: from "
"""How the words of a route begin that is for other sources."""
NOT_REACHED: Final = "not reached"
"""The text of a check after the one that failed."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `text` says what was checked and found, without any secret, header value or part of the body."""

    name: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """The part of one function. `detail` is text to show below its checks, such as a diff or a mail."""

    name: str
    checks: tuple[Check, ...]
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A report. `status` is the HTTP status of the reply, `code` the code of a rejection, `advice` what to do."""

    status: int
    code: str | None
    source: str | None
    stages: tuple[Stage, ...]
    events: tuple[Event, ...] = ()
    reply: str = ""
    advice: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        if self.code is not None:
            return REJECTED
        is_handshake = any(check.name == HANDSHAKE for stage in self.stages for check in stage.checks)
        return ACCEPTED if self.deliveries or is_handshake else NOT_DELIVERED

    @property
    def deliveries(self) -> tuple[str, ...]:
        """Return the destination and the route of each delivery that would be sent."""
        checks = [check for stage in self.stages if stage.name == NOTIFY for check in stage.checks]
        return tuple(check.name for check in checks if check.state == "passed")

    @property
    def is_unknown(self) -> bool:
        """Return whether nothing is known to be delivered because a route's step would ask another system."""
        offline = (check for stage in self.stages if stage.name == TRANSFORM for check in stage.checks)
        return self.exit_code == NOT_DELIVERED and any(_OFFLINE in check.text for check in offline)

    @property
    def undelivered_because(self) -> tuple[str, ...]:
        """Return why nothing is delivered of an accepted request: each route's and each failed delivery's reason.

        Routes that do not match come last, and at the end those that are for other sources.
        """
        if self.exit_code != NOT_DELIVERED:
            return ()
        if not self.events:
            return ("the request holds no event",)
        stages = [stage for name in (NOTIFY, TRANSFORM) for stage in self.stages if stage.name == name]
        reasons = [f"{check.name}: {check.text}" for stage in stages for check in _unmatched_last(stage.checks)]
        return tuple(reasons) or ("the configuration has no routes",)


def _unmatched_last(checks: Sequence[Check]) -> list[Check]:
    """Sort the routes that are for other sources behind those whose type or condition did not match."""
    return sorted(checks, key=lambda check: (check.text.startswith(NO_MATCH), check.text.startswith(OTHER_SOURCE)))


def report_document(report: Report) -> JsonObject:
    checks: list[Json] = [
        {"stage": stage.name, "name": check.name, "state": check.state, "text": check.text}
        for stage in report.stages
        for check in stage.checks
    ]
    details: JsonObject = {stage.name: list(stage.detail) for stage in report.stages if stage.detail}
    return {
        "status": report.status,
        "code": report.code,
        "source": report.source,
        "checks": checks,
        "advice": list(report.advice),
        "events": [to_cloudevent(event) for event in report.events],
        "reply": report.reply,
        "deliveries": list(report.deliveries),
        "undelivered_because": list(report.undelivered_because),
        "details": details,
    }


_OFFLINE: Final = "is not sent offline"
_MARKS: Final = {"passed": "ok  ", "failed": "NO  ", "skipped": "-   "}
_COLOURS: Final = {"passed": GREEN, "failed": RED, "skipped": DIM}
_WIDTH: Final = 110
MAX_REASONS: Final = 10


def report_text(report: Report, screen: Screen) -> Iterator[str]:
    """Yield the report as lines for a person."""
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
    unmade = [check.name for check in stage.checks if check.text == NOT_REACHED]
    for check in stage.checks:
        if check.name not in unmade:
            yield from _check(check, width, screen)
    if unmade:
        yield from _check(Check(NOT_REACHED, "skipped", ", ".join(unmade)), width, screen)
    yield from (f"  {printable(line)}" for line in stage.detail)


def _wrapped(text: str, width: int) -> list[str]:
    """Return the lines; a URL stays whole, so that it can be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _check(check: Check, width: int, screen: Screen) -> Iterator[str]:
    mark = screen.coloured(_MARKS[check.state], _COLOURS[check.state])
    first, *others = _wrapped(printable(check.text), _WIDTH - width - 8) or [""]
    yield f"  {mark}{check.name.ljust(width)}  {first}".rstrip()
    yield from (f"{' ' * (width + 8)}{line}" for line in others)


def _verdict(report: Report, screen: Screen) -> str:
    try:
        status = f"{report.status} {HTTPStatus(report.status).phrase}"
    except ValueError:
        status = str(report.status)
    if report.code is None:
        reply = f"  {printable(report.reply)}" if report.reply else ""
        if report.is_unknown:
            text = "what is delivered depends on the answer of another system, which explain does not ask"
            return screen.coloured(f"Accepted: {status}, but {text}", YELLOW) + reply
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
