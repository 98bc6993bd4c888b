"""The event types that providers send, from their packages and their documentation.

`python -m tests.event_type_lists` writes the list. Providers add event types, so a type outside the list can exist.
"""

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from deploy.config.sections.catalogue import load_catalogue
from shared.did_you_mean import nearest

LIST: Final = Path(__file__).with_suffix(".json")
MAX_SELECTED: Final = 20
"""More event types than a person selects one by one."""


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The known event types of a provider.

    provider   its name
    types      the actions of each type. A `*` in a type stands for any text, as in the name of a slash command
    sources    the packages and pages that list them
    read_on    the date on which they were read
    """

    provider: str
    types: Mapping[str, Sequence[str]]
    sources: Sequence[str]
    read_on: str

    def has(self, pattern: str) -> bool:
        """Return whether the pattern of a route's `types` matches an event type."""
        return any(fnmatch.fnmatchcase(each, pattern) or fnmatch.fnmatchcase(pattern, each) for each in self.types)

    def suggestion(self, pattern: str) -> str:
        """Return the event type that is probably meant, as the end of a sentence; empty if none is similar."""
        near = nearest(pattern, self.types)
        return f"; did you mean {near!r}?" if near else ""

    def selected(self, patterns: Iterable[str]) -> list[str]:
        """Return the event types to select at the provider, or a pattern itself if it matches many."""
        selected: dict[str, None] = {}
        for pattern in patterns:
            matching = [each for each in self.types if fnmatch.fnmatchcase(each, pattern)]
            selected |= dict.fromkeys(matching if len(matching) <= MAX_SELECTED else [pattern])
        return list(selected)


@cache
def known_event_types() -> Mapping[str, EventTypes]:
    """Return the known event types by the provider's key. Providers without a list are not in it."""
    catalogue = load_catalogue()
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    return {
        key: EventTypes(catalogue[key].name, entry["types"], entry["sources"], entry["read_on"])
        for key, entry in listed.items()
        if key in catalogue
    }
