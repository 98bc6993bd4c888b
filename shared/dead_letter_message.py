"""The bus message of a dead letter: a CloudEvent on the topic `dead-letters`, which notify stores in the journal.

A dead letter is a message that a function gave up on, with the reason. It contains the message itself, so that an
operator can replay it.
"""

import base64
import binascii
from typing import Final

from shared import errors, journal, ports, times
from shared.jsontext import Json, JsonObject, to_json

DEAD_LETTER_TYPE: Final = "hookchain.dead-letter"
MAX_REASON_CHARACTERS: Final = 250
"""Pub/Sub accepts 1,024 bytes in an attribute, and a character can have 4."""


def dead_letter_message(letter: journal.DeadLetter) -> ports.BusMessage:
    """Return the message. Its attributes repeat `id`, `code` and `reason`, so that people see them in the console."""
    source = f"/routes/{letter.route}" if letter.route else "/hookchain"
    document: JsonObject = {
        "specversion": "1.0",
        "id": letter.id,
        "source": source,
        "type": DEAD_LETTER_TYPE,
        "time": times.rfc3339(letter.at),
        "datacontenttype": "application/json",
        "data": {
            "code": letter.code,
            "reason": letter.reason,
            "topic": letter.topic,
            "event_id": letter.event_id,
            "route": letter.route,
            "destination": letter.destination,
            **_message_field(letter.message),
        },
    }
    attributes = {
        "ce-id": letter.id,
        "ce-type": DEAD_LETTER_TYPE,
        "ce-source": source,
        "id": letter.id,
        "code": letter.code,
        "reason": letter.reason[:MAX_REASON_CHARACTERS],
    }
    return ports.BusMessage(to_json(document).encode(), attributes)


def dead_letter_from(document: Json) -> journal.DeadLetter:
    """Return the dead letter in the JSON of a message. Raises Permanent (`malformed_event`) for any other JSON."""
    event = document if isinstance(document, dict) else {}
    data = event.get("data")
    if event.get("type") != DEAD_LETTER_TYPE or not isinstance(data, dict):
        rule = f"a dead letter is a CloudEvent of type {DEAD_LETTER_TYPE!r} whose data is an object"
        raise errors.Permanent("malformed_event", rule)
    try:
        return journal.DeadLetter(
            id=_text(event, "id"),
            code=_text(data, "code"),
            reason=_text(data, "reason"),
            at=times.unix_seconds(_text(event, "time")),
            message=_message_in(data),
            topic=_text(data, "topic"),
            event_id=_text(data, "event_id"),
            route=_text(data, "route"),
            destination=_text(data, "destination"),
        )
    except ValueError as error:  # an invalid `time`, or a text that UTF-8 cannot encode
        rule = f"a dead letter has a field that does not read: {type(error).__name__}"
        raise errors.Permanent("malformed_event", rule) from error


def _message_field(message: bytes) -> JsonObject:
    """Return the field for the message, as text if it is UTF-8. It can be anything, as some were never parsed."""
    try:
        return {"message": message.decode("utf-8")}
    except UnicodeDecodeError:
        return {"message_base64": base64.b64encode(message).decode("ascii")}


def _message_in(data: JsonObject) -> bytes:
    if "message_base64" not in data:
        return _text(data, "message").encode("utf-8")
    try:
        return base64.b64decode(_text(data, "message_base64"), validate=True)
    except binascii.Error as error:
        raise errors.Permanent("malformed_event", "a dead letter's 'message_base64' is not base64") from error


def _text(values: JsonObject, name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise errors.Permanent("malformed_event", f"a dead letter's {name!r} is text; found {type(value).__name__}")
    return value
