"""The health of one endpoint of a subscriber, noted after each attempt at a delivery to it.

An endpoint is `failing` once the second attempt at a delivery has failed, or an attempt after a pause, and `recovered`
once it takes a delivery again. It is `disabled` when it has been failing for the configured time, or if its receiver
asks for that. Only such a change is written to the endpoint's document. What cannot be written is logged: a later
attempt finds the same.
"""

from typing import Final, NamedTuple

from functions.notify.subscribers.subscribers import DISABLED, Subscribers
from shared import errors, logs, retention, times
from shared.delivery import Delivered, Failed, Outcome, RetryLater
from shared.subscribers.directory import endpoints_of
from shared.subscribers.model import DisabledBy, Endpoint

FAILING: Final = "failing"
RECOVERED: Final = "recovered"
STEADY_SECONDS: Final = 60.0
"""The time after its recovery in which an endpoint does not count as failing again. Otherwise the document of an
endpoint that fails now and then would change all the time."""
MAX_REASON_CHARACTERS: Final = 500


class HealthChange(NamedTuple):
    """A change of an endpoint's health: DISABLED, FAILING or RECOVERED, why, and who disables it."""

    kind: str
    reason: str = ""
    by: DisabledBy | None = None


class EndpointHealth:
    """The health of one endpoint, which was read for the delivery and may be seconds old."""

    def __init__(self, endpoint: Endpoint, subscribers: Subscribers) -> None:
        self._endpoint = endpoint
        self._subscribers = subscribers
        self._name = endpoint.full_name

    @property
    def is_failing(self) -> bool:
        return self._endpoint.failing_since is not None

    async def note(self, outcome: Outcome, now: float, *, is_first: bool) -> None:
        """Note the outcome of an attempt. What cannot be written is logged.

        `is_first`: it was the first attempt at the delivery, and no pause of the endpoint came before it.
        """
        change = self._change_after(outcome, now, is_first=is_first)
        if change is None:
            return
        try:
            await self._write(change, now)
        except errors.Temporary as error:
            fault = {"code": error.code, "detail": error.detail}
            logs.log("WARNING", "health not noted", function="notify", endpoint=self._name, **fault)

    def _change_after(self, outcome: Outcome, now: float, *, is_first: bool) -> HealthChange | None:
        """Return the change that the outcome asks for; None for none."""
        since = self._endpoint.failing_since
        if isinstance(outcome, Delivered) and outcome.disable_reason:
            return HealthChange(DISABLED, outcome.disable_reason, "receiver")
        if isinstance(outcome, Delivered):
            return None if since is None else HealthChange(RECOVERED)
        if isinstance(outcome, Failed) and outcome.code == "endpoint_disabled":
            return HealthChange(DISABLED, outcome.reason, "receiver")
        if isinstance(outcome, Failed):
            return None  # the event or the receiver's answer is at fault for this one delivery
        if isinstance(outcome, RetryLater) and outcome.pause_destination_seconds:
            return None  # only a fault of ours pauses an endpoint: our key to its secret (EndpointSecrets)
        limit = self._subscribers.settings.disable_after_seconds
        if since is not None:
            if now - since < limit:
                return None
            days = (
                f"{limit / retention.DAY_SECONDS:g} days"
                if limit >= retention.DAY_SECONDS
                else times.duration_text(limit)
            )
            return HealthChange(DISABLED, f"all deliveries failed for {days}, the last: {outcome.reason}", "failures")
        has_just_recovered = self._subscribers.recovered.get(self._name, now) is not None
        if is_first or has_just_recovered:
            return None
        return HealthChange(FAILING, outcome.reason)

    async def _write(self, change: HealthChange, now: float) -> None:
        """Write the change and its notice, log it, and publish the notice. Raises Temporary.

        Nothing is written if the document has the change already, or if the endpoint has another URL now.
        """
        change = change._replace(reason=change.reason[:MAX_REASON_CHARACTERS])
        has_changed = False

        def decide(before: Endpoint | None) -> Endpoint | None:
            nonlocal has_changed
            has_changed = False  # an earlier call may have been for a document that another process has changed since
            if before is None or before.url != self._endpoint.url:  # the attempt was made at another URL
                return None
            fields = _changed_fields(before, change, self._subscribers.settings.disable_after_seconds, now)
            if fields is None:
                return None
            has_changed = True
            notices = (*before.notices, *self._subscribers.notices.make(change.kind, now, change.reason))
            return before.model_copy(update={**fields, "notices": notices})

        endpoint = self._endpoint
        after = await self._subscribers.directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, decide)
        if after is None:
            return
        self._endpoint = after  # as it is stored now, also if nothing was written
        self._subscribers.remember(after)
        if not has_changed:
            return
        if change.kind == RECOVERED:
            self._subscribers.recovered.put(self._name, now, now, STEADY_SECONDS)
        if change.kind == DISABLED:
            await self._subscribers.directory.announce_change(endpoint.tenant, "notify")
        severity = "WARNING" if change.kind == DISABLED else "INFO"
        logs.log(
            severity, f"endpoint {change.kind}", function="notify", endpoint=self._name, reason=change.reason or None
        )
        if after.notices:
            await self._subscribers.notices.publish(after)


def _changed_fields(before: Endpoint, change: HealthChange, limit: float, now: float) -> dict[str, object] | None:
    """Return the fields to change; None if the document has them already, or the endpoint has changed meanwhile."""
    since = before.failing_since
    if not before.is_enabled:
        return None
    if change.kind == RECOVERED:
        return None if since is None else {"failing_since": None}
    if change.kind == FAILING:
        return None if since is not None else {"failing_since": now}
    if change.by == "failures" and (since is None or now - since < limit):  # it recovered, or was enabled again
        return None
    return {"disabled_by": change.by, "disabled_reason": change.reason, "disabled_at": now}
