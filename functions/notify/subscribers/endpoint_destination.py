"""An endpoint as a destination: one request, by the engine of destinations that speak HTTP.

What a tenant can correct (its URL, its headers, its secret) is retried by the schedule, and counts as a failure of the
endpoint. Where the receiver answers 410, or asks for no further deliveries, the delivery is final and the endpoint is
disabled (endpoint_health.py): the tenant's message keeps the event.
"""

from collections.abc import Callable
from typing import Final, Protocol

from functions.notify.destination import Attempt, Context
from functions.notify.http_engine import HttpDestination
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues, outcome_by_status
from functions.notify.subscribers.settings import SubscriberSettings
from shared.delivery import Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Permanent, Temporary
from shared.logs import log
from shared.ports import Clock, Secrets
from shared.subscribers.keys import seal_context
from shared.subscribers.model import Endpoint, EndpointSecret, SealedText
from shared.subscribers.payload import PayloadStyle, endpoint_request, valid_secrets

SECRET: Final = "endpoint"  # noqa: S105 the name under which the engine has an endpoint's secrets
KEY_PAUSE_SECONDS: Final = 300.0
"""How long an endpoint's deliveries wait while our key to its secret is missing or another one."""
_CORRECTABLE: Final = frozenset({"address_blocked", "invalid_header", "invalid_url"})


class Opener(Protocol):
    """A cipher that opens sealed secrets: see shared/subscribers/sealing.py."""

    def open(self, sealed: SealedText, context: str) -> str: ...


MakeOpener = Callable[[tuple[str, ...]], Opener]
"""From the values of the key's secret, newest first. Raises Temporary for what is no key."""


class Seals:
    """The key to sealed secrets, made again when its secret changes."""

    def __init__(self, secrets: Secrets, name: str, make: MakeOpener) -> None:
        self._secrets = secrets
        self._name = name
        self._make = make
        self._made: tuple[tuple[str, ...], Opener] | None = None

    async def opener(self) -> Opener:
        """Raises Temporary."""
        values = await self._secrets.values(self._name)
        if self._made is None or self._made[0] != values:
            self._made = values, self._make(values)
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
        self._opener: Opener | None = None

    async def read(self) -> SecretValues:
        """Return those that are valid now. Raises Temporary."""
        try:
            opener = await self._seals.opener()
            if opener is not self._opener:
                self._opener, self._opened = opener, {}
            return {SECRET: tuple(self._open(opener, each.sealed) for each in self._valid())}
        except Temporary as error:
            raise SealingKeyFault("secret_unusable", error.detail) from error

    def outcome_of_fault(self, error: Temporary) -> Outcome:
        if isinstance(error, SealingKeyFault):
            name = self._endpoint.full_name
            log("ERROR", "secret of an endpoint not read", function="notify", endpoint=name, detail=error.detail)
            reason = "the endpoint's secret cannot be read now, and the operator has to repair that"
            return RetryLater(reason, pause_destination_seconds=KEY_PAUSE_SECONDS)
        if error.code != "secret_unusable":
            raise error
        ours = error.detail.startswith("the endpoint")
        return RetryLater(error.detail if ours else "the endpoint's secret has a character that no header can hold")

    async def unless_changed(self, outcome: Outcome, used: SecretValues) -> Outcome:  # noqa: ARG002 as the engine asks
        return outcome

    def _valid(self) -> tuple[EndpointSecret, ...]:
        return valid_secrets(self._endpoint, self._clock.now())

    def _open(self, opener: Opener, sealed: SealedText) -> str:
        if sealed.content not in self._opened:
            self._opened[sealed.content] = opener.open(sealed, seal_context(self._endpoint.tenant, self._endpoint.id))
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
