"""The parts that the handlers need: the settings, and the ports on the platform."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from functions.subscribe.keyring import Keyring
from functions.subscribe.request_rate import RequestRate
from functions.subscribe.settings import SubscribeSettings
from shared.fetch import Fetch
from shared.ledger import Ledger
from shared.ports import Blobs, Bus, Clock
from shared.store_ports import Documents
from shared.subscribers.directory import Directory


@dataclass(slots=True)
class PublishedCatalogue:
    """The page of the catalogue, used until a time: anybody may ask for it, and it takes all event types to make."""

    page: bytes = b""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """
    random_bytes  returns so many bytes that nobody can guess
    elapsed       counts seconds from any moment on
    request_rate  that of tenants; None if only the operator makes requests
    """

    settings: SubscribeSettings
    directory: Directory
    keyring: Keyring
    ledger: Ledger
    bus: Bus
    blobs: Blobs | None
    fetch: Callable[[], Fetch]
    clock: Clock
    random_bytes: Callable[[int], bytes]
    elapsed: Callable[[], float] = field(default=monotonic)
    catalogue: PublishedCatalogue = field(default_factory=PublishedCatalogue)
    request_rate: RequestRate | None = None

    @property
    def documents(self) -> Documents:
        return self.directory.documents
