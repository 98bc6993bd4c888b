"""The form of the bus's messages in SQS, both ways.

SQS accepts only text with the characters of XML, no empty text, at most 10 attributes, and 1 MiB in all. So a message
of the bus becomes this message of SQS:

    MessageBody        the data as text; in base64 if SQS would not accept it as text
    MessageAttributes  the attributes, of type String
      hookchain-body        `base64` if the body is in base64
      hookchain-attributes  a JSON object of the attributes that SQS would not accept

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

import json
import re
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple

from shared import errors, ports, push
from shared.jsontext import Json, JsonObject, base64_text, decode_base64, value_at

MAX_MESSAGE_BYTES: Final = 1_048_576
MAX_DELAY_SECONDS: Final = 900
MAX_PLAIN_ATTRIBUTES: Final = 8
"""SQS accepts 10 attributes, and the two below may be needed."""
BODY: Final = "hookchain-body"
ATTRIBUTES: Final = "hookchain-attributes"
BASE64: Final = "base64"
NO_BYTES: Final = "="
"""The body of a message without data, because SQS accepts no empty body."""

_STRING: Final = "String"
_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
"""The characters that SQS rejects, and the carriage return, which XML parsers change into a line feed."""
_NAME: Final = re.compile(r"(?!aws|amazon)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.IGNORECASE | re.ASCII)
_MAX_NAME_CHARACTERS: Final = 256


class Entry(NamedTuple):
    """A message in the form that SQS accepts. `weight` is its size in bytes, as SQS counts it."""

    body: str
    attributes: dict[str, str]
    weight: int
    delay_seconds: int = 0

    def document(self, entry_id: str) -> JsonObject:
        """Return the message as an entry of SendMessageBatch."""
        document: JsonObject = {
            "Id": entry_id,
            "MessageBody": self.body,
            "MessageAttributes": {
                name: {"DataType": _STRING, "StringValue": value} for name, value in self.attributes.items()
            },
        }
        if self.delay_seconds:
            document["DelaySeconds"] = self.delay_seconds
        return document


def entry_of(message: ports.BusMessage) -> Entry:
    """Return the message in the form that SQS accepts."""
    attributes = _fitting_attributes(message)
    body = _text(message.data)
    if body is None:
        body = base64_text(message.data) or NO_BYTES
        attributes[BODY] = BASE64
    weight = len(body) if body.isascii() else len(message.data)
    for name, value in attributes.items():
        weight += len(name) + len(_STRING) + (len(value) if value.isascii() else len(value.encode()))
    return Entry(body, attributes, weight, min(ceil(message.delay_seconds), MAX_DELAY_SECONDS))


def _text(data: bytes) -> str | None:
    """Return the data as text; None if SQS does not accept it as text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text and _is_fitting_text(text) else None


def _fitting_attributes(message: ports.BusMessage) -> dict[str, str]:
    """Return the attributes that SQS accepts. The attribute ATTRIBUTES has the others as JSON."""
    fitting: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in message.attributes.items():
        is_fitting = len(fitting) < MAX_PLAIN_ATTRIBUTES and _is_fitting(name, value)
        if is_fitting:
            fitting[name] = value
        else:
            others[name] = value
    if others:
        # `json` writes ASCII, in which halves of surrogate pairs are escaped.
        fitting[ATTRIBUTES] = json.dumps(others, separators=(",", ":"))
    return fitting


def _is_fitting(name: str, value: str) -> bool:
    return bool(value) and _is_fitting_name(name) and _is_fitting_text(value)


@lru_cache(maxsize=256)
def _is_fitting_name(name: str) -> bool:
    is_ours = name in (BODY, ATTRIBUTES)
    return not is_ours and len(name) <= _MAX_NAME_CHARACTERS and _NAME.fullmatch(name) is not None


def _is_fitting_text(text: str) -> bool:
    # SQS accepts all printable text, and this check takes a tenth of the time of the expression.
    return text.isprintable() or not _UNFIT.search(text)


def message_of(record: Json) -> push.Push:
    """Return the message of a record that Lambda reads from SQS. Raises Permanent (`malformed_push`).

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    body = record.get("body") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(body, str):
        raise errors.Permanent("malformed_push", "the record has no 'body'")
    attributes = _plain_attributes(record.get("messageAttributes"))
    is_encoded = attributes.pop(BODY, None) == BASE64
    others = attributes.pop(ATTRIBUTES, None)
    try:
        data = _decoded(body) if is_encoded else body.encode()
        packed: Json = json.loads(others) if others is not None else None
    except (ValueError, RecursionError) as error:
        raise errors.Permanent("malformed_push", f"the record's body or its {ATTRIBUTES!r} cannot be read") from error
    if isinstance(packed, dict):
        attributes.update({name: value for name, value in packed.items() if isinstance(value, str)})
    message_id, sent = record.get("messageId"), value_at(record, "attributes", "SentTimestamp")
    return push.Push(
        data, attributes, message_id if isinstance(message_id, str) else "", sent if isinstance(sent, str) else ""
    )


def _decoded(body: str) -> bytes:
    return b"" if body == NO_BYTES else decode_base64(body)


def _plain_attributes(written: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, attribute in written.items() if isinstance(written, dict) else ():
        value = attribute.get("stringValue") if isinstance(attribute, dict) else None
        if isinstance(value, str):
            found[name] = value
    return found
