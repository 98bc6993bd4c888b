"""The contract of a destination, and of the module of each kind of destinations.

http_kind.py describes the kinds that send HTTP requests. Any other kind, for example one named `chat`, is the module
`functions.notify.destinations.chat`, which has

    Settings    a pydantic model, frozen, extra="forbid": the `settings` of a destination in the slice
    connect     `(name, settings, context) -> Destination`. It opens no connections: the first attempt does that

and may have

    preview     `(delivery, settings) -> Iterator[str]`: the lines that `hookchain explain` shows for a delivery, a
                summary first

A kind can also be a package, such as `email`. Then `connect` is in the package's module of the same name, and
`Settings` is in its module `settings`, which notify does not import. `connect` gets the JSON that `Settings` validated
and wrote into the slice, with all defaults. A package that sends HTTP requests, such as `webhook`, also has
`read_settings`, which turns this JSON into the settings for its two functions.
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
    """Return the full name of a kind's module. If the kind is a package, it is the package's module of the same name.

    `in_package` is the name of another module, which is returned if the package has it. Raises ModuleNotFoundError for
    an unknown kind.
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
    """Return the settings for the kind's functions, from the JSON that its `Settings` wrote into the slice.

    Raises KeyError, TypeError or ValueError if its `Settings` did not write this JSON.
    """
    if hasattr(kind, "read_settings"):
        settings: object = kind.read_settings(compiled)
        return settings
    return kind.Settings.model_validate(compiled) if hasattr(kind, "Settings") else compiled


# Not frozen, because a frozen dataclass takes longer to create. Nothing changes an attempt.
@dataclass(slots=True)
class Attempt:
    """One try of a delivery.

    idempotency_key   the delivery's id, or `<id>-r<generation>` after it was reopened. It is the same in all retries
    attempt_number    from 1 in each generation
    generation        0 at first, and one more each time an operator reopens the delivery
    now               the start of the attempt, in Unix seconds
    timeout_seconds   the destination must end the attempt by itself within this time, and return its outcome. A second
                      later it is cancelled, which counts as Unknown. A thread cannot be cancelled: it must end itself
    person            the recipient, with the address that the kind needs, if the destination's `to` names a person
    is_repair         the delivery was reopened after a failure
    undelivered_since the generation after the last one that was delivered; 0 if none was
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
        """Return the key for the row or document that the delivery writes. It stays the same through replays until the
        delivery succeeds.

        So a row that an earlier attempt wrote without an answer is found again. A receiver that stores its answers by
        the key needs `idempotency_key` instead, which is new in each replay.
        """
        if self.undelivered_since == self.generation:
            return self.idempotency_key
        first = self.idempotency_key.removesuffix(f"-r{self.generation}")
        return f"{first}-r{self.undelivered_since}" if self.undelivered_since else first

    @property
    def may_be_there(self) -> bool:
        """Return whether an earlier attempt may have written the row or document."""
        return self.attempt_number > 1 or self.generation > 0

    def recipient_address(self, field: str) -> str:
        """Return the recipient's address. It exists, because notify makes no attempt for a person without it."""
        address = self.person.address(field) if self.person else None
        assert address is not None
        return address


class CloudApi(Protocol):
    """A service of the cloud that this function runs on. Each call is authenticated as this function's."""

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Answer:
        """Send a request and return the answer. Raises OSErrors as HttpClient, and Temporary without credentials."""
        ...


def no_subscribers() -> "Subscribers":
    raise errors.Temporary("destination_not_loaded", "notify's slice has no `subscribers`; bundle it again")


@dataclass(frozen=True, slots=True)
class Context:
    """The ports that every destination may use.

    blobs        None if the platform has no store of blobs
    fetch        returns the guarded fetch, which all destinations share. It is made at its first use
    cloud        returns this function's own identity on its platform, by which some requests are authenticated
    tokens       returns the access tokens. Destinations with the same client at the same server share a token
    ses          Amazon SES, which sends mail; None on platforms other than AWS
    subscribers  returns the directory of subscribers, if the configuration has any
    """

    secrets: ports.Secrets
    settings: Settings
    blobs: ports.Blobs | None
    clock: ports.Clock
    fetch: Callable[[], Fetch]
    cloud: Callable[[], "CloudIdentity"]
    tokens: Callable[[], "TokenCache"]
    ses: CloudApi | None = None
    subscribers: Callable[[], "Subscribers"] = no_subscribers


class Destination(Protocol):
    """A connected destination.

    `dedupes_repeats` is True only if the receiver gets `Attempt.idempotency_key` and guarantees to act once for each
    key. Then all attempts of the schedule are made after an unknown outcome. For any other destination, three unknown
    outcomes in a row end the delivery. Without the attribute, it counts as False.
    """

    dedupes_repeats: bool

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        """Deliver once, and return the outcome. Many attempts run at the same time. The caller decides about retries.

        Raises Temporary if a part of Hookchain, such as the secret store, fails before anything was sent. Then the
        attempt does not count. Raises Permanent if this delivery can never succeed, for example because its template
        fails. It becomes a dead letter, as after Failed.

        Return Unknown, or raise TimeoutError, only if the whole request was sent and no answer came. If a connection
        fails before that, return RetryLater: nothing was sent, so a retry repeats nothing.
        """
        ...
