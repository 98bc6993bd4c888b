"""A kind of recovery: how a provider's API lists the events that it could not deliver. Pure.

A new kind is a module with one RecoveryKind and its two functions, and its entry in functions/notify/recovery/kinds.py.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from shared import fetch, recovered
from shared.jsontext import Json, JsonObject, list_at, mapping_at, to_json, value_at

Read = TypeVar("Read")
Listed = TypeVar("Listed")
HOOKS_PER_PAGE: Final = 100
"""One page is read: GitHub and GitLab.com allow fewer webhooks in a place."""
_OVERLOADED_STATUSES: Final = frozenset({408, 429})
"""The platform answers with these when it is overloaded. receive does not."""
UNKNOWN_FORM: Final = (KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""The errors that reading an answer in an unknown form raises."""


class Window(NamedTuple):
    """A time in which a source's events were missed, and which of these events are wanted.

    since, until  Unix seconds
    places        where the source's webhooks are, as paths of the API
    public_url    the URL of the source; empty where it is not known
    types         matches the wanted event types; None for all
    redelivers    the provider is asked to deliver the events again
    """

    source: str
    since: float
    until: float
    places: tuple[str, ...] = ()
    public_url: str = ""
    types: re.Pattern[str] | None = None
    redelivers: bool = False

    def wants(self, event_type: str, action: str | None = None) -> bool:
        """Return whether the type is wanted, alone or as `type.action`."""
        if self.types is None or self.types.match(event_type):
            return True
        return action is not None and self.types.match(f"{event_type}.{action}") is not None

    def is_url_of_source(self, url: str) -> bool:
        """Return whether the URL is the source's. Without a public URL, its last part must be the source's name."""
        if self.public_url:
            return is_same_url(url, self.public_url)
        return url.rstrip("/").rpartition("/")[2] == self.source


def is_same_url(url: str, other: str) -> bool:
    """Return whether the URLs differ at most in the case of the host, a default port, and a slash at the end."""
    return _normal_url(url) == _normal_url(other)


def _normal_url(url: str) -> str:
    """Return the form that is the same for URLs that `is_same_url`; the text itself if it is no HTTP or HTTPS URL."""
    parts = re.fullmatch(r"(?is)(https?)://([^/?#]*)(.*)", url)
    if parts is None:
        return url
    scheme = parts[1].lower()
    user, at_sign, host = parts[2].rpartition("@")
    host = host.lower().removesuffix(":443" if scheme == "https" else ":80")
    return f"{scheme}://{user}{at_sign}{host}{parts[3].removesuffix('/')}"


class UnknownHook(Exception):
    """The provider has no webhook of the source, or several. The text says what the operator must do."""


def own_hooks(window: Window, place: str, urls_and_hooks: Sequence[tuple[str, Listed]]) -> list[Listed]:
    """Return those webhooks of a place that are the source's. Raises UnknownHook."""
    found = [(url, hook) for url, hook in urls_and_hooks if window.is_url_of_source(url)]
    if not found and len(urls_and_hooks) >= HOOKS_PER_PAGE:
        raise UnknownHook(f"the first {HOOKS_PER_PAGE} webhooks of {place} are others. Delete those that nobody uses")
    if not found:
        has_url = (
            f"has the URL {window.public_url}" if window.public_url else f"has a URL that ends with /{window.source}"
        )
        raise UnknownHook(f"no webhook of {place} {has_url}. Correct `recover` or `public_url`")
    if len({_normal_url(url) for url, _ in found}) > 1:
        # The events of another deployment's webhook would become dead letters, because it has another secret.
        rule = f"{len(found)} webhooks of {place} have URLs that end with /{window.source}. Set `public_url`"
        raise UnknownHook(rule)
    return [hook for _, hook in found]


class ApiRequest(NamedTuple):
    """A request to the provider's API. It contains plain JSON only, because a run stores the requests that are left.

    path          begins after the API's base URL
    answer_kind   the name of what the provider answers, such as `events`
    context       further values that the function `read_answer` needs
    is_for_event  the request is for a single event, which the provider may have deleted
    body          of a POST; None for a GET
    """

    path: str
    answer_kind: str
    context: JsonObject
    is_for_event: bool = False
    body: JsonObject | None = None

    @property
    def identity(self) -> str:
        """Return the same text for two requests that ask the provider for the same."""
        return f"{self.path} {to_json(self.body)}"

    def stored(self) -> Json:
        """Return the request for the record of a run. An earlier version may read it, so this list keeps its order."""
        return [self.path, self.answer_kind, self.context, self.is_for_event, self.body]

    @classmethod
    def read(cls, stored: Json) -> "ApiRequest":
        """Return the request of which `stored` made this list. Raises errors of UNKNOWN_FORM for anything else."""
        path, answer_kind, context, is_for_event, stored_body = list_at(stored)
        body = stored_body if isinstance(stored_body, dict) else None
        return cls(str(path), str(answer_kind), mapping_at(context), is_for_event is True, body)


