"""The contract of a destination, and of the module of each kind of destinations.

A kind that speaks HTTP is described in http_kind.py. Any other kind `chat` is the module
`functions.notify.destinations.chat`, which exposes

    Settings    a pydantic model, frozen, extra="forbid", with a docstring of one line: what a slice's `settings` hold
    connect     `(name, settings, context) -> Destination`; it opens nothing: connections are made at the first attempt

and may expose

    preview     `(delivery, settings) -> Iterator[str]`: what `hookchain explain` shows of a delivery, a summary first

A kind that needs a package of its own, as `email`, exposes `connect` in the module of its name in there, and `Settings`
in the module `settings`. notify does not import the second: `connect` gets the JSON that `Settings` validated and wrote
into the slice, with every default filled in. One that speaks HTTP, as `webhook`, exposes `read_settings` beside its two
functions, which makes their settings of that JSON.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol

from shared import errors, jsontext, ports
from shared.delivery import Delivery, Outcome
from shared.fetch import Fetch
from shared.outgoing.http_client import Answer
from shared.settings import Settings

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person
    from functions.notify.subscribers.subscribers import Subscribers
    from shared.outgoing.access_tokens import TokenCache
    from shared.outgoing.authenticator import CloudIdentity

KINDS: Final = "functions.notify.destinations"
REPAIR: Final = "-repair"
"""The suffix of a replay's id that a fan-out gives to its next page, where only failed deliveries are sent again."""


def kind_module(kind: str, in_package: str = "") -> str:
    """Return the full name of a kind's module. Of a folder, that is the module with the folder's name.

    `in_package` asks for another module of a folder, where it has one. Raises ModuleNotFoundError for an unknown kind.
    """
    name = f"{KINDS}.{kind}"
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"there is no kind {kind!r} of destinations", name=name)
    if spec.submodule_search_locations is None:
        return name
    has_part = in_package and importlib.util.find_spec(f"{name}.{in_package}")
    return f"{name}.{in_package if has_part else kind}"


def read_settings(kind: ModuleType, compiled: jsontext.Json) -> object:
    """Return the settings as the kind's functions take them; `compiled` is what its `Settings` wrote into the slice.

    Raises KeyError, TypeError or ValueError for settings that it did not write.
    """
    if hasattr(kind, "read_settings"):
        settings: object = kind.read_settings(compiled)
        return settings
    return kind.Settings.model_validate(compiled) if hasattr(kind, "Settings") else compiled


# Not frozen, because a frozen dataclass takes longer to create. Nothing changes an attempt.
@dataclass(slots=True)
class Attempt:
    """One try of a delivery.

    idempotency_key   the delivery's id, `<id>-r<generation>` once it was reopened: the same through all retries
    attempt_number    from 1 in each generation
    generation        0, and one more each time an operator reopens the delivery
    now               Unix seconds at its start
    timeout_seconds   the destination ends the attempt by itself after that long, and says what came of it; a second
                      later it is cancelled, which counts as Unknown. A thread limits itself: it cannot be cancelled
    is_repair         the delivery was reopened, and what was reopened had failed
    undelivered_since the generation after the last one that was delivered, or 0
    person            the recipient, with the address that the kind needs, where the destination's `to` names a person
    """

    idempotency_key: str
    attempt_number: int
    generation: int
    now: float
    timeout_seconds: float
    person: "Person | None" = None
    is_repair: bool = False
    undelivered_since: int = 0

    @property
    def row_key(self) -> str:
        """Return the key of a row or document: the same until one was delivered, however often it is replayed.

        It may be there although no answer came. A receiver that keeps its answers needs the other key.
        """
        if self.undelivered_since == self.generation:
            return self.idempotency_key
        first = self.idempotency_key.removesuffix(f"-r{self.generation}")
        return f"{first}-r{self.undelivered_since}" if self.undelivered_since else first

    @property
    def may_be_there(self) -> bool:
        """True where an earlier attempt may have written the row or document."""
        return self.attempt_number > 1 or self.generation > 0

    def recipient_address(self, field: str) -> str:
        """Return the person's address. notify makes no attempt where `to` names a person who lacks it."""
        address = self.person.address(field) if self.person else None
        assert address is not None
        return address


class CloudApi(Protocol):
    """A service of the cloud that this function runs on. Each call is authenticated as this function's."""

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Answer:
        """Raises OSErrors as HttpClient does, and Temporary where there are no credentials."""
        ...


def no_fetch() -> Fetch:
    raise errors.Temporary("destination_not_loaded", "this process cannot call other systems")


def no_identity() -> "CloudIdentity":
    from shared.outgoing.authenticator import CloudIdentity

    return CloudIdentity()


def no_subscribers() -> "Subscribers":
    raise errors.Temporary("destination_not_loaded", "notify's slice has no `subscribers`; bundle it again")


def own_tokens() -> "TokenCache":
    """Return a cache of its own for each destination."""
    from shared.outgoing.access_tokens import TokenCache

    return TokenCache()


@dataclass(frozen=True, slots=True)
class Context:
    """The ports that every destination may use.

    `blobs` is None if the platform has none, `ses` (Amazon SES, which sends mail) on other platforms than AWS.
    `fetch` returns the guarded fetch, one for all destinations, made at its first use. `cloud` returns this
    function's own identity on its platform, which some requests are authenticated by. `tokens` returns the access
    tokens that destinations share: those with the same client at the same server ask for one token.
    `subscribers` returns the directory of subscribers, where the configuration has any.
    """

    secrets: ports.Secrets
    settings: Settings
    blobs: ports.Blobs | None
    clock: ports.Clock
    ses: CloudApi | None = None
    fetch: Callable[[], Fetch] = no_fetch
    cloud: Callable[[], "CloudIdentity"] = no_identity
    tokens: Callable[[], "TokenCache"] = own_tokens
    subscribers: Callable[[], "Subscribers"] = no_subscribers


class Destination(Protocol):
    """A place to deliver to, connected.

    `dedupes_repeats` is True only where the receiver is told `Attempt.idempotency_key` and is specified to act on a
    key once. After an attempt whose outcome is unknown, such a destination gets the rest of its schedule; any other
    gets no further attempt after three in a row. A kind that does not have the attribute counts as False.
    """

    dedupes_repeats: bool

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        """Try once; whether and when to try again is not decided here. Many attempts run at once.

        Raises Temporary where one of our own parts (the secret store, the blobs) fails before anything was sent: the
        attempt does not count. Raises Permanent for what this delivery can never become (its template fails): a dead
        letter with that code, as Failed.

        Returns Unknown, or raises TimeoutError, only where the whole request was sent and no answer came. A connection
        that fails before that is RetryLater: nothing was sent, so a retry repeats nothing.
        """
        ...
