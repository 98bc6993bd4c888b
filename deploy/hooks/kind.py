"""A kind of hook: how the API of one provider lists, creates, changes and deletes its webhooks.

A new kind is a module with one HookKind and its two functions, and its entry in deploy/hooks/kinds.py.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from functions.notify.recovery.kind import is_same_url
from shared.jsontext import Json, JsonObject
from shared.times import rfc3339, unix_seconds

Operation: TypeAlias = Literal["list", "events", "create", "change", "extend", "delete"]
Body: TypeAlias = Mapping[str, Json]
"""The body of a request. A form has texts, and lists of texts."""


class Wanted(NamedTuple):
    """A hook as the configuration needs it.

    source      the source's name, which some providers show as the hook's
    events      the provider's names, sorted; None for all
    secret      the value to sign with; empty where the provider makes it, and for requests that do not set it
    is_enabled  False while the secret of a new hook is being stored, if the kind can disable a hook
    existing    the hook that the request changes, extends or deletes, or that the new one replaces
    """

    source: str
    url: str
    events: tuple[str, ...] | None = None
    secret: str = ""
    is_enabled: bool = True
    existing: "Hook | None" = None


class Hook(NamedTuple):
    """A hook as its provider describes it.

    url         empty for a single hook, as long as nobody has set it
    events      the provider's names, sorted; None for all
    inactive    why the provider sends nothing to it; empty if it does
    faults      further settings that a change corrects
    has_secret  False if requests are not signed
    note        what the provider reports of its last deliveries, if they failed
    failed_at   Unix seconds of that failure; None if the provider does not say it
    expires_at  Unix seconds; None if it does not expire
    created_at  Unix seconds; None if the provider does not say it
    limit       why it gets only some of the events, if no change can correct this
    step        what a person has to do at the provider, because no change can
    kept        settings that a change or a hook which replaces it would reset, as requests send them
    """

    id: str
    url: str
    events: tuple[str, ...] | None
    inactive: str = ""
    faults: tuple[str, ...] = ()
    has_secret: bool = True
    note: str = ""
    failed_at: float | None = None
    expires_at: float | None = None
    created_at: float | None = None
    limit: str = ""
    step: str = ""
    kept: Body = MappingProxyType({})


class PlaceForm(NamedTuple):
    """A form that `at` in the configuration can have.

    pattern  a regular expression that matches the whole text
    path     the beginning of the API's path for this place; `{name}` stands for the group of this name in the pattern
    """

    pattern: str
    path: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HookKind:
    """The hooks of one provider. None as the event types stands for all of them, here and in Wanted and Hook.

    A kind is single if a place has one hook at most, as a bot of Telegram has. Such a place lists its hook always, and
    without a URL until somebody has set one; so `change` also creates it.

    `read_hook` and `read_selected_events` raise KeyError, TypeError or ValueError if an answer does not have the
    documented form.
    """

    # The provider, for messages and for the configuration

    title: str
    """Its name."""
    api_url: str
    """The base URL of the API."""
    rights: str
    """The least rights that the token needs, as the end of the sentence "The token needs ..."."""
    all_events: str = "all"
    """Tells people which event types a hook for all of them gets."""
    variant: str = ""
    """The variant of the provider's auth scheme that the hooks use; empty for any."""

    # A request

    operations: Mapping[Operation, str]
    """Method and path: `{at}` is the place's path, `{id}` the hook's id, `{token}` the operator's token.

    `extend` is for hooks that expire. `events` reads the event types, if only a person can select them. Without
    `delete`, a hook is left alone when it is removed.
    """
    make_body: Callable[[Operation, Wanted], Body | None]
    """Returns the body of a request whose method is neither GET nor DELETE; None if it has no body."""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": "Bearer {token}"})
    """`{token}` in a value stands for the token, and `{basic}` for the token in base64."""
    places: tuple[PlaceForm, ...] = ()
    """The forms of `at`; empty if the account has hooks in one place only."""
    sends_forms: bool = False
    """Whether bodies are forms, and not JSON."""
    sign_token: Callable[[str, str, float], str] | None = None
    """Returns `{token}`, from a place `at`, the operator's token and the time in Unix seconds.

    Raises ValueError, with what is wrong with the operator's token. None if `{token}` is the operator's token itself.
    """

    # An answer

    read_hook: Callable[[JsonObject], Hook | None]
    """Reads an entry of the list, or the answer to `create`; returns None to leave the hook out."""
    list_path: tuple[str, ...] = ()
    """The path to the list in the answer to `list`, or to the only hook of a place."""
    created_path: tuple[str, ...] = ()
    """The path to the hook in the answer to `create`."""
    read_selected_events: Callable[[Json], tuple[str, ...]] = lambda _: ()
    """Returns the event types in the answer to `events`."""
    read_secret: Callable[[Json], str] | None = None
    """Returns the secret in the answer to `create`, which never shows it again; None if we choose the secret."""
    single_id: Callable[[str], str] | None = None
    """Returns the id of a single hook by the operator's token; None if the token does not decide whose hook that is."""
    expiry_field: str = ""
    """The field of the answer to `extend` that has the new expiry; empty if hooks do not expire."""
    read_fault: Callable[[Json], str] = lambda _: ""
    """Returns what is wrong according to an answer with a 2xx status; empty for nothing."""
    has_more: Callable[[Json], bool] = lambda _: False
    """Returns whether the answer to `list` leaves out hooks."""
    is_paged: bool = False
    """Whether the list has pages of 100 hooks, which the query parameter `page` numbers from 1."""
    omits_empty_list: bool = False
    """Whether the answer to `list` lacks the list if there is no hook."""

    # A hook

    name_event: Callable[[str], str | None] = lambda pattern: None if is_glob(pattern) else pattern
    """Returns the provider's name of an event type in a route's `types`; None if that may be any of them.

    Raises ValueError if a hook cannot select it.
    """
    always_sent: tuple[str, ...] = ()
    """The event types that nobody has to select."""
    can_have_all_events: bool = True
    """Whether a hook can have all event types. Otherwise the routes must name them."""
    is_single: bool = False
    """Whether a place has one hook at most."""
    is_account_signed: bool = False
    """Whether requests are signed with a secret of the account, so that no hook has one of its own."""
    is_fixed: bool = False
    """Whether `change` only enables and disables a hook. A hook that differs is then replaced by a new one."""
    can_disable: bool = False
    """Whether a hook can be disabled while its secret is being stored."""
    signs_url: bool = False
    """Whether the provider signs the URL, so that one in another form is another URL."""

    def path_of(self, at: str) -> str | None:
        """Return the API's path of the place `at`; None if no hook can be there.

        An empty `at` is the only place of a kind without `places`.
        """
        if not self.places:
            return None if at else ""
        for place in self.places:
            if match := re.fullmatch(place.pattern, at):
                groups = {name: quote(text, safe="") for name, text in match.groupdict().items()}
                return place.path.format(**groups)
        return None

    def is_same_url(self, url: str, other: str) -> bool:
        return url == other if self.signs_url else is_same_url(url, other)

    @property
    def api_selects_events(self) -> bool:
        """Return whether requests select the event types of a hook; otherwise a person selects them at the provider."""
        return "events" not in self.operations

    @property
    def makes_secret(self) -> bool:
        """Return whether the provider makes the secret of a hook, and shows it only once; otherwise we choose it."""
        return self.read_secret is not None

    @property
    def can_delete(self) -> bool:
        return "delete" in self.operations

    @property
    def examples(self) -> str:
        return " or ".join(place.example for place in self.places)


