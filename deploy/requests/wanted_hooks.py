"""The webhook that a source needs at its provider, by the routes that take its events."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from deploy.config.sections.provider_event_types import known_event_types
from deploy.config.sections.source import SourceConfig
from deploy.hooks.kind import HookKind, Wanted, provider_events
from deploy.hooks.kinds import KINDS
from deploy.requests.sources import route_types, routes_from, text_list
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json, JsonObject


def wanted_hook(transform: JsonObject, name: str, source: SourceConfig, url: str) -> Wanted:
    """Return the hook without its secret. `transform` is that function's slice. Raises CommandError."""
    assert source.provider
    kind = KINDS[source.provider]
    routes: list[Json] = list(routes_from(transform, name))
    if not routes:
        raise CommandError(f"{name}: no route takes its events, so no hook is needed")
    is_every_type = not all(text_list(each.get("types")) for each in routes if isinstance(each, dict))
    try:
        events = None if is_every_type else provider_events(kind, _listed_types(source, kind, route_types(routes)))
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from error
    if events is None and not kind.selects_all:
        raise CommandError(f"{name}: {kind.title} cannot select all event types, so each route must name its `types`")
    return Wanted(name, url, events)


def _listed_types(source: SourceConfig, kind: HookKind, patterns: Sequence[str]) -> list[str]:
    """Return the patterns, and the known event types in place of one that the provider cannot select by."""
    known = known_event_types().get(str(source.provider))
    found: list[str] = []
    for pattern in patterns:
        matching = [each for each in known.types if fnmatchcase(each, pattern)] if known and pattern != "*" else []
        found += [pattern] if kind.event(pattern) is not None else matching or [pattern]
    return found
