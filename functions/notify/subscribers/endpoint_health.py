"""The health of an endpoint: since when deliveries to it fail, and when it is disabled for that.

An attempt changes the endpoint's document only where the state changes. What cannot be written is logged: a later
attempt finds the same.
"""

from typing import Final

from functions.notify.subscribers.notices import DISABLED, FAILING, RECOVERED
from functions.notify.subscribers.subscribers import Subscribers
from shared.delivery import Delivered, Failed, Outcome, RetryLater
from shared.errors import Temporary
from shared.logs import log
from shared.subscribers.directory import endpoints_of
from shared.subscribers.model import DisabledBy, Endpoint
from shared.times import duration_text

FAILS_FROM: Final = 2
"""An endpoint counts as failing from this attempt at a delivery on: the first one may fail by chance."""
MAX_REASON_CHARACTERS: Final = 500
DAY_SECONDS: Final = 86_400.0


class EndpointHealth:
    """The health of one endpoint, which was read for the delivery and may be seconds old."""

    def __init__(self, endpoint: Endpoint, subscribers: Subscribers) -> None:
        self._endpoint = endpoint
        self._subscribers = subscribers
        self._name = endpoint.full_name

    @property
    def is_failing(self) -> bool:
        return self._endpoint.failing_since is not None

    async def note(self, outcome: Outcome, attempt_number: int, now: float) -> None:
        """Note what came of an attempt."""
        change = self._wanted_change(outcome, attempt_number, now)
        if change is None:
            return
        try:
            await self._write(*change, now)
        except Temporary as error:
            fault = {"code": error.code, "detail": error.detail}
            log("WARNING", "health not noted", function="notify", endpoint=self._name, **fault)

    def _wanted_change(
        self, outcome: Outcome, attempt_number: int, now: float
    ) -> tuple[str, DisabledBy | None, str] | None:
        """Return the kind of change that the outcome asks for, by whom, and why; None for none."""
        since = self._endpoint.failing_since
        if isinstance(outcome, Delivered):
            return None if since is None else (RECOVERED, None, "")
        if isinstance(outcome, Failed) and outcome.code == "endpoint_disabled":
            return DISABLED, "receiver", outcome.reason
        if isinstance(outcome, Failed) or (isinstance(outcome, RetryLater) and outcome.pause_destination_seconds):
            return None  # the receiver answered, or the fault is ours
        limit = self._subscribers.settings.disable_after_seconds
        if since is not None and now - since >= limit:
            days = f"{limit / DAY_SECONDS:g} days" if limit >= DAY_SECONDS else duration_text(limit)
            return DISABLED, "failures", f"all deliveries failed for {days}, the last: {outcome.reason}"
        is_steady = self._subscribers.recovered.get(self._name) is None
        is_failing = since is None and attempt_number >= FAILS_FROM and is_steady
        return (FAILING, None, outcome.reason) if is_failing else None

    async def _write(self, kind: str, by: DisabledBy | None, reason: str, now: float) -> None:
        """Raises Temporary."""
        reason = reason[:MAX_REASON_CHARACTERS]
        has_changed = False

        def decide(before: Endpoint | None) -> Endpoint | None:
            nonlocal has_changed
            has_changed = False
            if before is None or before.url != self._endpoint.url:  # the attempt was made at another URL
                return None
            changes = _changed_fields(before, kind, by, reason, self._subscribers.settings.disable_after_seconds, now)
            if changes is None:
                return None
            has_changed = True
            notices = (*before.notices, *self._subscribers.notices.notices(kind, now, reason))
            return before.model_copy(update={**changes, "notices": notices})

        endpoint = self._endpoint
        after = await self._subscribers.directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, decide)
        if after is None:
            return
        self._endpoint = after
        self._subscribers.remember(after)
        if not has_changed:
            return
        if kind == RECOVERED:
            self._subscribers.recovered.put(self._name, now)
        if kind == DISABLED:
            await self._subscribers.directory.announce_change(endpoint.tenant, "notify")
        severity = "WARNING" if kind == DISABLED else "INFO"
        log(severity, f"endpoint {kind}", function="notify", endpoint=self._name, reason=reason or None)
        if after.notices:
            await self._subscribers.notices.publish(after)


def _changed_fields(
    before: Endpoint, kind: str, by: DisabledBy | None, reason: str, limit: float, now: float
) -> dict[str, object] | None:
    """Return the fields to change; None if the document has them already, or the endpoint has changed meanwhile."""
    if not before.is_enabled:
        return None
    since = before.failing_since
    if kind == RECOVERED:
        return None if since is None else {"failing_since": None}
    if kind == FAILING:
        return None if since is not None else {"failing_since": now}
    if by == "failures" and (since is None or now - since < limit):  # it recovered, or was enabled again
        return None
    return {"disabled_by": by, "disabled_reason": reason, "disabled_at": now}
