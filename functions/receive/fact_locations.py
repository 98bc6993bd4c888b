"""The locations of an event's facts in a source's requests, and which of them a signature covers.

Each fact has choices, of which the first one that has a text is used. A choice is one location, or several locations
whose texts are joined.
"""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from shared.jsontext import JsonObject
from shared.signatures.auth_scheme import Coverage
from shared.signatures.locations import Choices, parse_choices

_IN_ITEM: Final = frozenset({"data", "beside"})
"""The kinds of locations that are looked up in an item of a batch. All others are looked up in the whole request."""


class SignedFacts(NamedTuple):
    """The locations of a source's facts that a signature covers.

    id             the signed choices of the id. They end before the first choice that is not signed, even if that has
                   no text. Otherwise somebody who repeats a request could write a text into the unsigned location, or
                   remove it, and the repeated event would get another id
    id_in_item     those of them that look into an item of a batch
    id_of_batch    the others: they look elsewhere in the request, so that they name the batch itself
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
