"""The endpoints of subscribers as destinations: found by the name in a delivery, and called by the engine for HTTP.

What a tenant can correct (the URL, the headers, the secret) is retried by the schedule, and counts as a failure of the
endpoint. Where the receiver answers 410, or asks for no further deliveries, the delivery is final and the endpoint is
disabled: the tenant's message keeps the event.

An attempt changes the endpoint's document only if the endpoint's health changes. What cannot be written is logged: a
later attempt finds the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from functions.notify.destination import Attempt, Context
from functions.notify.http_engine import HttpDestination
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues, outcome_by_status
from functions.notify.notifier import Rejection, Target
from functions.notify.registry import Configured
from functions.notify.subscribers.subscribers import (
    DISABLED,
    FAILING,
    MAX_ENDPOINTS,
    RECOVERED,
    Subscribers,
    SubscriberSettings,
    TimedCache,
)
from shared.config.rules import rate_of
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Permanent, Temporary
from shared.logs import log
from shared.ports import Clock, Secrets
from shared.subscribers.directory import endpoints_of
from shared.subscribers.model import DisabledBy, Endpoint, EndpointSecret, SealedText
from shared.subscribers.names import SUBSCRIBERS_SOURCE, endpoint_name
from shared.subscribers.payload import PayloadStyle, endpoint_request, valid_secrets
from shared.subscribers.sealing import Sealer, seal_context, sealer_of
from shared.times import duration_text

KEEP_SECONDS: Final = 600.0
"""How long what was made of an endpoint is used again, as long as its document stays the same."""
KEY_PAUSE_SECONDS: Final = 300.0
"""How long an endpoint's deliveries wait while our key to its secret is missing or another one."""
FAILS_FROM: Final = 2
"""An endpoint counts as failing from this attempt at a delivery on: the first one may fail by chance."""
MAX_REASON_CHARACTERS: Final = 500
DAY_SECONDS: Final = 86_400.0
SECRET: Final = "endpoint"  # noqa: S105 the name under which the engine has an endpoint's secrets
_CORRECTABLE: Final = frozenset({"address_blocked", "invalid_header", "invalid_url"})


class Endpoints:
    """`configured` are all destinations; those that have `endpoints` are of the kind `subscribers`."""

    def __init__(
        self,
        configured: Mapping[str, Configured],
        subscribers: Subscribers,
        context: Context,
    ) -> None:
        self._configured = configured
        self._subscribers = subscribers
        self._context = context
        self._seals = Seals(context.secrets, subscribers.settings.secret)
        self._made: TimedCache[tuple[Endpoint, Target]] = TimedCache(context.clock, MAX_ENDPOINTS, KEEP_SECONDS)

    async def resolve(self, delivery: Delivery) -> Target | Rejection:
        """Return the endpoint that the delivery is for, or why there is none.

        A test event also finds a disabled one. Raises Temporary.
        """
        name = delivery.destination
        parts = endpoint_name(name)
        base = self._configured.get(parts.destination) if parts else None
        if parts is None or base is None or base.endpoints is None:
            destination = parts.destination if parts else name
            return Rejection("unknown_destination", f"the configuration has no destination {destination!r}")
        endpoint = await self._subscribers.endpoint(parts.tenant, parts.endpoint)
        if endpoint is not None and not self._subscribers.is_ready(endpoint):
            # A rejection is final, and the endpoint may have been enabled since, to recover what it missed.
            endpoint = await self._subscribers.endpoint(parts.tenant, parts.endpoint, is_fresh=True)
        if endpoint is None:
            return Rejection("endpoint_deleted", "the endpoint was deleted")
        if self._subscribers.settings.is_verified_first and not endpoint.is_verified:
            return Rejection("endpoint_disabled", "the endpoint has not proven yet that it wants events")
        if not endpoint.is_enabled:
            if delivery.event.source == SUBSCRIBERS_SOURCE:  # a test event: no others of this source go to endpoints
                return self._make(name, endpoint, replace(base.endpoints, retry_seconds=()))
            why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
            return Rejection("endpoint_disabled", f"the endpoint is disabled{why}")
        made = self._made.get(name)
        if made is None or made[0] is not endpoint:
            made = endpoint, self._make(name, endpoint, base.endpoints)
            self._made.put(name, made)
        return made[1]

    def _make(self, name: str, endpoint: Endpoint, options: Configured) -> Target:
        health = EndpointHealth(endpoint, self._subscribers)
        configured = replace(options, name=name, rate=_slower(endpoint.rate, options.rate), health=health)
        settings = self._subscribers.settings
        destination = EndpointDestination(endpoint, _style(options), settings, self._context, self._seals)
        return Target(configured, destination)


