from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias, TypedDict

from functions.notify.destination import Attempt, Context, Destination
from functions.notify.digests.settings import GatherSettings
from functions.notify.registry import DeliveryOptions, Destinations, RecipientRule
from shared.delivery import Delivered, Delivery, Outcome
from shared.fetch import Fetch
from shared.outgoing.access_tokens import TokenCache
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.circuit import BreakerSettings
from shared.ports import Secrets
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets

Answer: TypeAlias = Outcome | BaseException | Callable[[Delivery, Attempt], Awaitable[Outcome]]


class FakeDestination:
    """Answers what `answers` hold, one after another, then Delivered; an exception is raised, a function called."""

    def __init__(self, *answers: Answer, dedupes_repeats: bool = False) -> None:
        self.answers = list(answers)
        self.dedupes_repeats = dedupes_repeats
        self.attempts: list[Attempt] = []
        self.delivered: list[Delivery] = []

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        self.attempts.append(attempt)
        answer = self.answers.pop(0) if self.answers else Delivered("202 Accepted")
        if isinstance(answer, BaseException):
            raise answer
        outcome = await answer(delivery, attempt) if callable(answer) else answer
        if isinstance(outcome, Delivered):
            self.delivered.append(delivery)
        return outcome


class Options(TypedDict, total=False):
    """The options that a test gives a destination."""

    retry_seconds: tuple[float, ...]
    timeout_seconds: float
    on_unknown: str
    expires_after_seconds: float
    otherwise: str
    breaker: BreakerSettings
    rate: tuple[int, float]
    in_flight: int
    per: str
    recipient: RecipientRule
    gather: GatherSettings


class FakeDestinations(Destinations):
    """Destinations that were made by a test, and need no module."""

    def __init__(self, made: dict[str, Destination], *, options: Mapping[str, Options] = MappingProxyType({})) -> None:
        usual = Options(retry_seconds=(5.0, 300.0), timeout_seconds=15.0, on_unknown="resend")
        all_options = {name: usual | options.get(name, {}) for name in made}
        configured = {name: DeliveryOptions(name, "fake", None, **each) for name, each in all_options.items()}
        super().__init__(configured, a_context())
        self._made = made

    def connected(self, configured: DeliveryOptions) -> Destination:
        return self._made[configured.name]


def a_context(secrets: Secrets | None = None, fetch: Fetch | None = None) -> Context:
    """Return a context over fakes. Its only way out is `fetch`. Each destination has access tokens of its own."""
    way_out = fetch or FakeFetch()
    return Context(
        secrets=secrets or FakeSecrets({}),
        settings=read_settings({"HOOKCHAIN_STATE": "unused"}),
        blobs=FakeBlobs(),
        clock=FakeClock(),
        fetch=lambda: way_out,
        cloud=CloudIdentity,
        tokens=TokenCache,
    )
