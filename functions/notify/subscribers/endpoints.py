"""The endpoints of subscribers as destinations: found by the name in a delivery, and called by the engine for HTTP.

`Endpoints` finds the endpoint and makes an `EndpointDestination` of it. That calls the engine (http_engine.py) with a
kind (`_EndpointKind`) and secrets (`EndpointSecrets`) of this endpoint. A configured destination gets both by its
settings.

What a tenant can correct (the URL, the headers, the secret) is retried by the schedule, and counts as a failure of the
endpoint. Where the receiver answers 410, or asks for no further deliveries, the delivery is final and the endpoint is
disabled: the tenant's message keeps the event.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from functions.notify.dead_letters import DeadLetterReason
from functions.notify.destination import Attempt, Context
from functions.notify.http_engine import HttpDestination
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues, outcome_by_status
from functions.notify.registry import DeliveryOptions, Target
from functions.notify.subscribers.health import EndpointHealth
from functions.notify.subscribers.subscribers import MAX_ENDPOINTS, Subscribers, SubscriberSettings
from shared import errors, jsontext, logs
from shared.config.rules import rate_of
from shared.delivery import Delivery, Disabled, Failed, Outcome, RetryLater
from shared.subscribers import names, sealing
from shared.subscribers.model import Endpoint, SealedText
from shared.subscribers.payload import EndpointSecretFault, PayloadStyle, endpoint_request, valid_secrets
from shared.timed_cache import TimedCache

KEEP_SECONDS: Final = 600.0
"""The time for which a prepared endpoint is reused while its document stays the same."""
KEY_PAUSE_SECONDS: Final = 300.0
"""How long an endpoint's deliveries wait while our key to its secret is missing or another one."""
SECRET: Final = "endpoint"  # noqa: S105 the name under which the engine has an endpoint's secrets
_CORRECTABLE: Final = frozenset({"address_blocked", "invalid_header", "invalid_url"})


class Endpoints:
    """The endpoints of all tenants, found by their names. What is made of an endpoint is kept until it changes.

    `configured` are all destinations; those that have `endpoint_options` are of the kind `subscribers`.
    """

    def __init__(self, configured: Mapping[str, DeliveryOptions], subscribers: Subscribers, context: Context) -> None:
        self._configured = configured
        self._subscribers = subscribers
        self._context = context
        self._targets: TimedCache[tuple[Endpoint, Target]] = TimedCache(MAX_ENDPOINTS)

    async def resolve(
        self, delivery: Delivery, changed_ms: int = 0, *, is_fresh: bool = False
    ) -> Target | DeadLetterReason:
        """Return the endpoint that the delivery is for, or why there is none.

        `changed_ms` and `is_fresh` are as in `Subscribers.endpoint`. A test event also finds a disabled endpoint.
        Raises Temporary.
        """
        name = delivery.destination
        name_parts = names.endpoint_name(name)
        base = self._configured.get(name_parts.destination) if name_parts else None
        if name_parts is None or base is None or base.endpoint_options is None:
            destination = name_parts.destination if name_parts else name
            return DeadLetterReason("unknown_destination", f"the configuration has no destination {destination!r}")
        tenant, id_ = name_parts.tenant, name_parts.endpoint
        endpoint = await self._subscribers.endpoint(tenant, id_, changed_ms, is_fresh=is_fresh)
        if endpoint is not None and not self._subscribers.is_ready(endpoint):
            # A dead letter is final, and the endpoint may have been enabled since, to recover what it missed.
            endpoint = await self._subscribers.endpoint(tenant, id_, is_fresh=True)
        if endpoint is None:
            return DeadLetterReason("endpoint_deleted", "the endpoint was deleted")
        if self._subscribers.settings.is_verified_first and not endpoint.is_verified:
            return DeadLetterReason("endpoint_disabled", "the endpoint has not proven yet that it wants events")
        if not endpoint.is_enabled:
            is_test_event = delivery.event.source == names.SUBSCRIBERS_SOURCE  # of this source, endpoints get no others
            if is_test_event:  # it is tried once
                return self._make(name, endpoint, replace(base.endpoint_options, retry_seconds=()))
            why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
            return DeadLetterReason("endpoint_disabled", f"the endpoint is disabled{why}")
        kept = self._targets.get(name, self._context.clock.now())
        # `Subscribers.endpoint` returns the same object until the document changes.
        if kept is not None and kept[0] is endpoint:
            return kept[1]
        target = self._make(name, endpoint, base.endpoint_options)
        self._targets.put(name, (endpoint, target), self._context.clock.now(), KEEP_SECONDS)
        return target

    def _make(self, name: str, endpoint: Endpoint, options: DeliveryOptions) -> Target:
        """Return the endpoint as a destination, with the options of its configured destination."""
        configured = replace(options, name=name, rate=_slower(endpoint.rate, options.rate), is_endpoint=True)
        settings = self._subscribers.settings
        destination = EndpointDestination(endpoint, _style(options), settings, self._context)
        return Target(configured, destination, EndpointHealth(endpoint, self._subscribers))


