"""The tap: copies of accepted requests for developers, and the leases with which developers ask for them.

`hookchain listen` writes a lease. transform reads it, and publishes a copy of each request while the lease lasts. Each
lease has a subscription or a queue of its own, from which `listen` takes the copies.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Final

from shared.event import Event
from shared.jsontext import JsonObject, decode_base64, from_json, texts_at, texts_json, to_json

PARTITION: Final = "tap"
"""The partition of the leases among the documents."""
MAX_LEASE_SECONDS: Final = 8 * 3_600.0
MAX_SKEW_SECONDS: Final = 300.0
"""How far the clock of a developer may differ. A lease that ends later than this allows is ignored, and no lease is
shorter than twice this time."""
MAX_LISTENERS: Final = 20
"""The most leases of a source that get copies. Each costs a message for every request."""
REMEMBERED_SECONDS: Final = 30.0
"""The time for which each process of transform remembers the leases. Copies may begin this long after the lease."""
KEPT_SECONDS: Final = 7 * 86_400.0
"""The time for which a copy waits for its developer, and for which a lease is stored after its end."""
BLOB_PREFIX: Final = "tap-"
"""The beginning of the names of the copies that are too large for the bus: a developer may read no other."""
LISTENER: Final = "listener"
"""The attribute of a copy with the name of its lease."""
MISSED: Final = "missed"
"""The attribute of a copy with the number of requests before it that one process could not copy."""
MAX_HOLDER: Final = 200
"""The most characters of a lease's holder."""
_LATEST: Final = 1e11
"""Unix seconds that no lease reaches. An integer in JSON may be too large for a float or a date."""
DEVELOPER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,19}")
LEASE_NAME: Final = re.compile(rf"(?!bus-){DEVELOPER.pattern}-[0-9a-f]{{8}}")
"""The name of a lease. Queues of buses have such names too, and theirs begin with `bus-`."""
_NO_HASH: Final = "none"
"""The hash of a copy's body. The real one would let the reader of a redacted body guess what was masked."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A developer's claim to copies of the requests to one source, until a time.

    holder        the user and the machine that have it
    since, until  Unix seconds
    """

    source: str
    developer: str
    holder: str
    since: float
    until: float

    @property
    def name(self) -> str:
        """Return the name of the lease and of what is made for it."""
        digest = hashlib.sha256(texts_json([self.developer, self.source])).hexdigest()
        return f"{self.developer}-{digest[:8]}"

    @property
    def text(self) -> str:
        return to_json(asdict(self))

    def is_open(self, now: float) -> bool:
        return now < self.until and not self.ends_too_late(now)

    def ends_too_late(self, now: float) -> bool:
        return self.until > now + MAX_LEASE_SECONDS + MAX_SKEW_SECONDS


def served_leases(leases: Iterable[Lease], now: float) -> list[Lease]:
    """Return the open leases that get copies: for each source the MAX_LISTENERS that began first."""
    counts: Counter[str] = Counter()
    served: list[Lease] = []
    for lease in sorted(leases, key=lambda each: (each.since, each.name)):
        if lease.is_open(now) and counts[lease.source] < MAX_LISTENERS:
            counts[lease.source] += 1
            served.append(lease)
    return served


def blob_of_copy(event_id: str) -> str:
    return f"{BLOB_PREFIX}{event_id}-request"


def read_lease(name: str, text: str) -> Lease | None:
    """Return the lease of a document; None if it is not a lease, or if it has the name of another lease."""
    try:
        document = from_json(text.encode())
        lease = Lease(**document) if isinstance(document, dict) else None  # type: ignore[arg-type] # verified below
        return lease if lease is not None and _is_valid(lease) and lease.name == name else None
    except (ValueError, TypeError, RecursionError):
        return None


def _is_valid(lease: Lease) -> bool:
    """Return whether the lease's fields have their types and limits. Raises TypeError if a time is not a number."""
    if not all(isinstance(each, str) for each in (lease.source, lease.developer, lease.holder)):
        return False
    if not DEVELOPER.fullmatch(lease.developer):
        return False
    if len(lease.holder) > MAX_HOLDER or not lease.holder.isprintable():
        return False
    return 0 <= lease.since < _LATEST and 0 <= lease.until < _LATEST


def read_tapped(transform: JsonObject) -> list[str]:
    """Return the sources whose requests may be copied. `transform` is the slice of transform."""
    return texts_at(transform, "develop", "sources")


def body_of(event: Event) -> bytes:
    """Return the body as it was received; no bytes if the event does not have it."""
    return decode_base64(event.rawbase64) if event.rawbase64 is not None else (event.rawbody or "").encode()


def request_of(event: Event) -> Event:
    """Return the event with its request only, without the data and the facts that were read from it.

    The type and the delivery id stay, because `listen` shows the type, and signs a copy by the id.
    """
    return replace(
        event,
        data=None,
        subject=None,
        actor=None,
        time=None,
        action=None,
        payloadhash=_NO_HASH,
        signedas=None,
        datatype=None,
    )
