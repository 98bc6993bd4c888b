"""Forgetting the digests and bursts that an event went into: each holds a line of it, or all of its data.

its delivery   the message and the answers, as of every delivery; one that is not sent yet is never sent
dead letters   the message of its dead letter
the record     the last digest of its group, which is kept so that it can be sent again
mails          what the emulated mail service caught
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from functions.notify.gathering.record import RECORD_SECONDS, GroupRecord, group_of_digest, read_record, record_name
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.ledger_rules import FINAL, MERGED
from shared.store_ports import Kept, Records

MAX_GROUPS: Final = 1_000


@dataclass(frozen=True, slots=True)
class DigestTraces:
    """The traces of one digest in the stores.

    rows         its deliveries
    letters      the number of its dead letters that have content
    is_recorded  the record of its group holds it
    mails        the number of its mails that were caught
    others       the other events in it, as far as they were found
    merging      the event's deliveries that are being merged into it: which they are is decided, and not written yet
    """

    event_id: str
    rows: tuple[LedgerRow, ...]
    letters: int
    is_recorded: bool
    mails: int
    others: tuple[str, ...] = ()
    merging: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        return self.rows[0].destination if self.rows else ""

    @property
    def is_unsent(self) -> bool:
        return any(row.state not in FINAL for row in self.rows)


def digest_ids(rows: Iterable[LedgerRow]) -> list[str]:
    """Return the ids of the digests that an event's deliveries are part of."""
    return list(dict.fromkeys(row.group for row in rows if row.state == MERGED and row.group))[:MAX_GROUPS]


async def merging_into(records: Records | None, rows: Iterable[LedgerRow]) -> dict[str, list[str]]:
    """Return the ids of the digests that some of the rows are being merged into, and the keys of these rows.

    Raises Temporary.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        if not row.group or row.state in FINAL or records is None:
            continue
        digest = _record(row.group, await records.read(record_name(row.group))).digest
        if digest is not None and any(key == row.key for key, _ in digest.members):
            found.setdefault(digest.event_id, []).append(row.key)
    return found


async def is_recorded(records: Records | None, digest_id: str) -> bool:
    """Return whether the record of its group holds the digest. Raises Temporary."""
    if records is None:
        return False
    group = group_of_digest(digest_id)
    digest = _record(group, await records.read(record_name(group))).digest
    return digest is not None and digest.event_id == digest_id


async def erase_record(records: Records, digest: DigestTraces, now: float) -> None:
    """Drop the digest from the record of its group, unless it is still being made: its delivery would be lost."""

    group = group_of_digest(digest.event_id)

    def decide(text: str | None) -> tuple[None, Kept | None]:
        record = _record(group, text)
        found = record.digest
        if found is None or found.event_id != digest.event_id or not found.is_merged:
            return None, None
        return None, Kept(GroupRecord(record.number).text(), now + RECORD_SECONDS)

    if digest.rows and digest.is_recorded:
        await records.change(record_name(group), now, decide)


def _record(group: str, text: str | None) -> GroupRecord:
    """Read a group's record. Raises Temporary for what is not one: it may hold what is to be forgotten."""
    try:
        return read_record(text)
    except ValueError as error:
        act = "delete it from the store of records, then run this command again"
        raise Temporary(
            "records_unavailable", f"the record {record_name(group)!r} cannot be read ({error}): {act}"
        ) from error
