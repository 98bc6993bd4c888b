"""The ports: all that the functions need of a platform. `shared/cloud/` has one implementation for each platform.

Every implementation, and every fake, passes the contract suite of its port in tests/contract. A port raises Temporary
when the platform fails. Its docstrings name every other exception. All calls are asynchronous; a call that is cancelled
before it begins its work does nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

EVENTS: Final = "events"
DELIVERIES: Final = "deliveries"
DEAD_LETTERS: Final = "dead-letters"
TOPIC_NAMES: Final = (EVENTS, DELIVERIES, DEAD_LETTERS)


class Clock(Protocol):
    def now(self) -> float:
        """Return Unix seconds."""
        ...


class Secrets(Protocol):
    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        """Return the values, newest first, never none. Raises Temporary (`secret_unavailable`, `secret_weak`).

        Values may be minutes old, unless they are to be `fresh`.
        """
        ...


@dataclass(slots=True)
class BusMessage:
    """A message of a topic. The bus keeps it back for `delay_seconds` where it can: see `Bus.max_delay_seconds`."""

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


class Bus(Protocol):
    @property
    def max_delay_seconds(self) -> float:
        """The longest delay of a message: 0 where the bus has none, and ignores it."""
        ...

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        """Return once the bus has confirmed all of them. Raises Temporary: they may have arrived or not.

        Cancelled before its batch is sent, none of the messages is published.
        """
        ...


class Blobs(Protocol):
    async def put(self, name: str, content: bytes) -> None:
        """Write the blob. The same name again replaces it."""
        ...

    async def create(self, name: str, content: bytes) -> None:
        """Write a name that says what its content is. Where the name exists already, its content stays."""
        ...

    async def get(self, name: str) -> bytes | None: ...

    async def delete(self, name: str) -> None: ...


class Owners(Protocol):
    """The record of which event was first with a key."""

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        """Return the id of the event that owns the key. If none has owned it within the window, `event_id` does now."""
        ...


Slots: TypeAlias = tuple[float, float, int]
"""Moments of a bucket: the first, the seconds from one to the next, and how many are reserved; 0 for none."""


class Lease(NamedTuple):
    """Places of a bucket.

    is_contended  others have fewer than they want
    is_queued     slots are reserved ahead, so that nothing was leased, and what the holder has stays as it was
    """

    places: int
    is_contended: bool = False
    is_queued: bool = False


class Grants(Protocol):
    """Shares of what all instances may use together. A bucket has slots or places.

    Slots can be leased too, as the places of a limit: then they are not reserved by their time, but paced by the
    holder.
    """

    async def reserve(self, bucket: str, most: int, interval: float, now: float, ahead: float, limit: int = 0) -> Slots:
        """Reserve up to so many slots, `interval` seconds apart.

        Where the first free slot is more than `ahead` seconds away, none is reserved. `limit` is that of the bucket's
        leases: while others last, they leave fewer slots, which are further apart.
        """
        ...

    async def lease(
        self, bucket: str, holder: str, wanted: int, limit: int, now: float, seconds: float, used: int = 0
    ) -> Lease:
        """Lease up to `wanted` of the bucket's `limit` places, instead of those that the holder has.

        They are the holder's for `seconds`. It keeps those that it uses; 0 gives all back.
        """
        ...


class Kept(NamedTuple):
    """A record's text, of at most MAX_RECORD_BYTES in UTF-8. From `until` on (Unix seconds), it may be forgotten."""

    text: str
    until: float


MAX_RECORD_BYTES: Final = 350_000
Answer = TypeVar("Answer")
DecideRecord: TypeAlias = Callable[[str | None], tuple[Answer, Kept | None]]
"""Takes a record's text, or None if there is none. Returns an answer and the new record, or None to change nothing."""


class Records(Protocol):
    """Small documents by name, which outlive every instance."""

    async def read(self, name: str) -> str | None:
        """Return the text as the last change left it; None where there is none. Raises Temporary."""
        ...

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        """Change the record as `decide` says, with no other change in between, and return the answer once it is stored.

        If another change was faster, `decide` is called again with the record as it is then. Raises Temporary: the
        record may have been changed or not.
        """
        ...


class Document(NamedTuple):
    """A document of a partition. `version` is the store's mark of its last write, and never empty."""

    id: str
    text: str
    version: str


NO_VERSION: Final = ""
"""The version of a document that is not there."""


class Documents(Protocol):
    """Documents of at most MAX_RECORD_BYTES, by partition and id, in the order of their ids.

    Partitions and ids have letters, digits, `_`, `.` and `-` only, and begin with a letter or digit. Reads are
    strongly consistent. All of them raise Temporary (`documents_unavailable`).
    """

    async def get(self, partition: str, id: str) -> Document | None: ...

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        """Return the documents whose ids come after `after`, and where it is given before `until`, in their order."""
        ...

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        """Write the document, and return its new version; None where it is not at the version `expected`.

        `expected`: None overwrites what is there; NO_VERSION writes only where there is none. From `expires_at` on
        (Unix seconds) it may be forgotten, and days later it still may be there. The same text again is a new version.
        Where it raises Temporary, it may have been written or not.
        """
        ...

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        """Delete the document. Return False where it is at another version than `expected`; True where it is gone."""
        ...


class Fetched(NamedTuple):
    """Another system's answer. Header names are in lower case; a body longer than asked for is cut, and says so."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_cut: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Tls(NamedTuple):
    """Certificates of a request's own, as PEM.

    certificate, key  the client's, with the certificates between it and its authority
    authorities       that may issue the server's certificate, in place of the system's
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""


class Outgoing(NamedTuple):
    """A request to another system.

    allow_private  its address may be one that is not public, and its URL may have plain http
    allow_http     its URL may have plain http
    may_repeat     it may be sent twice: where a kept connection ends without an answer, it is sent on a new one
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    timeout_seconds: float = 10.0
    max_bytes: int = 1_048_576
    allow_private: bool = False
    may_repeat: bool = False
    tls: Tls | None = None
    allow_http: bool = False


class Fetch(Protocol):
    async def fetch(self, request: Outgoing) -> Fetched:
        """Send one request and return the answer, whatever its status. Follow no redirect.

        It connects to the address that it checked. Raises Permanent before anything is sent, and Temporary if the
        answer, or its first `max_bytes`, does not arrive in time.
        """
        ...
