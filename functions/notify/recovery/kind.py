"""A kind of recovery: how a provider's API lists the events that it could not deliver. Pure.

A RecoveryKind is two functions, and facts about the API. listing.py sends the requests:

    first_requests(window)                the ApiRequests with which the listing of a Window begins
    read_answer(request, answer, window)  what an answer to an ApiRequest has: each MissedEvent, an UnreadableEvent for
                                          each event in an unknown form, and the ApiRequests that follow

A new kind is a module with these two functions and its RecoveryKind, and an entry in kinds.py.
"""

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


class RecoverySettings(NamedTuple):
    """A source's `recover`, as the compiler wrote it.

    secret         the name of the provider's token
    places         where the source's webhooks are, as paths of the API
    public_url     the URL of the source; empty where it is not known
    types          matches the event types of its routes; None for all
    api            the base URL of the API; empty for the kind's
    allow_private  the API may have an address that is not public
    redelivers     the provider is asked to deliver the events again
    """

    source: str
    kind: "RecoveryKind"
    secret: str
    places: tuple[str, ...] = ()
    public_url: str = ""
    types: re.Pattern[str] | None = None
    api: str = ""
    allow_private: bool = False
    redelivers: bool = False

    @property
    def api_url(self) -> str:
        return (self.api or self.kind.api).rstrip("/")

    @property
    def rights(self) -> str:
        return self.kind.write_rights if self.redelivers else self.kind.rights

    def wants(self, event_type: str, action: str | None = None) -> bool:
        """Return whether a route takes the type, alone or as `type.action`."""
        if self.types is None or self.types.match(event_type):
            return True
        return action is not None and self.types.match(f"{event_type}.{action}") is not None

    def is_url_of_source(self, url: str) -> bool:
        """Return whether the URL is the source's. Without a public URL, its last part must be the source's name."""
        if self.public_url:
            return is_same_url(url, self.public_url)
        return url.rstrip("/").rpartition("/")[2] == self.source


class Window(NamedTuple):
    """A time in which a source's events were missed, in Unix seconds."""

    settings: RecoverySettings
    since: float
    until: float


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


class MissedEvent(NamedTuple):
    """An event that the provider could not deliver.

    provider_id           the provider's own id, the same for all attempts
    happened_at           Unix seconds
    rejected_status       the status with which receive rejected the event; None if receive did not reject it
    webhook_request       the request for receive; None if it is not read yet, or if the provider delivers the event
                          again
    api_request           reads the webhook request, or asks the provider to deliver the event again; None if not needed
    failed_redelivery_id  the id of the provider's newest redelivery, which failed too; empty if it made none
    is_redelivered        the provider was asked to deliver the event again
    """

    provider_id: str
    type: str
    happened_at: float
    rejected_status: int | None = None
    webhook_request: recovered.RecoveredRequest | None = None
    api_request: ApiRequest | None = None
    failed_redelivery_id: str = ""
    is_redelivered: bool = False

    @property
    def id(self) -> str:
        """The id in the records of runs. An event whose redelivery failed has another one, so it is handled again."""
        return f"{self.provider_id} {self.failed_redelivery_id}" if self.failed_redelivery_id else self.provider_id


class UnreadableEvent(NamedTuple):
    """An event of a list that is in an unknown form. It is passed over, so that the others are recovered."""


ListItem: TypeAlias = MissedEvent | UnreadableEvent | ApiRequest