def hook_requests(window: Window) -> Iterator[ApiRequest]:
    """Yield the request for the webhooks of each place, as GitHub and GitLab list them."""
    for place in window.places:
        yield ApiRequest(f"{place}/hooks?per_page={HOOKS_PER_PAGE}", "hooks", {"place": place})


class MissedEvent(NamedTuple):
    """An event that the provider could not deliver.

    id                the provider's own id, the same for all attempts. After a redelivery that failed, a space and the
                      redelivery's id follow it
    happened_at       Unix seconds
    rejected_status   the status with which receive rejected the event; None if receive did not reject it
    webhook_request   the request for receive; None if it is not read yet, or if the provider delivers the event again
    api_request       reads the webhook request, or asks the provider to deliver the event again; None if not needed
    is_redelivered    the provider was asked to deliver the event again
    """

    id: str
    type: str
    happened_at: float
    rejected_status: int | None = None
    webhook_request: recovered.RecoveredRequest | None = None
    api_request: ApiRequest | None = None
    is_redelivered: bool = False

    @property
    def redelivered_id(self) -> str | None:
        """The provider's own id of an event whose redelivery failed; None if the event was not delivered again."""
        provider_id, _, redelivery_id = self.id.partition(" ")
        return provider_id if redelivery_id else None


class UnreadableEvent(NamedTuple):
    """An event of a list that is in an unknown form. It is passed over, so that the others are recovered."""


ListItem: TypeAlias = MissedEvent | UnreadableEvent | ApiRequest


@dataclass(frozen=True, slots=True)
class RecoveryKind:
    """The recovery at one provider.

    api             the base URL of the API
    rights          the least rights that the token needs to list events
    write_rights    the least rights that it needs to have events delivered again; empty where the provider cannot do so
    authentication  how receive authenticates a recovered event: see functions/receive/messages.py
    kept_seconds    how long the provider keeps its events
    first_requests  returns the requests with which a listing begins
    read_answer     returns the events of an answer, newest first, and the requests that follow from it. Raises
                    UnknownHook. Raises the errors in UNKNOWN_FORM for an answer in an unknown form
    lists_all       the provider also lists events that have arrived or are on their way
    headers         `{token}` in a value stands for the token
    is_only_way     the provider sends no events, so that none of them was missed: each is in this list only
    places_key      the setting of `recover` that says where the webhooks are, in the forms of the provider's hook kind
                    (deploy/hooks/kinds.py); empty if none does
    """

    title: str
    api: str
    rights: str
    authentication: Literal["signature", "listed"]
    kept_seconds: float
    first_requests: Callable[[Window], Iterable[ApiRequest]]
    read_answer: Callable[[ApiRequest, fetch.Fetched, Window], Iterable[ListItem]]
    lists_all: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": "Bearer {token}"})
    is_only_way: bool = False
    places_key: str = ""
    write_rights: str = ""

    @property
    def lists_unsettled(self) -> bool:
        """Return whether a young event of the list may still be on its way to the source."""
        return self.lists_all and not self.is_only_way


def rejected_status(status: int) -> int | None:
    """Return the status if receive rejected a delivery with it."""
    return status if 400 <= status < 500 and status not in _OVERLOADED_STATUSES else None


def types_pattern(types: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches these types of routes as transform does."""
    return re.compile("|".join(fnmatch.translate(each) for each in types))


def read_each(events: Iterable[Json], read: Callable[[Json], Read]) -> Iterator[Read | UnreadableEvent]:
    """Yield what `read` returns for each event of a list, and an UnreadableEvent where it raises UNKNOWN_FORM."""
    for event in events:
        try:
            event_read = read(event)
        except UNKNOWN_FORM:
            yield UnreadableEvent()
        else:
            yield event_read


def text_at(event: Json, name: str) -> str:
    """Return the text of the field. Raises TypeError."""
    value = value_at(event, name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TypeError(f"an event without {name}")
    return value
