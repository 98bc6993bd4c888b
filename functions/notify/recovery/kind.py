"""A kind of recovery: how a provider's API lists the events that it could not deliver. Pure.

A new kind is a module with one RecoveryKind and its two functions, and its entry in functions/notify/recovery/kinds.py.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from shared.fetch import Fetched
from shared.jsontext import JsonObject
from shared.recovered import RecoveredRequest


class Window(NamedTuple):
    """The events that are wanted: of Unix seconds `since` to `until`, and of types that match; None for all.

    places      where the source's hooks are, as paths of the API
    url         the source's public URL; empty where it is not known
    redelivers  the provider is asked to deliver the events again
    """

    source: str
    since: float
    until: float
    places: tuple[str, ...] = ()
    url: str = ""
    types: re.Pattern[str] | None = None
    redelivers: bool = False

    def wants(self, event_type: str, action: str | None = None) -> bool:
        if self.types is None or self.types.match(event_type):
            return True
        return action is not None and self.types.match(f"{event_type}.{action}") is not None

    def is_of_source(self, url: str) -> bool:
        """Return whether a hook with this URL is the source's: by its last part, where the public URL is not known."""
        return url == self.url if self.url else url.rstrip("/").rpartition("/")[2] == self.source


class UnknownHook(Exception):
    """The source's hook cannot be told from the provider's others. The text says what the operator must do."""


class Ask(NamedTuple):
    """A request to the provider's API. It is stored where time runs out, so it is plain JSON.

    path           after the beginning of all URLs
    reads          what the answer is, for the function that reads it
    about          what else that function needs
    is_of_event    the answer is a single event, which may be gone by then
    body           of a POST; None for a GET
    """

    path: str
    reads: str
    about: JsonObject
    is_of_event: bool = False
    body: JsonObject | None = None


class Missed(NamedTuple):
    """An event that the provider could not deliver.

    id               the provider's own, the same for all attempts
    rejected_status  the status by which receive rejected it, if it did
    request          None if a further request reads it, `ask`, or if the provider delivers it again
    is_redelivered   the provider was asked to deliver it again
    """

    id: str
    type: str
    at: float
    rejected_status: int | None = None
    request: RecoveredRequest | None = None
    ask: Ask | None = None
    is_redelivered: bool = False


Found: TypeAlias = Ask | Missed


@dataclass(frozen=True, slots=True)
class RecoveryKind:
    """The recovery at one provider.

    api            the beginning of all URLs
    rights         the least rights that the token needs; `write_rights`: to have events delivered again. Empty where
                   the provider cannot do that
    authenticated  how receive authenticates its events: see functions/receive/recovered.py
    kept_seconds   how long the provider keeps what it lists
    first          returns the first requests
    read           returns what an answer has, newest events first. Raises UnknownHook; and KeyError, TypeError and
                   ValueError for an answer in an unknown form
    lists_others   the list has events, too, that were delivered to this source, or are on their way
    headers        values with `{token}` in them
    has_places     the operator names the places of the hooks
    """

    title: str
    api: str
    rights: str
    authenticated: Literal["signature", "listed"]
    kept_seconds: float
    first: Callable[[Window], Iterable[Ask]]
    read: Callable[[Ask, Fetched, Window], Iterable[Found]]
    lists_others: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": "Bearer {token}"})
    has_places: bool = False
    write_rights: str = ""


def types_pattern(types: Iterable[str]) -> re.Pattern[str]:
    """Return what matches the types of routes, as transform does."""
    return re.compile("|".join(fnmatch.translate(each) for each in types))