def _style(options: Configured) -> PayloadStyle:
    settings = options.settings
    return "data" if isinstance(settings, dict) and settings.get("payload") == "data" else "standard"


def _slower(own: str, configured: tuple[int, float] | None) -> tuple[int, float] | None:
    """Return the endpoint's own rate, where it is no faster than the destination's."""
    try:
        wanted = rate_of(own) if own else None
    except ValueError:  # it was saved under another rule
        wanted = None
    if wanted is None or configured is None:
        return wanted or configured
    return min(wanted, configured, key=lambda rate: rate[0] / rate[1])


class Seals:
    """The key to sealed secrets, made again when its secret changes."""

    def __init__(self, secrets: Secrets, name: str) -> None:
        self._secrets = secrets
        self._name = name
        self._made: tuple[tuple[str, ...], Sealer] | None = None

    async def sealer(self) -> Sealer:
        """Raises Temporary."""
        values = await self._secrets.values(self._name)
        if self._made is None or self._made[0] != values:
            self._made = values, sealer_of(values)
        return self._made[1]


class SealingKeyFault(Temporary):
    """The key to an endpoint's secret is missing, or is another one: our fault, not the tenant's."""


class EndpointSecrets:
    """The secrets of one endpoint, opened once for each key."""

    def __init__(self, endpoint: Endpoint, seals: Seals, clock: Clock) -> None:
        self._endpoint = endpoint
        self._seals = seals
        self._clock = clock
        self._opened: dict[str, str] = {}
        self._sealer: Sealer | None = None

    async def read(self) -> SecretValues:
        """Return those that are valid now. Raises Temporary."""
        try:
            sealer = await self._seals.sealer()
            if sealer is not self._sealer:
                self._sealer, self._opened = sealer, {}
            return {SECRET: tuple(self._open(sealer, each.sealed) for each in self._valid())}
        except Temporary as error:
            raise SealingKeyFault("secret_unusable", error.detail) from error

    def outcome_of_fault(self, error: Temporary) -> Outcome:
        if isinstance(error, SealingKeyFault):
            name = self._endpoint.full_name
            log("ERROR", "secret of an endpoint not read", function="notify", endpoint=name, detail=error.detail)
            reason = "the endpoint's secret cannot be read now, and the operator has to fix that"
            return RetryLater(reason, pause_destination_seconds=KEY_PAUSE_SECONDS)
        if error.code != "secret_unusable":
            raise error
        ours = error.detail.startswith("the endpoint")
        return RetryLater(error.detail if ours else "the endpoint's secret has a character that no header can hold")

    async def unless_changed(self, outcome: Outcome, used: SecretValues) -> Outcome:  # noqa: ARG002 as the engine asks
        return outcome

    def _valid(self) -> tuple[EndpointSecret, ...]:
        return valid_secrets(self._endpoint, self._clock.now())

    def _open(self, sealer: Sealer, sealed: SealedText) -> str:
        if sealed.content not in self._opened:
            self._opened[sealed.content] = sealer.open(sealed, seal_context(self._endpoint.tenant, self._endpoint.id))
        return self._opened[sealed.content]


class _EndpointKind:
    DEDUPES_REPEATS: Final = True

    def __init__(self, endpoint: Endpoint, style: PayloadStyle, settings: SubscriberSettings) -> None:
        self._endpoint = endpoint
        self._style = style
        self._settings = settings

    def request(
        self,
        delivery: Delivery,
        settings: object,  # noqa: ARG002 the interface of a kind
        secrets: SecretValues,
        attempt: Attempt,
    ) -> OutgoingRequest:
        key, timestamp = attempt.idempotency_key, int(attempt.now)
        made = endpoint_request(self._endpoint, secrets[SECRET], delivery.event, self._style, key, timestamp)
        return OutgoingRequest(
            "POST",
            made.url,
            made.headers,
            made.body,
            allow_private=self._settings.allow_private,
            allow_http=self._settings.allow_http,
            credentials=tuple(self._endpoint.headers.values()),
        )

    def outcome(self, response: Response) -> Outcome:
        return outcome_by_status(response, "the receiver")


