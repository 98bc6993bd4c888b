"""Which source the smoke test goes to, and which event."""

import argparse
import time
from collections.abc import Sequence

from deploy.config.configured import Configured
from deploy.requests.command_lines import sample_beside, trial_type
from deploy.requests.events import event_of_file, made_event, provider_event, request_of
from deploy.requests.sender_settings import provider_key, routes_from, types_of
from deploy.requests.smoke import usable_way
from deploy.requests.source_lines import sources_of
from deploy.terminal.command_error import CannotTell
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.way import Way


def chosen_source(options: argparse.Namespace, have: Configured) -> tuple[str, JsonObject, Way]:
    """Its name, its part of receive's slice, and the way to prove the sender. Raises CannotTell."""
    known = sources_of(have.slices["receive"])
    if options.source is not None and options.source not in known:
        raise CannotTell(f"there is no source {options.source!r}{did_you_mean(options.source, known)}")
    for name in [options.source] if options.source else _routed_first(have, list(known)):
        source = known[name]
        way = usable_way(source)
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
    is_only_one = len(sources_of(have.slices["receive"])) == 1
    file = options.file or (sample_beside(have.path) if is_only_one and options.type is None else None)
    if file is not None:
        return request_of(event_of_file(file, settings, mark, options.type), mark), options.type
    routes: list[Json] = list(routes_from(have.slices["transform"], name))
    if provider := provider_key(have, name):
        types = [options.type] if options.type else types_of(routes)
        sample = provider_event(provider, types, mark, time.time())
        if sample is not None:
            return sample, options.type
    event_type = options.type or trial_type(name, routes)
    return request_of(made_event(settings, event_type, mark), mark), event_type
