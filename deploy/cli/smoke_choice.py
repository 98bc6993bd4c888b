"""Which source the smoke test goes to, and which event."""

import argparse
import time
from collections.abc import Sequence

from deploy.config.configured import Configured
from deploy.requests.events import (
    make_provider_event,
    make_test_event,
    read_event_file,
    routed_type,
    sample_beside,
)
from deploy.requests.smoke import usable_auth
from deploy.requests.sources import compiled_sources, provider_key, route_types, routes_from
from deploy.terminal.command_error import CannotTell
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.way import Way


def chosen_source(options: argparse.Namespace, have: Configured) -> tuple[str, JsonObject, Way]:
    """Its name, its part of receive's slice, and the way to prove the sender. Raises CannotTell."""
    known = compiled_sources(have.slices["receive"])
    if options.source is not None and options.source not in known:
        raise CannotTell(f"there is no source {options.source!r}{did_you_mean(options.source, known)}")
    for name in [options.source] if options.source else _routed_first(have, list(known)):
        source = known[name]
        way = usable_auth(source)
        if way is not None and isinstance(source, dict):
            return name, source, way
    which = f"source {options.source!r}" if options.source else "any source"
    raise CannotTell(
        f"no way to sign for {which} here: `hookchain trigger` sends what a provider of the catalogue sends, "
        "`hookchain link` makes what a source of links takes"
    )


def _routed_first(have: Configured, names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: not any(routes_from(have.slices["transform"], name)))


def chosen_event(
    options: argparse.Namespace, have: Configured, name: str, settings: JsonObject, mark: str
) -> tuple[Request, str | None]:
    """And its type, None where only its body knows."""
    is_only_one = len(compiled_sources(have.slices["receive"])) == 1
    file = options.file or (sample_beside(have.path) if is_only_one and options.type is None else None)
    if file is not None:
        return read_event_file(file, settings, mark, options.type).to_request(mark), options.type
    routes: list[Json] = list(routes_from(have.slices["transform"], name))
    if provider := provider_key(have, name):
        types = [options.type] if options.type else route_types(routes)
        sample = make_provider_event(provider, types, mark, time.time())
        if sample is not None:
            return sample, options.type
    event_type = options.type or routed_type(name, routes)
    return make_test_event(settings, event_type, mark).to_request(mark), event_type
