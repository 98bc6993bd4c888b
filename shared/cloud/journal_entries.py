"""The form in which Firestore and DynamoDB store journal entries.

`seq` is the number by which entries are ordered in time. It has the time in milliseconds and, in its last twelve bits,
a part of the id's hash, so that entries of the same millisecond have different numbers. It has at most 53 bits, so that
JavaScript can represent it.
"""

import hashlib
import json

from shared import errors, journal, ports, times
from shared.event import to_cloudevent
from shared.jsontext import Json, JsonObject, to_json


def seq_of(seconds: float, identity: str) -> int:
    """Return the `seq` of the entry with this id, at this time in Unix seconds."""
    low = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:2], "big") & 0xFFF
    return first_seq(seconds) | low


def first_seq(seconds: float) -> int:
    """Return the smallest `seq` of a time in Unix seconds, rounded to milliseconds."""
    return max(0, round(seconds * 1_000)) << 12


def event_seq(entry: journal.EventEntry) -> int:
    return seq_of(times.unix_seconds(entry.event.receivedat), entry.event.id)


def event_body(entry: journal.EventEntry) -> bytes:
    """Return the event as a CloudEvent in JSON."""
    return entry.document or to_json(to_cloudevent(entry.event)).encode()


def event_document(entry: journal.EventEntry, seq: int) -> JsonObject:
    """Return the document of an event's entry: everything except the event itself."""
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
    """Return the text of a stored document after the routes of a partial entry were added to it."""
    document = parsed_entry(stored)
    updated = journal.updated_entry(entry, document["routes"], int(str(document["expected"])))
    routes = journal.route_documents(updated.routes, updated.others, updated.spans)
    return to_json({**document, "expected": updated.expected, "broken": updated.broken, "routes": routes})


async def put_large_message(letter: journal.DeadLetter, blobs: ports.Blobs | None, max_bytes: int) -> str | None:
    """Put a dead letter's message that is larger than `max_bytes` into a blob, and return the blob's name.

    Return None for a smaller message. Raises Temporary, also if the platform has no store of blobs.
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
    """Return the document of a dead letter's entry: everything except the message."""
    document: JsonObject = {
        name: getattr(letter, name)
        for name in ("id", "code", "reason", "at", "topic", "event_id", "route", "destination")
    }
    return {**document, "bytes": len(letter.message)}


def erased_event(entry: JsonObject) -> JsonObject:
    """Return an event's entry after its body and its personal data were erased."""
    return {**entry, "subject": None, "actor": None, "has_document": False}


def erased_dead_letter(entry: JsonObject) -> JsonObject:
    """Return a dead letter's entry after its message was erased. Its reason may quote the message, so it is erased."""
    return {**entry, "reason": "", "bytes": 0}


def parsed_entry(text: object) -> JsonObject:
    """Return the document of a stored text."""
    document: Json = json.loads(str(text))
    assert isinstance(document, dict)
    return document
