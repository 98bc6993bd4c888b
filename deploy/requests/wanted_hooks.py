"""The webhook that a source needs at its provider, by the routes that take its events."""

from collections.abc import Sequence

from deploy.config.sections.provider_event_types import known_event_types
from deploy.config.sections.source import SourceConfig
from deploy.hooks.kind import HookKind, Wanted, provider_events
from deploy.hooks.kinds import kind_at
from deploy.requests.sources import route_types, routes_from
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json, JsonObject, texts_at, value_at


class Unneeded(CommandError):
    """No route takes the events of the source."""


def default_url(document: Json, name: str) -> str:
    """Return the source's URL by the `public_url` at the top level of the configuration; empty without it."""
    public_url = value_at(document, "public_url")
    return f"{public_url.rstrip('/')}/{name}" if isinstance(public_url, str) else ""


def wanted_hook(transform: JsonObject, name: str, source: SourceConfig, url: str) -> Wanted:
    """Return the hook without its secret. `transform` is that function's slice. Raises CommandError."""
    assert source.provider
    kind = kind_at(source.provider, source.hook.places if source.hook else ())
    routes = routes_from(transform, name)
    if not routes:
        raise Unneeded(f"{name}: no route takes its events, so no hook is needed")
    # With a `type` of its own, the routes name types that the provider may not know.
    is_every_type = bool(source.type) or not all(texts_at(each, "types") for each in routes)
    try:
        # Types that the provider cannot select are a fault, also beside a route that takes all types.
        selected = [] if source.type else _selected_types(source, name, kind, routes)
        selectable = provider_events(kind, selected)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from error
    if not is_every_type and not selected:
        raise Unneeded(f"{name}: no route names an event type of {kind.title}, so no hook is needed")
    events = None if is_every_type else selectable
    if events is None and not kind.selects_all:
        rule = "the source must not have a `type` of its own" if source.type else "each route must name its `types`"
        raise CommandError(f"{name}: {kind.title} cannot select all event types, so {rule}")
    return Wanted(name, url, events)


def _selected_types(source: SourceConfig, name: str, kind: HookKind, routes: Sequence[Json]) -> list[str]:
    """Return the event types that the routes name, and the known ones in place of a glob that the provider lacks.

    Types of another provider, which a route of several sources may name, are left out.
    """
    known = known_event_types().get(str(source.provider))
    found: list[str] = []
    for route in routes:
        is_shared = value_at(route, "from") != [name]
        for pattern in route_types([route]):
            if is_shared and known and not known.has(pattern) and not known.has(pattern.partition(".")[0]):
                continue
            matching = known.matching(pattern) if known and pattern != "*" else []
            found += [pattern] if kind.event(pattern) is not None else matching or [pattern]
    return found
