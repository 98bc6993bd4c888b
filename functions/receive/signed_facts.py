"""The facts of an event that a signature covers."""

from itertools import takewhile
from typing import Final, NamedTuple

from shared.signatures.auth_scheme import Coverage
from shared.signatures.locations import Choices

_IN_ITEM: Final = frozenset({"data", "beside"})


class SignedFacts(NamedTuple):
    """The locations of a source's facts that a signature covers.

    An unsigned location ends the search for an id, even where it holds nothing: a sender that repeats the request could
    fill or empty it, so that another id is chosen.

    id               the locations of the id; `within_item` and `outside_items` are those of a batch's items and of the
                     batch itself
    is_complete      the signature covers all facts and the whole body
    """

    id: Choices
    within_item: Choices
    outside_items: Choices
    is_complete: bool


def signed_facts(id_choices: Choices, fact_choices: tuple[Choices, ...], coverage: Coverage) -> SignedFacts:
    """Return which of a source's facts a signature of this coverage covers."""

    def covered(choices: Choices) -> Choices:
        return tuple(takewhile(coverage.covers, choices))

    is_complete = coverage.body and all(covered(choices) == choices for choices in fact_choices)
    within, outside = (covered(choices_within(id_choices, within=is_within)) for is_within in (True, False))
    return SignedFacts(covered(id_choices), within, outside, is_complete)


def choices_within(choices: Choices, *, within: bool) -> Choices:
    return tuple(joined for joined in choices if any(each.kind in _IN_ITEM for each in joined) is within)
