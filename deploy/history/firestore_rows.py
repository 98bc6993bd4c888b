"""The journal's documents as the rows that its readers get; and whether one is what they asked for."""

from fnmatch import fnmatchcase

from deploy.history.journal_rows import DeadLetterRow, EventQuery, EventSummary
from shared.cloud.gcp.firestore_values import Fields
from shared.cloud.gcp.journal_documents import entry_of
from shared.jsontext import Json, JsonObject


def summary_of(fields: Fields, status: str) -> EventSummary:
    entry = entry_of(fields)
    return EventSummary(
        seq=int(str(fields["seq"])),
        id=str(fields["id"]),
        source=str(entry["source"]),
        type=_text(entry["type"]),
        subject=_text(entry["subject"]),
        actor=_text(entry["actor"]),
        received_at=float(str(entry["received_at"])),
        routed_at=float(str(entry["routed_at"])),
        expected=int(str(entry["expected"])),
        status=status,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def wanted(query: EventQuery, entry: JsonObject) -> bool:
    """As far as the event's own entry tells; times were the query's own."""
    if query.source and query.source != entry["source"]:
        return False
    if query.type and query.type.endswith("*"):
        pattern = query.type.replace("[", "[[]").replace("?", "[?]")
        return fnmatchcase(str(entry["type"]), pattern)
    return not query.type or query.type == entry["type"]


def letter_of(fields: Fields, message: bytes) -> DeadLetterRow:
    entry = entry_of(fields)
    return DeadLetterRow(
        seq=int(str(fields["seq"])),
        id=str(entry["id"]),
        code=str(entry["code"]),
        reason=str(entry["reason"]),
        at=float(str(entry["at"])),
        message=message,
        topic=str(entry["topic"]),
        event_id=str(entry["event_id"]),
        route=str(entry["route"]),
        destination=str(entry["destination"]),
        state=str(fields["state"]),
    )
