"""The sources with `hook`, and the webhook that each needs at its provider, by the routes that take its events.

`hookchain hooks apply` registers a source's webhook at the provider's API, with the event types that the routes name.
For a source of GitHub and a route with `types: [push, issues.opened]`, the webhook selects `push` and `issues`.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from deploy.config.sections.provider_api import HookConfig
from deploy.config.sections.provider_event_types import EventTypes, known_event_types
from deploy.config.sections.source import SourceConfig
from deploy.hooks.api import HookApi
from deploy.hooks.kind import HookKind, Wanted, provider_events
from deploy.hooks.kinds import kind_at
from deploy.requests.sources import route_types, routes_from
from deploy.terminal.command_line import CommandError
from shared.fetch import Fetch
from shared.jsontext import Json, JsonObject, mappings_at, texts_at, value_at


class Unneeded(CommandError):
    """No route takes the events of the source."""


@dataclass(frozen=True, slots=True)
class HookedSource:
    """A source with `hook`, and so with `provider` and `secret`. `config` has all of its settings."""

    name: str
    provider: str
    secret: str
    hook: HookConfig
    config: SourceConfig

    @property
    def kind(self) -> HookKind:
        return kind_at(self.provider, self.hook.places)

    @property
    def api_url(self) -> str:
        """Return the base URL of the provider's API, or of your own server's, such as a GitLab that you host."""
        return (self.hook.api or self.kind.api_url).rstrip("/")

    def api(self, fetch: Fetch, token: str, hidden: Set[str] = frozenset()) -> HookApi:
        """Return the provider's API. `hidden` are texts that its messages must not show, besides the token."""
        return HookApi(
            name=self.name,
            kind=self.kind,
            fetch=fetch,
            token=token,
            token_name=self.hook.token,
            url=self.hook.api or "",
            allow_private=self.hook.allow_private,
            hidden={*hidden},
        )


def hooked_source(name: str, settings: JsonObject) -> HookedSource:
    """Return the source. Raises ValueError if its settings have a fault, or no `hook`."""
    config = SourceConfig.model_validate(settings)
    if not (config.provider and config.secret and config.hook):
        raise ValueError("a source with `hook` also needs `provider` and `secret`")
    return HookedSource(name, config.provider, config.secret, config.hook, config)


def hooked_sources(document: Json) -> dict[str, HookedSource]:
    """Return the sources of the configuration that have a `hook`, by name."""
    sources = mappings_at(document, "sources")
    return {name: hooked_source(name, settings) for name, settings in sources.items() if settings.get("hook")}


def default_url(document: Json, name: str) -> str:
    """Return the source's URL by the `public_url` at the top level of the configuration; empty without it."""
    public_url = value_at(document, "public_url")
    return f"{public_url.rstrip('/')}/{name}" if isinstance(public_url, str) else ""


def wanted_hook(transform: JsonObject, source: HookedSource, url: str) -> Wanted:
    """Return the hook without its secret. `transform` is that function's slice. Raises CommandError."""
    kind = source.kind
    routes = routes_from(transform, source.name)
    if not routes:
        raise Unneeded(f"{source.name}: no route takes its events, so no hook is needed")
    if source.config.type:
        # The routes name the types that this `type` makes, which the provider does not know.
        return _hook_for_all_types(source, url, "the source must not have a `type` of its own")
    try:
        # First, because a type that the provider cannot select is a fault also beside a route for all types.
        selected = _selected_types(source, routes)
        events = provider_events(kind, selected)
    except ValueError as error:
        raise CommandError(f"{source.name}: {error}") from error
    takes_all_types = not all(texts_at(route, "types") for route in routes)
    if not selected and not takes_all_types:
        raise Unneeded(f"{source.name}: no route names an event type of {kind.title}, so no hook is needed")
    if takes_all_types or events is None:  # None: a pattern may match any type
        rule = "each route must name its `types`, without a `*` that may match any"
        return _hook_for_all_types(source, url, rule)
    return Wanted(source.name, url, events)


def _hook_for_all_types(source: HookedSource, url: str, rule: str) -> Wanted:
    """Return the hook for all event types. `rule` says how to avoid it, for a provider that cannot select all."""
    if not source.kind.can_have_all_events:
        raise CommandError(f"{source.name}: {source.kind.title} cannot select all event types, so {rule}")
    return Wanted(source.name, url, events=None)


def _selected_types(source: HookedSource, routes: Sequence[Json]) -> list[str]:
    """Return the event types and patterns of the routes that the provider's hook selects.

    A pattern that the provider cannot select, such as `order.*`, is replaced by the known event types that it matches.
    Types of another provider, which a route of several sources may name, are left out.
    """
    known = known_event_types().get(source.provider)
    selected: list[str] = []
    for route in routes:
        is_shared = value_at(route, "from") != [source.name]
        for pattern in route_types([route]):
            if is_shared and known and not _may_be_of(known, pattern):
                continue
            can_select = source.kind.name_event(pattern) is not None
            matching = known.matching(pattern) if known and pattern != "*" and not can_select else []
            # Without a match, the pattern stays, and `provider_events` makes it all event types.
            selected += matching or [pattern]
    return selected


def _may_be_of(known: EventTypes, pattern: str) -> bool:
    """Return whether the pattern may match an event type of the provider.

    The list may lack an action of a type. So `issues.typed` counts if the list has only `issues`.
    """
    return known.has(pattern) or known.has(pattern.partition(".")[0])