def time_in_text(value: Json) -> float | None:
    """Return the Unix seconds of a time as RFC 3339 writes it; None if the value is no time."""
    rfc3339_text = str(value).replace(" +0000 UTC", "Z")  # the end of the times in Square's examples
    try:
        return unix_seconds(rfc3339_text)
    except ValueError:
        return None


def time_in_seconds(value: Json) -> float | None:
    """Return a time that a provider writes in Unix seconds; None if the value is no time that can be shown."""
    try:
        return unix_seconds(rfc3339(value)) if isinstance(value, int) else None
    except (ValueError, OverflowError):
        return None


def is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def event_name(pattern: str) -> str | None:
    """Return the event type of a pattern without its action: `issues` of `issues.opened` and of `issues.*`.

    It is for providers whose hooks cannot select actions. None if the pattern may match several event types.
    """
    name = pattern.partition(".")[0]
    return None if is_glob(name) else name


def provider_events(kind: HookKind, patterns: Iterable[str]) -> tuple[str, ...] | None:
    """Return the provider's names of the event types that the patterns match, sorted.

    None stands for all event types: there are no patterns, or one of them may match any. Raises ValueError.
    """
    names = [kind.name_event(pattern) for pattern in patterns]
    specific_names = {name for name in names if name is not None}
    if not names or None in names:
        return None
    return tuple(sorted(specific_names))
