"""One digest or burst: its delivery, its attempts and the deliveries that it stands for.

Its event never passed transform, so the journal does not have it: the ledger does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history import documents, journal_view, stored_messages
from shared import jsontext, ledger_rules
from shared.event import Event, to_cloudevent
from shared.ledger import Ledger, LedgerRow

MAX_DELIVERIES: Final = 20
"""The most deliveries of a digest: one, and one more for each destination that `otherwise` names."""
MAX_SEARCHED: Final = 1_000
"""The number of newest merged deliveries of a destination that are searched for those of a digest."""


@dataclass(frozen=True, slots=True)
class DigestRecord:
    """A digest or a burst.

    rows     its own deliveries, oldest first
    members  the deliveries that it replaces, newest first, as far as they were found
    event    its event; None if it is not stored. It is stored while a delivery waits or is held, and in a dead letter
    """

    rows: Sequence[LedgerRow]
    members: Sequence[LedgerRow]
    dead_letters: tuple[journal_view.DeadLetterRow, ...]
    event: Event | None

    @property
    def destination(self) -> str:
        return self.rows[0].destination

    @property
    def count(self) -> int:
        return self.rows[0].merged

    @property
    def record(self) -> journal_view.EventRecord:
        """Return the digest in the form in which the journal has an event."""
        row = self.rows[0]
        event = self.event
        summary = journal_view.EventSummary(
            seq=0,
            id=row.event_id,
            source=event.source_name if event else self.destination,
            type=event.type if event else None,
            subject=event.subject if event else None,
            actor=event.actor if event else None,
            received_at=row.created_at,
            routed_at=row.created_at,
            expected=len(self.rows),
            status="delivering" if row.state in ledger_rules.LEASED else row.state,
        )
        attempts = tuple(attempt for each in self.rows for attempt in each.attempts)
        return journal_view.EventRecord(summary, self.document, (), 0, (), attempts, self.dead_letters)

    @property
    def document(self) -> jsontext.JsonObject | None:
        return to_cloudevent(self.event) if self.event else None


async def find_digest(
    ledger: Ledger, event_id: str, letters: tuple[journal_view.DeadLetterRow, ...]
) -> DigestRecord | None:
    """Return the digest whose event has that id; None if the ledger has none. Raises Temporary.

    `letters` are its dead letters.
    """
    rows = await digest_rows(ledger, event_id)
    if not rows:
        return None
    messages = [*(row.message for row in rows), *(letter.message for letter in letters)]
    event = next((found.event for message in messages if (found := stored_messages.delivery_in(message))), None)
    return DigestRecord(rows, await digest_members(ledger, rows), letters, event)


async def digest_rows(ledger: Ledger, event_id: str) -> list[LedgerRow]:
    """Return the deliveries of the digest whose event has that id, oldest first. Raises Temporary."""
    return [row for row in await ledger.rows(MAX_DELIVERIES, event_id=event_id) if row.merged][::-1]


async def digest_members(ledger: Ledger, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Return the deliveries that a digest with these rows replaces, newest first, as far as they are found.

    Raises Temporary.
    """
    merged = await ledger.rows(MAX_SEARCHED, destination=rows[0].destination, state=ledger_rules.MERGED)
    return [row for row in merged if row.group == rows[0].event_id]


def digest_document(digest: DigestRecord) -> jsontext.JsonObject:
    """Return the document of an event, with the deliveries that the digest replaces in `digest`."""
    members: list[jsontext.Json] = [
        {"delivery_id": row.key, "event_id": row.event_id, "route": row.route} for row in digest.members
    ]
    return documents.record_document(digest.record, digest.document, list(digest.rows)) | {
        "digest": {"destination": digest.destination, "count": digest.count, "members": members}
    }
