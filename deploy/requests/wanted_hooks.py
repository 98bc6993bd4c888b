"""The sources with `hook`, and the webhook that each needs at its provider, by the routes that take its events."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from deploy.config.sections.provider_api import HookConfig
from deploy.config.sections.provider_event_types import known_event_types
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
    has_own_type = bool(source.config.type)
    routes = routes_from(transform, source.name)
    if not routes:
        raise Unneeded(f"{source.name}: no route takes its events, so no hook is needed")
    # With a `type` of its own, the routes name types that the provider may not know.
    is_every_type = has_own_type or not all(texts_at(each, "types") for each in routes)
    try:
        # Types that the provider cannot select are a fault, also beside a route that takes all types.
        selected = [] if has_own_type else _selected_types(source, routes)
        selectable = provider_events(kind, selected)
    except ValueError as error:
        raise CommandError(f"{source.name}: {error}") from error
    if not is_every_type and not selected:
        raise Unneeded(f"{source.name}: no route names an event type of {kind.title}, so no hook is needed")
    events = None if is_every_type else selectable
    if events is None and not kind.can_have_all_events:
        rule = "each route must name its `types`, without a `*` that may match any"
        if has_own_type:
            rule = "the source must not have a `type` of its own"
        raise CommandError(f"{source.name}: {kind.title} cannot select all event types, so {rule}")
    return Wanted(source.name, url, events)


def _selected_types(source: HookedSource, routes: Sequence[Json]) -> list[str]:
    """Return the event types that the routes name, and the known ones in place of a glob that the provider lacks.

    Types of another provider, which a route of several sources may name, are left out.
    """
    known = known_event_types().get(source.provider)
    selected: list[str] = []
    for route in routes:
        is_shared = value_at(route, "from") != [source.name]
        for pattern in route_types([route]):
            if is_shared and known and not known.has(pattern) and not known.has(pattern.partition(".")[0]):
                continue
            matching = known.matching(pattern) if known and pattern != "*" else []
            selected += [pattern] if source.kind.name_event(pattern) is not None else matching or [pattern]
    return selected