def _style(options: DeliveryOptions) -> PayloadStyle:
    return "data" if jsontext.value_at(options.settings, "payload") == "data" else "standard"


def _slower(rate_text: str, configured: tuple[int, float] | None) -> tuple[int, float] | None:
    """Return the slower one of the endpoint's rate and that of its destination. Either may be missing, or both."""
    try:
        tenants = rate_of(rate_text) if rate_text else None
    except ValueError:  # it was saved under another rule
        tenants = None
    if tenants is None or configured is None:
        return tenants or configured
    return min(tenants, configured, key=lambda rate: rate[0] / rate[1])


class SealingKeyFault(errors.Temporary):
    """The key to an endpoint's secret is missing, or is another one: our fault, not the tenant's."""


class EndpointSecrets:
    """The secrets of one endpoint, opened once for each key. `key_secret` is the name of the secret with the keys."""

    def __init__(self, endpoint: Endpoint, key_secret: str, context: Context) -> None:
        self._endpoint = endpoint
        self._key_secret = key_secret
        self._secrets = context.secrets
        self._clock = context.clock
        self._opened: dict[str, str] = {}
        self._sealer: sealing.Sealer | None = None

    async def read(self) -> SecretValues:
        """Return those that are valid now. Raises Temporary."""
        try:
            sealer = sealing.sealer_of(await self._secrets.values(self._key_secret))
            if sealer is not self._sealer:
                self._sealer, self._opened = sealer, {}
            valid = valid_secrets(self._endpoint, self._clock.now())
            return {SECRET: tuple(self._open(sealer, secret.sealed) for secret in valid)}
        except errors.Temporary as error:
            raise SealingKeyFault("secret_unusable", error.detail) from error

    def outcome_of_fault(self, error: errors.Temporary) -> Outcome:
        """Return the outcome if the secret is at fault. Raises any other error.

        The tenant reads the reason. If our key is at fault, it only says so, and the log has the detail.
        """
        if isinstance(error, EndpointSecretFault):
            return RetryLater(error.detail)
        if isinstance(error, SealingKeyFault):
            name = self._endpoint.full_name
            logs.log("ERROR", "secret of an endpoint not read", function="notify", endpoint=name, detail=error.detail)
            reason = "the endpoint's secret cannot be read now, and the operator has to fix that"
            return RetryLater(reason, pause_destination_seconds=KEY_PAUSE_SECONDS)
        if error.code != "secret_unusable":
            raise error
        # The engine's own detail tells an operator to set a secret by its name, so the tenant gets another text.
        return RetryLater("the endpoint's secret has a character that no header can hold")

    async def unless_changed(self, outcome: Outcome, used: SecretValues) -> Outcome:  # noqa: ARG002 as the engine asks
        """Return the outcome: a secret that changes is a change of the endpoint, which is read again soon."""
        return outcome

    def _open(self, sealer: sealing.Sealer, sealed: SealedText) -> str:
        if sealed.content not in self._opened:
            self._opened[sealed.content] = sealer.open(
                sealed, sealing.seal_context(self._endpoint.tenant, self._endpoint.id)
            )
        return self._opened[sealed.content]


class _EndpointKind:
    """The kind of HTTP requests (http_kind.py) that an endpoint gets. It has no settings, but the endpoint itself."""

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
        """Return the signed request. Raises EndpointSecretFault."""
        key, timestamp = attempt.idempotency_key, int(attempt.now)
        request = endpoint_request(self._endpoint, secrets[SECRET], delivery.event, self._style, key, timestamp)
        return OutgoingRequest(
            "POST",
            url=request.url,
            headers=request.headers,
            body=request.body,
            allow_private=self._settings.allow_private,
            allow_http=self._settings.allow_http,
            credentials=tuple(self._endpoint.headers.values()),
        )

    def outcome(self, response: Response) -> Outcome:
        return outcome_by_status(response, "the receiver")


class EndpointDestination:
    """An endpoint as a destination. The receiver recognises a repeat by `webhook-id`."""

    dedupes_repeats = True

    def __init__(self, endpoint: Endpoint, style: PayloadStyle, settings: SubscriberSettings, context: Context) -> None:
        kind = _EndpointKind(endpoint, style, settings)
        secrets = EndpointSecrets(endpoint, settings.secret, context)
        self._http = HttpDestination(kind, settings=None, secret_names=(), context=context, secrets=secrets)

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        """Deliver once, and return the outcome. Raises as `Destination.attempt`.

        A fault that the tenant can correct is retried. If the receiver asks for no further deliveries, the outcome is
        Failed: the endpoint is disabled, and not the operator's destination.
        """
        try:
            outcome = await self._http.attempt(delivery, attempt)
        except errors.Permanent as error:
            if error.code not in _CORRECTABLE:
                raise
            return RetryLater(f"{error.code}: {error.detail}")
        if isinstance(outcome, Disabled):
            return Failed("endpoint_disabled", outcome.reason, outcome.answer)
        return outcome
