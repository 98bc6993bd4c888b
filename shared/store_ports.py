"""The ports of the stores besides the ledger and the journal: shares, records and documents. See shared/ports.py."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

Slots: TypeAlias = tuple[float, float, int]
"""Slots of a bucket: the time of the first, the seconds from one to the next, and the number of reserved slots, which
can be 0."""


class Lease(NamedTuple):
    """Places of a bucket that were leased.

    is_contended  other holders have fewer places than they want
    is_queued     slots are reserved ahead. So nothing was leased, and the holder's lease stays as it was
    """

    places: int
    is_contended: bool = False
    is_queued: bool = False


class Grants(Protocol):
    """Shares of what all instances may use together. A bucket has slots, which are times, or places.

    Slots can also be leased as the places of a limit. The holder then spreads its work over the time itself.
    """

    async def reserve(self, bucket: str, most: int, interval: float, now: float, ahead: float, limit: int = 0) -> Slots:
        """Reserve up to `most` slots, `interval` seconds apart, and return them.

        If the first free slot is more than `ahead` seconds away, none is reserved. `limit` is the limit of the bucket's
        leases. While there are leases, fewer slots are left, and they are further apart.
        """

    async def lease(
        self, bucket: str, holder: str, wanted: int, limit: int, now: float, seconds: float, used: int = 0
    ) -> Lease:
        """Lease up to `wanted` of the bucket's `limit` places for `seconds`, in place of those that the holder has.

        The holder keeps at least `used` places. If `wanted` is 0, it gives all of them back.
        """


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
        """Return the text as the last change left it; None if there is none. Raises Temporary."""

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        """Change the record as `decide` says, with no other change in between, and return the answer once it is stored.

        If another change was faster, `decide` is called again with the record as it is then. Raises Temporary: the
        record may have been changed or not.
        """


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

    async def get(self, partition: str, id: str) -> Document | None:
        """Return the document; None if there is none."""

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        """Return the documents whose ids come after `after`, and where it is given before `until`, in their order."""

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        """Write the document, and return its new version; None if it is not at the version `expected`.

        `expected`: None overwrites the document; NO_VERSION writes only where there is none. From `expires_at` on (Unix
        seconds) it may be forgotten, and days later it still may be there. The same text again is a new version. Where
        it raises Temporary, it may have been written or not.
        """

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        """Delete the document. Return False where it is at another version than `expected`; True where it is gone."""
