"""The facts of an event as its request has them: the texts at the locations that a source's settings name."""

from typing import Final, NamedTuple

from functions.receive.source import Source
from shared import http
from shared.event import NO_TYPE, attribute_text
from shared.jsontext import Json
from shared.signatures.locations import Choices, Location, first_value_at, query_fields, text_of

_FILE: Final = frozenset({"type", "size", "base64"})
"""The fields of an object that stands for a file or for other bytes."""


class Item(NamedTuple):
    """One event of a request. `data` is its part of `body`, or `body` itself if the body is no batch."""

    request: http.Request
    data: Json
    body: Json


class Facts(NamedTuple):
    """The facts of an event as they were sent.

    A fact is None if the source has no location for it, or if the location has no text.
    """

    type: str | None
    subject: str | None
    actor: str | None
    time: str | None
    action: str | None


def facts_of(source: Source, item: Item) -> Facts:
    """Return the facts at the locations of the source."""
    places = source.fact_locations
    choices_of_facts = (places.type, places.subject, places.actor, places.time, places.action)
    return Facts(*[fact(choices, item) if choices else None for choices in choices_of_facts])


def fact(choices: Choices, item: Item) -> str | None:
    """Return the first text among the locations, made fit for an event's attribute; None if no location has one."""
    for joined in choices:
        texts = [text for location in joined if (text := text_at(location, item))]
        if texts and (text := attribute_text(".".join(texts))):
            return text
    return None


def whole_fact(choices: Choices, item: Item) -> str | None:
    """Return the first text among the locations of an id; None if no location has one.

    The text is as it was sent, however long it is, because the ids of two events may differ only at their ends. If
    locations are joined, all of them must have a text, because one text alone may be common to many events.
    """
    for joined in choices:
        texts = [text for location in joined if (text := text_at(location, item))]
        if len(texts) == len(joined):
            return ".".join(texts)
    return None


def text_at(location: Location, item: Item) -> str | None:
    """Return the text or number at a location as it was sent; None for objects, lists, truth values and null."""
    match location.kind:
        case "data":
            if location.condition and first_value_at(location.condition, item.data) is None:
                return None
            value = first_value_at(location.path, item.data)
        case "header":
            return item.request.header(location.path[0])
        case "query":
            return query_fields(item.request.query, None).get(location.path[0])
        case "beside":
            return _other_key(location.path[0], item.data)
        case _:  # `body`: the whole body, of which the data is an item
            value = first_value_at(location.path, item.body)
    if value is None or isinstance(value, str):
        return value
    return None if isinstance(value, bool) else text_of(value)


def _other_key(key: str, data: Json) -> str | None:
    """Return the name of the one key in the data beside this key; None if there is not exactly one."""
    if not isinstance(data, dict) or key not in data:
        return None
    others = [name for name in data if name != key]
    return others[0] if len(others) == 1 else None


def default_type(data: Json) -> str:
    """Return the text of the first of a few usual fields, or `received` if there is none.

    The fields are those of the body, or of the one element in it, as of an XML document. An object that stands for a
    file is skipped, because its `type` is the media type that the parser put there.
    """
    objects = [data]
    if isinstance(data, dict) and len(data) == 1:
        objects.extend(data.values())
    for fields in objects:
        if not isinstance(fields, dict) or fields.keys() >= _FILE:
            continue
        for name in ("event", "type", "event_type", "action"):
            value = fields.get(name)
            if value is None or isinstance(value, bool):
                continue
            if text := attribute_text(text_of(value) or ""):
                return text
    return NO_TYPE
