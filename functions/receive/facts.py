"""The facts of an event: where a source's requests have them, which of them a signature covers, and their texts.

Each fact has choices, of which the first one that has a text is used. A choice is one location, or several locations
whose texts are joined.
"""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from shared import http
from shared.event import NO_TYPE, attribute_text
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import Coverage
from shared.signatures.locations import Choices, Location, first_value_at, parse_choices, query_fields, text_of

_IN_ITEM: Final = frozenset({"data", "beside"})
"""The kinds of locations that are looked up in an item of a batch. All others are looked up in the whole request.

`beside` is the name of the one key beside another: `order` of `{"order": {…}, "timestamp": 1}`, beside `timestamp`.
"""
_FILE: Final = frozenset({"type", "size", "base64"})
"""The fields of an object that stands for a file or for other bytes."""


class SignedFacts(NamedTuple):
    """The locations of a source's facts that a signature covers.

    id             the signed choices of the id. They end before the first choice that is not signed, even if that has
                   no text. Otherwise somebody who repeats a request could write a text into the unsigned location, or
                   remove it, and the repeated event would get another id
    id_in_item     the same of the choices that look into an item of a batch
    id_of_batch    the same of all others: they look elsewhere in the request, so that they name the batch itself
    is_complete    the signature covers all facts and the whole body
    """

    id: Choices
    id_in_item: Choices
    id_of_batch: Choices
    is_complete: bool


# A plain dataclass for the same reason as Source.
@dataclass(slots=True, eq=False, repr=False)
class FactLocations:
    """The choices of each fact.

    id_in_item   the choices of the id that look into an item of a batch
    id_of_batch  the other choices of the id
    """

    type: Choices = ()
    subject: Choices = ()
    actor: Choices = ()
    time: Choices = ()
    action: Choices = ()
    id: Choices = ()
    id_in_item: Choices = field(init=False)
    id_of_batch: Choices = field(init=False)

    def __post_init__(self) -> None:
        self.id_in_item = tuple(choice for choice in self.id if any(each.kind in _IN_ITEM for each in choice))
        self.id_of_batch = tuple(choice for choice in self.id if choice not in self.id_in_item)

    def signed_by(self, coverage: Coverage) -> SignedFacts:
        """Return what a signature of this coverage covers."""

        def signed(choices: Choices) -> Choices:
            return tuple(takewhile(coverage.covers, choices))

        facts = (self.type, self.subject, self.actor, self.time, self.action, self.id)
        return SignedFacts(
            id=signed(self.id),
            id_in_item=signed(self.id_in_item),
            id_of_batch=signed(self.id_of_batch),
            is_complete=coverage.body and all(signed(choices) == choices for choices in facts),
        )


def read_fact_locations(settings: JsonObject) -> FactLocations:
    """Read them from a source's settings, whose shape the compiler has checked."""
    return FactLocations(
        type=parse_choices(settings.get("type")),
        subject=parse_choices(settings.get("subject")),
        actor=parse_choices(settings.get("actor")),
        time=parse_choices(settings.get("time")),
        action=parse_choices(settings.get("action")),
        id=parse_choices(settings.get("id")),
    )


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


def facts_of(locations: FactLocations, item: Item) -> Facts:
    """Return the facts at the locations."""
    choices_of_facts = (locations.type, locations.subject, locations.actor, locations.time, locations.action)
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
