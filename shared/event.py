"""The event: one fact that a sender reported, as a CloudEvent 1.0, and the forms in which it is written and read.

to_cloudevent, event_json     write an event as CloudEvents' JSON; from_cloudevent reads it. shared/claim_check.py
                              adds the form of an event that is too large for a message
without_raw, without_request  leave out parts of the request that an event keeps
view_of                       makes the object that expressions and templates see

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

import hashlib
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, kind_of, mapping_at, texts_json, to_json

NO_TYPE: Final = "received"
"""The type of an event in which its source finds none."""
MAX_ATTRIBUTE_CHARACTERS: Final = 255
MAX_HOPS: Final = 8
"""The most deployments that an event may go through, one after another. More are a loop."""
TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""The trace's id is its group. There is no version ff (https://www.w3.org/TR/trace-context/)."""

UNFIT: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
"""Every form of line break that some reader recognises, all other control characters, and lone halves of surrogate
pairs.

A pattern's text: `re` compiles it at its first use, in 0.3 ms, which a start need not wait for.
"""

NAMES: Final = (
    "id", "source", "type", "action", "subject", "actor", "time", "receivedat", "deliveryid", "hops", "data"
)  # fmt: skip
"""The names that `view_of` shows of an event."""

# CloudEvents asks for attribute names of lower-case letters and digits only.
_REQUIRED_TEXTS: Final = ("id", "source", "type", "receivedat", "payloadhash")
_OPTIONAL_TEXTS: Final = (
    "subject",
    "actor",
    "time",
    "traceparent",
    "deliveryid",
    "dataref",
    "rawbody",
    "rawbase64",
    "rawtype",
    "rawheaders",
    "datatype",
    "signedas",
    "action",
)
RECOVERED: Final = "recovered"
"""An attribute, and what the ledger stores in place of the hash of a recovered event's payload."""
_ATTRIBUTE_TYPES: Final[Mapping[str, type]] = {
    **dict.fromkeys((*_REQUIRED_TEXTS, *_OPTIONAL_TEXTS), str),
    "hops": int,
    "item": int,
}
_KINDS: Final[Mapping[type, str]] = {str: "text", int: "an integer"}

# How members begin in an event's JSON, in which `without_raw` and `data_text` search for them.
_DATA_MEMBER: Final = b',"data":'
_RAW_MEMBERS: Final = (b',"rawbody":', b',"rawbase64":', b',"rawtype":', b',"rawheaders":')
"""The beginnings of raw members, in the order in which they are written."""
_END_OF_LIST: Final = b']"'
"""The end of `rawheaders`, which is the text of a JSON list."""