class EndpointDestination:
    dedupes_repeats = True

    def __init__(
        self, endpoint: Endpoint, style: PayloadStyle, settings: SubscriberSettings, context: Context, seals: Seals
    ) -> None:
        kind, secrets = _EndpointKind(endpoint, style, settings), EndpointSecrets(endpoint, seals, context.clock)
        self._http = HttpDestination(kind, None, (), context, secrets=secrets)

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        try:
            outcome = await self._http.attempt(delivery, attempt)
        except Permanent as error:
            if error.code not in _CORRECTABLE:
                raise
            return RetryLater(f"{error.code}: {error.detail}")
        if isinstance(outcome, Disabled):
            return Failed("endpoint_disabled", outcome.reason, outcome.answer)
        return outcome


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

    async def note(self, outcome: Outcome, attempt_number: int, now: float) -> None:
        """Note the outcome of an attempt. What cannot be written is logged."""
        change = self._change_after(outcome, attempt_number, now)
        if change is None:
            return
        try:
            await self._write(change, now)
        except Temporary as error:
            fault = {"code": error.code, "detail": error.detail}
            log("WARNING", "health not noted", function="notify", endpoint=self._name, **fault)

    def _change_after(self, outcome: Outcome, attempt_number: int, now: float) -> HealthChange | None:
        """Return the change that the outcome asks for; None for none."""
        since = self._endpoint.failing_since
        if isinstance(outcome, Delivered):
            return None if since is None else HealthChange(RECOVERED)
        if isinstance(outcome, Failed) and outcome.code == "endpoint_disabled":
            return HealthChange(DISABLED, outcome.reason, "receiver")
        if isinstance(outcome, Failed) or (isinstance(outcome, RetryLater) and outcome.pause_destination_seconds):
            return None  # the receiver answered, or the fault is ours
        limit = self._subscribers.settings.disable_after_seconds
        if since is not None:
            if now - since < limit:
                return None
            days = f"{limit / DAY_SECONDS:g} days" if limit >= DAY_SECONDS else duration_text(limit)
            return HealthChange(DISABLED, f"all deliveries failed for {days}, the last: {outcome.reason}", "failures")
        has_just_recovered = self._subscribers.recovered.get(self._name) is not None
        if attempt_number < FAILS_FROM or has_just_recovered:
            return None
        return HealthChange(FAILING, outcome.reason)

    async def _write(self, change: HealthChange, now: float) -> None:
        """Write the change and its notice, and make it known. Raises Temporary."""
        reason = change.reason[:MAX_REASON_CHARACTERS]
        has_changed = False

        def decide(before: Endpoint | None) -> Endpoint | None:
            nonlocal has_changed
            has_changed = False
            if before is None or before.url != self._endpoint.url:  # the attempt was made at another URL
                return None
            fields = _changed_fields(before, change, self._subscribers.settings.disable_after_seconds, now)
            if fields is None:
                return None
            has_changed = True
            notices = (*before.notices, *self._subscribers.notices.notices(change.kind, now, reason))
            return before.model_copy(update={**fields, "notices": notices})

        endpoint = self._endpoint
        after = await self._subscribers.directory.change(Endpoint, endpoints_of(endpoint.tenant), endpoint.id, decide)
        if after is None:
            return
        self._endpoint = after
        self._subscribers.remember(after)
        if not has_changed:
            return
        if change.kind == RECOVERED:
            self._subscribers.recovered.put(self._name, now)
        if change.kind == DISABLED:
            await self._subscribers.directory.announce_change(endpoint.tenant, "notify")
        severity = "WARNING" if change.kind == DISABLED else "INFO"
        log(severity, f"endpoint {change.kind}", function="notify", endpoint=self._name, reason=reason or None)
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
    reason = change.reason[:MAX_REASON_CHARACTERS]
    return {"disabled_by": change.by, "disabled_reason": reason, "disabled_at": now}
