"""What would happen to a request: checks in the order in which they are made, and the events that come of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

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
NO_MATCH: Final = "no match"
"""How the words of a route begin that did not take the event."""
NOT_MADE: Final = "not made"
"""The words of a check that comes behind the one that failed."""


@dataclass(frozen=True, slots=True)
class Check:
    """`words` say what was looked at and what was found; never a secret, a header's value or a part of the body."""

    name: str
    state: State
    words: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What one function does. `detail` is whatever text belongs below its checks, such as a diff or a mail."""

    name: str
    checks: tuple[Check, ...]
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """`status` is the HTTP status that the sender gets, `code` our own for a refusal; `advice` what to do about it."""

    status: int
    code: str | None
    source: str | None
    stages: tuple[Stage, ...]
    events: tuple[Event, ...] = ()
    reply: str = ""
    advice: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        if self.code is not None:
            return REJECTED
        return ACCEPTED if self.deliveries or self._is_handshake else NOT_DELIVERED

    @property
    def _is_handshake(self) -> bool:
        return any(check.name == HANDSHAKE for stage in self.stages for check in stage.checks)

    @property
    def deliveries(self) -> tuple[str, ...]:
        """Return the destination and the route of each delivery that would be sent."""
        checks = [check for stage in self.stages if stage.name == NOTIFY for check in stage.checks]
        return tuple(check.name for check in checks if check.state == "passed")

    @property
    def undelivered_because(self) -> tuple[str, ...]:
        """Return why nothing is delivered of an accepted request: each route's and each failed delivery's reason.

        Routes that do not match come last.
        """
        if self.exit_code != NOT_DELIVERED:
            return ()
        if not self.events:
            return ("the request holds no event",)
        stages = [stage for name in (NOTIFY, TRANSFORM) for stage in self.stages if stage.name == name]
        reasons = [f"{check.name}: {check.words}" for stage in stages for check in _unmatched_last(stage.checks)]
        return tuple(reasons) or ("the configuration has no routes",)


def _unmatched_last(checks: Sequence[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: check.words.startswith(NO_MATCH))


def report_document(report: Report) -> JsonObject:
    checks: list[Json] = [
        {"stage": stage.name, "name": check.name, "state": check.state, "words": check.words}
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