@dataclass(frozen=True, slots=True)
class RecoveryKind:
    """The recovery at one provider.

    api             the base URL of the API
    headers         the headers of each request; `{token}` in a value stands for the token
    rights          the least rights that the token needs to list events
    write_rights    the least rights that it needs to have events delivered again; empty where the provider cannot do so
    authentication  how receive authenticates a recovered event: see functions/receive/messages.py
    kept_seconds    how long the provider keeps its events
    first_requests  returns the requests with which a listing begins
    read_answer     returns the events of an answer, newest first, and the requests that follow from it. Raises
                    UnknownHook. Raises the errors in UNKNOWN_FORM for an answer in an unknown form
    places_key      the setting of `recover` that says where the webhooks are, in the forms of the provider's hook kind
                    (deploy/hooks/kinds.py); empty if none does
    lists_all       the provider also lists events that have arrived or are on their way
    is_only_way     the provider sends no events, so that none of them was missed: each is in this list only
    """

    title: str
    api: str
    rights: str
    authentication: Literal["signature", "listed"]
    kept_seconds: float
    first_requests: Callable[[Window], Iterable[ApiRequest]]
    read_answer: Callable[[ApiRequest, fetch.Fetched, Window], Iterable[ListItem]]
    headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": "Bearer {token}"})
    write_rights: str = ""
    places_key: str = ""
    lists_all: bool = False
    is_only_way: bool = False

    @property
    def lists_unsettled(self) -> bool:
        """Return whether a young event of the list may still be on its way to the source."""
        return self.lists_all and not self.is_only_way


# What the modules of several kinds use


def hook_requests(window: Window) -> Iterator[ApiRequest]:
    """Yield the request for the webhooks of each place, as GitHub and GitLab list them."""
    for place in window.settings.places:
        yield ApiRequest(f"{place}/hooks?per_page={HOOKS_PER_PAGE}", "hooks", {"place": place})


class UnknownHook(Exception):
    """The provider has no webhook of the source, or several. The text says what the operator must do."""


def own_hooks(settings: RecoverySettings, place: str, urls_and_hooks: Sequence[tuple[str, Listed]]) -> list[Listed]:
    """Return the webhooks of a place that have the source's URL.

    Raises UnknownHook if there is none, or if their URLs differ. Without a public URL, a webhook of another deployment
    can match, too. Its events would become dead letters here, because it has another secret.
    """
    own_urls_and_hooks = [(url, hook) for url, hook in urls_and_hooks if settings.is_url_of_source(url)]
    if not own_urls_and_hooks:
        if len(urls_and_hooks) >= HOOKS_PER_PAGE:
            rule = f"the first {HOOKS_PER_PAGE} webhooks of {place} are others. Delete those that nobody uses"
            raise UnknownHook(rule)
        missing = f"a URL that ends with /{settings.source}"
        if settings.public_url:
            missing = f"the URL {settings.public_url}"
        raise UnknownHook(f"no webhook of {place} has {missing}. Correct `recover` or `public_url`")
    if len({_normal_url(url) for url, _ in own_urls_and_hooks}) > 1:
        found = f"{len(own_urls_and_hooks)} webhooks of {place}"
        raise UnknownHook(f"{found} have URLs that end with /{settings.source}. Set `public_url`")
    return [hook for _, hook in own_urls_and_hooks]


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


def rejected_status(status: int) -> int | None:
    """Return the status if receive rejected a delivery with it."""
    return status if 400 <= status < 500 and status not in _OVERLOADED_STATUSES else None


def read_each(events: Iterable[Json], read: Callable[[Json], Read]) -> Iterator[Read | UnreadableEvent]:
    """Yield what `read` returns for each event of a list, and an UnreadableEvent where it raises UNKNOWN_FORM."""
    for event in events:
        try:
            event_read = read(event)
        except UNKNOWN_FORM:
            yield UnreadableEvent()
        else:
            yield event_read


def read_wanted(
    events: Iterable[Json], read: Callable[[Json, str], MissedEvent], settings: RecoverySettings
) -> Iterator[MissedEvent | UnreadableEvent]:
    """Yield the events of a list whose types are wanted, as `read` returns them for the source, and the unreadable
    ones."""
    for event in read_each(events, lambda each: read(each, settings.source)):
        if isinstance(event, UnreadableEvent) or settings.wants(event.type):
            yield event


def text_at(event: Json, name: str) -> str:
    """Return the text of the field. Raises TypeError."""
    value = value_at(event, name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TypeError(f"an event without {name}")
    return value
