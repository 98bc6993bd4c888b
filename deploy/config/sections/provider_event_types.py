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

LIST: Final = Path(__file__).with_suffix(".json")
MAX_SELECTED: Final = 20
"""More event types than a person selects one by one."""


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The known event types of a provider.

    provider     its name
    types        the actions of each type. A `*` in a type or an action stands for any text, as in a slash command
    sources      the packages and pages that list them
    read_on      the date on which they were read
    has_actions  its events have an action, which a pattern can name
    """

    provider: str
    types: Mapping[str, Sequence[str]]
    sources: Sequence[str]
    read_on: str
    has_actions: bool

    def has(self, pattern: str) -> bool:
        """Return whether the pattern of a route's `types` matches an event type, alone or with an action."""
        return any(_overlap(each, pattern) for each in self.types) or bool(self.only_with_action(pattern))

    def selected(self, patterns: Iterable[str]) -> list[str]:
        """Return the event types to select at the provider, or a pattern itself if it matches many."""
        selected: dict[str, None] = {}
        for pattern in patterns:
            matching = self.matching(pattern)
            selected |= dict.fromkeys(matching if len(matching) <= MAX_SELECTED else [pattern])
        return list(selected)

    def matching(self, pattern: str) -> list[str]:
        """Return the event types that the pattern matches, alone or with an action."""
        alone = [each for each in self.types if fnmatch.fnmatchcase(each, pattern)]
        return alone + self.only_with_action(pattern)

    def only_with_action(self, pattern: str) -> list[str]:
        """Return the event types that the pattern matches with an action, and not alone."""
        if not self.has_actions:
            return []
        return [
            each
            for each, actions in self.types.items()
            if not fnmatch.fnmatchcase(each, pattern)
            and any(_overlap(f"{each}.{action}", pattern) for action in actions)
        ]

    def names(self) -> list[str]:
        """Return the event types, each alone and with each of its actions."""
        return [name for each, actions in self.types.items() for name in (each, *(f"{each}.{one}" for one in actions))]


def _overlap(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(pattern, name)


@cache
def known_event_types() -> Mapping[str, EventTypes]:
    """Return the known event types by the provider's key. Providers without a list are not in it."""
    catalogue = load_catalogue()
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    return {
        key: EventTypes(
            catalogue[key].name, entry["types"], entry["sources"], entry["read_on"], bool(catalogue[key].event.action)
        )
        for key, entry in listed.items()
        if key in catalogue
    }