# Nothing changes an event. It is not frozen, because a frozen dataclass takes 1.2 µs longer to create.
@dataclass(slots=True)
class Event:
    """One event. Its `id` stays the same through every retry and replay.

    source        `/sources/<name>`
    receivedat    the time at which Hookchain received it, in RFC 3339; `time` is the time that the sender states
    payloadhash   SHA-256 of the received body, in hex; steps never change it
    data          the parsed body; None if `dataref` names the blob that holds it
    datatype      the content type of a document that a step left in `data` as text, or `application/json` where the
                  text is itself a JSON value; None if `data` is other JSON, bytes that say their own type, or text
                  of no kind
    signedas      if a part of the event was not signed: a hash of the signed part, a full stop, and a hash of the rest.
                  Of several events with the same signed part, transform accepts only the first
    rawbody       the received body, if the source keeps it; `rawbase64` if the body is not UTF-8. Its content type is
                  `rawtype`. `rawheaders` is a JSON array of pairs, without credentials
    action        what happened to the thing that `type` names, such as `opened`, if the sender states it apart
    recovered     true if the sender could not deliver the event, and it was read from the sender's API
    item          the number of the item of a batch that the event was made of, from 1; 0 if the body was no batch
    """

    id: str
    source: str
    type: str
    receivedat: str
    payloadhash: str
    data: Json = None
    subject: str | None = None
    actor: str | None = None
    time: str | None = None
    traceparent: str | None = None
    deliveryid: str | None = None
    hops: int = 0
    dataref: str | None = None
    rawbody: str | None = None
    rawbase64: str | None = None
    rawtype: str | None = None
    rawheaders: str | None = None
    datatype: str | None = None
    signedas: str | None = None
    action: str | None = None
    recovered: bool = False
    item: int = 0

    @property
    def claimed_hash(self) -> str:
        """Return the text by which the ledger detects two events with the same id and different payloads.

        For a recovered event it is RECOVERED, which equals every hash there: a sender's API may write an event
        differently from the sender's webhook.
        """
        return RECOVERED if self.recovered else self.payloadhash

    @property
    def origin(self) -> str:
        """Return the id that the event had on arrival. A step that splits an event makes ids such as `<id>-2`."""
        return self.id.partition("-")[0]

    @property
    def order(self) -> tuple[str, int, tuple[int, ...]]:
        """Return a key by which events are in the order in which they were received.

        The events of one request are in their order there, and those into which a step split an event in theirs.
        """
        _, *parts = self.id.split("-")
        return self.receivedat, self.item, tuple(int(part) if part.isdecimal() else 0 for part in parts)

    @property
    def source_name(self) -> str:
        return self.source.removeprefix("/sources/")

    @property
    def trace_id(self) -> str | None:
        """Return the trace's id, which is the part of `traceparent` that logs contain; None if there is none."""
        match = TRACEPARENT.fullmatch(self.traceparent) if self.traceparent else None
        return match[1] if match else None

    def with_data(self, data: Json, datatype: str | None = None) -> "Event":
        """Return the event with other data, and without the received body, which may contain what a step removed."""
        if data is self.data and datatype in (None, self.datatype):  # equal is not the same: 1 equals true
            return self
        return Event(  # 2 µs, and dataclasses.replace takes 5 µs
            id=self.id,
            source=self.source,
            type=self.type,
            receivedat=self.receivedat,
            payloadhash=self.payloadhash,
            data=data,
            subject=self.subject,
            actor=self.actor,
            time=self.time,
            traceparent=self.traceparent,
            deliveryid=self.deliveryid,
            hops=self.hops,
            dataref=self.dataref,
            rawtype=self.rawtype,
            datatype=datatype,
            signedas=self.signedas,
            action=self.action,
            recovered=self.recovered,
            item=self.item,
        )


_optional_texts_of: Final[Callable[[Event], tuple[str | None, ...]]] = attrgetter(*_OPTIONAL_TEXTS)


def event_id(source_name: str, delivery_id: str) -> str:
    """Return an id that is the same however often the sender or the bus repeats the event."""
    return hashlib.sha256(texts_json([source_name, delivery_id])).hexdigest()[:32]


def attribute_text(text: str) -> str:
    """Return hostile text as a CloudEvents attribute: printable characters only, at most 255.

    ASCII white space becomes a space, and is removed at both ends. Any other character that is not printable stays
    visible as U+FFFD: removed, it would let a sender use another actor's name.
    """
    text = text[:MAX_ATTRIBUTE_CHARACTERS]
    return (text if text.isprintable() else "".join(map(_printable, text))).strip()


def _printable(character: str) -> str:
    if character in string.whitespace:
        return " "
    return character if character.isprintable() else "\ufffd"


def oneline(value: object) -> str:
    """Return any value as one line of text: the filter in `{{ data.title | oneline }}`."""
    return " ".join(re.sub(UNFIT, " ", str(value)).split())


def to_cloudevent(event: Event) -> JsonObject:
    """Return the event as an object in CloudEvents' JSON format. Attributes without a value are left out."""
    document: JsonObject = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "receivedat": event.receivedat,
        "payloadhash": event.payloadhash,
    }
    for name, value in zip(_OPTIONAL_TEXTS, _optional_texts_of(event), strict=True):
        if value is not None:
            document[name] = value
    if event.hops:
        document["hops"] = event.hops
    if event.recovered:
        document[RECOVERED] = True
    if event.item:
        document["item"] = event.item
    if event.dataref is None:
        document["datacontenttype"] = "application/json"
        document["data"] = event.data
    return document


def event_json(event: Event, data: bytes | None = None) -> bytes:
    """Return the event as bytes in CloudEvents' JSON format, in which `data` is the last member.

    `data` may be the JSON text of the event's data, so that it is not written again; such an event has no `dataref`.
    Half a surrogate pair is written as an escape. Raises ValueError for infinity, which JSON lacks.
    """
    document = to_cloudevent(event)
    if data is None:
        return to_json(document).encode("utf-8", "backslashreplace")
    del document["data"]
    attributes_without_brace = texts_json(document)[:-1]
    return b"%b%b%b}" % (attributes_without_brace, _DATA_MEMBER, data)


