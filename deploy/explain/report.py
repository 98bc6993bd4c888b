"""The report of `hookchain explain`: what each function would do with a request, as JSON and as text.

A stage is a function, or a part of the trace of transform. Its checks are in the order in which they are made: receive
has checks such as `signature`, transform has one for each route, and notify has one for each delivery.
"""

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

# The exit codes of `explain`.
ACCEPTED: Final = 0
REJECTED: Final = 3
NOT_DELIVERED: Final = 4

TRANSFORM: Final = "transform"
NOTIFY: Final = "notify"
"""The name of the stage that has a check for each delivery."""
HANDSHAKE: Final = "handshake"
"""The name of the check of a request that receive answers without an event."""
NO_MATCH: Final = "not_matched"
"""The beginning of the text of a route that did not match the event."""
OTHER_SOURCE: Final = f"{NO_MATCH}: from "
"""The beginning of the text of a route that is for other sources."""
NOT_REACHED: Final = "not reached"
"""The text of a check after the one that failed."""
_OFFLINE: Final = "is not sent offline"
"""A part of the text of a step that would ask another system."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `text` says what was checked and found.

    It contains no secret and no whole body, but it can contain facts and field names of the event.
    """

    name: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the report. `detail` are lines to show below the checks, such as a diff or a mail."""

    name: str
    checks: tuple[Check, ...]
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A report on a request.

    status  the HTTP status of the reply
    code    the code of a rejection, such as `signature_mismatch`; None for an accepted request
    reply   the body of the reply
    advice  what the operator can do
    """

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
        return tuple(check.name for check in self._checks(NOTIFY) if check.state == "passed")

    @property
    def is_unknown(self) -> bool:
        """Return whether no delivery is found, but a step would ask another system, whose answer could lead to one."""
        return self.exit_code == NOT_DELIVERED and any(_OFFLINE in check.text for check in self._checks(TRANSFORM))

    @property
    def undelivered_because(self) -> tuple[str, ...]:
        """Return why an accepted request leads to no delivery: the reason of each failed delivery and of each route.

        The routes whose type or condition did not match come after the other reasons, because they are rarely the ones
        that the operator is looking for. The routes for other sources come last.
        """
        if self.exit_code != NOT_DELIVERED:
            return ()
        if not self.events:
            return ("the request holds no event",)
        checks = [*_unmatched_last(self._checks(NOTIFY)), *_unmatched_last(self._checks(TRANSFORM))]
        return tuple(f"{check.name}: {check.text}" for check in checks) or ("the configuration has no routes",)

    def _checks(self, stage_name: str) -> list[Check]:
        return [check for stage in self.stages if stage.name == stage_name for check in stage.checks]


def _unmatched_last(checks: Sequence[Check]) -> list[Check]:
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


_MARKS: Final = {"passed": "ok  ", "failed": "NO  ", "skipped": "-   "}
_COLOURS: Final = {"passed": GREEN, "failed": RED, "skipped": DIM}
_LINE_WIDTH: Final = 110
MAX_REASONS: Final = 10


def report_text(report: Report, screen: Screen) -> Iterator[str]:
    """Yield the report as lines for a person."""
    for stage in report.stages:
        yield from _stage_lines(stage, screen)
        yield ""
    for event in report.events:
        yield from _event_lines(event, screen)
        yield ""
    yield _verdict(report, screen)
    for line in (*report.advice, *report.undelivered_because[:MAX_REASONS]):
        yield from textwrap.wrap(printable(line), _LINE_WIDTH, initial_indent="  ▸ ", subsequent_indent="    ")
    omitted = len(report.undelivered_because) - MAX_REASONS
    if omitted > 0:
        yield f"  ▸ {omitted} more routes"


def _stage_lines(stage: Stage, screen: Screen) -> Iterator[str]:
    yield screen.coloured(stage.name, BOLD)
    width = max((len(check.name) for check in stage.checks), default=0)
    for check in stage.checks:
        if check.text != NOT_REACHED:
            yield from _check_lines(check, width, screen)
    not_reached = [check.name for check in stage.checks if check.text == NOT_REACHED]
    if not_reached:  # one line for all of them
        yield from _check_lines(Check(NOT_REACHED, "skipped", ", ".join(not_reached)), width, screen)
    for line in stage.detail:
        yield f"  {printable(line)}"


def _check_lines(check: Check, name_width: int, screen: Screen) -> Iterator[str]:
    mark = screen.coloured(_MARKS[check.state], _COLOURS[check.state])
    indent = 2 + len(_MARKS[check.state]) + name_width + 2
    # A URL stays whole, so that it can be copied.
    lines = textwrap.wrap(
        printable(check.text), _LINE_WIDTH - indent, break_long_words=False, break_on_hyphens=False
    ) or [""]
    yield f"  {mark}{check.name.ljust(name_width)}  {lines[0]}".rstrip()
    for line in lines[1:]:
        yield f"{' ' * indent}{line}"


def _verdict(report: Report, screen: Screen) -> str:
    try:
        status = f"{report.status} {HTTPStatus(report.status).phrase}"
    except ValueError:  # a source may reply with any number, such as 299
        status = str(report.status)
    if report.code is not None:
        word = "Not confirmed" if report.status >= 500 else "Rejected"
        return screen.coloured(f"{word}: {status}, code {report.code}", RED)
    text, colour = f"Accepted: {status}", GREEN
    if report.is_unknown:
        text += ", but what is delivered depends on the answer of another system, which explain does not ask"
        colour = YELLOW
    elif report.exit_code == NOT_DELIVERED:
        text += ", but nothing is delivered"
        colour = RED
    elif report.events:
        text += f", {count_of(len(report.deliveries), 'delivery', 'deliveries')}"
    reply = f"  {printable(report.reply)}" if report.reply else ""
    return screen.coloured(text, colour) + reply


def _event_lines(event: Event, screen: Screen) -> Iterator[str]:
    yield screen.coloured(f"Event {event.id}", BOLD)
    text = json.dumps(to_cloudevent(event), indent=2, ensure_ascii=False)
    for line in text.split("\n"):
        yield f"  {printable(line)}"
