"""Journal entries as the clouds' databases keep them: what is common to Firestore and DynamoDB.

`seq` orders entries by time: milliseconds, and twelve bits of the id's hash, which keep those of one millisecond apart
in a number that JavaScript can hold.
"""

import hashlib
import json

from shared import errors, journal, ports, times
from shared.event import to_cloudevent
from shared.jsontext import Json, JsonObject, to_json


def seq_of(seconds: float, identity: str) -> int:
    low = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:2], "big") & 0xFFF
    return first_seq(seconds) | low


def first_seq(seconds: float) -> int:
    """Return the least `seq` of that millisecond."""
    return max(0, round(seconds * 1_000)) << 12


def event_seq(entry: journal.EventEntry) -> int:
    return seq_of(times.unix_seconds(entry.event.receivedat), entry.event.id)


def event_body(entry: journal.EventEntry) -> bytes:
    """Return the event's CloudEvent."""
    return entry.document or to_json(to_cloudevent(entry.event)).encode()


def event_document(entry: journal.EventEntry, seq: int) -> JsonObject:
    """Return all that is known of an event but itself."""
    event = entry.event
    return {
        "seq": seq,
        "source": event.source_name,
        "type": event.type,
        "subject": event.subject,
        "actor": event.actor,
        "received_at": times.unix_seconds(event.receivedat),
        "routed_at": entry.at,
        "expected": entry.expected,
        "broken": entry.broken,
        "routes": journal.route_documents(entry.routes, entry.others, entry.spans),
    }


def updated_text(stored: object, entry: journal.EventEntry) -> str:
    """Return the text of a stored event's document with the decisions of a partial entry in it."""
    document = parsed_entry(stored)
    updated = journal.updated_entry(entry, document["routes"], int(str(document["expected"])))
    routes = journal.route_documents(updated.routes, updated.others, updated.spans)
    return to_json({**document, "expected": updated.expected, "broken": updated.broken, "routes": routes})


async def put_large_message(letter: journal.DeadLetter, blobs: ports.Blobs | None, max_bytes: int) -> str | None:
    """Put the message of a dead letter into a blob if it is larger than that. Return the blob's name, else None.

    Raises Temporary, also if there is no place for blobs.
    """
    size = len(letter.message)
    if size <= max_bytes:
        return None
    if blobs is None:
        detail = f"a dead letter of {size} bytes needs a bucket, and this platform's settings name none"
        raise errors.Temporary("journal_unavailable", detail)
    name = f"dead-letters/{hashlib.sha256(letter.id.encode()).hexdigest()}"
    await blobs.put(name, letter.message)
    return name


def dead_letter_document(letter: journal.DeadLetter) -> JsonObject:
    """Return all of a dead letter but its message."""
    document: JsonObject = {
        name: getattr(letter, name)
        for name in ("id", "code", "reason", "at", "topic", "event_id", "route", "destination")
    }
    return {**document, "bytes": len(letter.message)}


def erased_event(entry: JsonObject) -> JsonObject:
    """Return an event's entry without what tells of its body or of a person."""
    return {**entry, "subject": None, "actor": None, "has_document": False}


def erased_dead_letter(entry: JsonObject) -> JsonObject:
    """Return a dead letter's entry once its message is gone. Its code stays."""
    return {**entry, "reason": "", "bytes": 0}


def parsed_entry(text: object) -> JsonObject:
    """Return a document of these as it was stored, as text."""
    document: Json = json.loads(str(text))
    assert isinstance(document, dict)
    return document