def data_text(content: bytes) -> str:
    """Return the text of the data in the bytes of an event, which event_json wrote."""
    # The first match is the member itself: in the texts before it, quotation marks are escaped.
    begin = content.index(_DATA_MEMBER) + len(_DATA_MEMBER)
    return str(memoryview(content)[begin:-1], "utf-8")  # without a copy of the data's bytes


def without_raw(content: bytes, *, keeps_body: bool) -> bytes:
    """Return the bytes of an event, which event_json wrote, without the parts of its request.

    With `keeps_body`, only `rawheaders` is removed. Where receive keeps a request that the routes did not ask for, it
    keeps all of its parts, so an event without `rawheaders` is returned as it is. Nothing is parsed: a search cannot
    find a member's name inside a text, because quotation marks are escaped there.
    """
    data_at = content.find(_DATA_MEMBER)
    headers_at = content.rfind(_RAW_MEMBERS[-1], 0, data_at)
    end = content.find(_END_OF_LIST, headers_at, data_at)
    if data_at < 0 or headers_at < 0 or end < 0:
        return content
    begin = headers_at
    if not keeps_body:
        positions = [content.find(member, 0, data_at) for member in _RAW_MEMBERS]
        begin = min(position for position in positions if position >= 0)
    return content[:begin] + content[end + len(_END_OF_LIST) :]


def read_kept_parts(transform: JsonObject) -> dict[str, str]:
    """Return which part of its requests each source keeps for its routes: `body` or `all`, by the source's name.

    `transform` is the part of the compiled configuration that transform reads. A source that keeps nothing is left out.
    """
    return {name: str(kept) for name, kept in mapping_at(transform, "keeps").items()}


def without_request(event: Event, kept_parts: Mapping[str, str]) -> Event:
    """Return the event without the parts of its request that its source does not keep for its routes.

    `kept_parts` is the result of read_kept_parts.
    """
    kept = kept_parts.get(event.source_name, "no")
    if kept == "no" and (event.rawtype or event.rawheaders or event.rawbody or event.rawbase64):
        return replace(event, rawbody=None, rawbase64=None, rawtype=None, rawheaders=None)
    if kept == "body" and event.rawheaders:
        return replace(event, rawheaders=None)
    return event


def from_cloudevent(document: Json) -> Event:
    """Return the event of a document that to_cloudevent made. Raises Permanent (`malformed_event`) for any other.

    Members that this version does not know are ignored. A text that is null counts as missing.
    """
    if not isinstance(document, dict):
        raise Permanent("malformed_event", f"a CloudEvent is a JSON object; found {kind_of(document)}")
    attributes: JsonObject = {}
    for name, value in document.items():
        attribute_type = _ATTRIBUTE_TYPES.get(name)
        if attribute_type is None:
            continue
        if type(value) is attribute_type:  # not isinstance, because a boolean is an integer
            attributes[name] = value
        elif value is not None or attribute_type is not str:
            rule = f"the CloudEvent's {name!r} is {_KINDS[attribute_type]}; found {kind_of(value)}"
            raise Permanent("malformed_event", rule)
    for name in _REQUIRED_TEXTS:
        if not attributes.get(name):
            raise Permanent("malformed_event", f"the CloudEvent has no {name!r}")
    is_recovered = document.get(RECOVERED) is True
    # The loop has verified the types. To name all the attributes here takes twice the time.
    return Event(data=document.get("data"), recovered=is_recovered, **attributes)  # type: ignore[arg-type]


def view_of(event: Event) -> JsonObject:
    """Return the event as expressions and templates see it: an object in which a missing attribute is null.

    `source` is the source's name, without `/sources/`.
    """
    return {
        "id": event.id,
        "source": event.source_name,
        "type": event.type,
        "action": event.action,
        "subject": event.subject,
        "actor": event.actor,
        "time": event.time,
        "receivedat": event.receivedat,
        "deliveryid": event.deliveryid,
        "hops": event.hops,
        "data": event.data,
    }
