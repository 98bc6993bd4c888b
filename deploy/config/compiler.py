"""The compiler: hookchain.yaml to one slice of plain JSON for each function.

`python -m deploy.config.compiler receive` prints a function's slice of the configuration that the environment names.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from deploy.config.checkout import ROOT, choose_config
from deploy.config.checks.configuration import check_config
from deploy.config.checks.people import ListedPeople
from deploy.config.compiling.alerts import alert_destinations, alert_settings, compiled_alerts, compiled_seen
from deploy.config.compiling.gathering import gather_settings
from deploy.config.compiling.own_kinds import own_kind_sources
from deploy.config.compiling.routes import compiled_routes, compiled_waits
from deploy.config.compiling.sources import compiled_source, type_words
from deploy.config.compiling.subscribers import compiled_subscribe, compiled_subscribers
from deploy.config.config_file import ConfigFile, config_from_environment, read_config_file
from deploy.config.faults import ConfigFaults
from deploy.config.models.alerts import DEFAULT_EVERY_SECONDS
from deploy.config.models.configuration import (
    CloudRunConfig,
    Configuration,
    LambdaConfig,
)
from deploy.config.models.destination import BreakerConfig, DestinationConfig
from deploy.config.models.people import PeopleUrl
from deploy.config.models.source import SourceConfig
from functions.notify.waiting.schedule import DEFAULT_RETRY_SECONDS, DIGEST_RETRY_SECONDS
from shared.config.rules import rate_of
from shared.jsontext import Json, JsonObject, to_json
from shared.secrets import secret_names

FUNCTIONS: Final = ("receive", "transform", "notify")
"""Those of every configuration, in the order of an event's path."""
OPTIONAL: Final = ("subscribe",)
"""Those that only some configurations have a slice for: subscribe, with the section `subscribers`."""


def compile_file(path: Path | None, environ: Mapping[str, str]) -> dict[str, JsonObject]:
    """Return the slice of each function that the configuration needs. Raises ConfigFaults, which lists every fault."""
    return compile_config(read_config(path, environ))


def read_config(path: Path | None, environ: Mapping[str, str]) -> ConfigFile:
    return read_config_file(path) if path else config_from_environment(environ)


def compile_config(file: ConfigFile) -> dict[str, JsonObject]:
    checked = check_config(file)
    config = checked.config
    if checked.faults or config is None:
        raise ConfigFaults(file.file, checked.faults)
    routes = compiled_routes(file, config.routes, config.chains, config.steps_from)
    slices: dict[str, JsonObject] = {
        "receive": {
            "function": "receive",
            "sources": _sources(config, file.folder),
            **_sizes(config.google_cloud.receive, config.aws.receive),
        },
        "transform": {
            "function": "transform",
            "sources": {name: type_words(source) for name, source in config.sources.items()},
            **routes,
            **compiled_seen(config.sources),
            **_retention(config),
            **_sizes(config.google_cloud.transform, config.aws.transform),
        },
        "notify": {
            "function": "notify",
            "destinations": _destinations(config, checked.settings),
            **compiled_alerts(config.alerts, config.sources),
            **_people(config, checked.people, checked.settings),
            **({"own_kinds": dict(sources)} if (sources := own_kind_sources(file)) else {}),
            **compiled_subscribers(config.subscribers),
            **compiled_waits(routes),
            **_retention(config),
            **_sizes(config.google_cloud.notify, config.aws.notify),
        },
    }
    if config.subscribers is not None:
        slices["subscribe"] = {
            "function": "subscribe",
            **compiled_subscribe(config.subscribers, config.destinations, checked.settings, checked.event_types.types),
            **_retention(config),
            **_sizes(config.google_cloud.subscribe, config.aws.subscribe),
        }
    return slices


def _sources(config: Configuration, folder: Path) -> JsonObject:
    """Return receive's sources. Names of files are relative to `folder`."""
    mailed = _sources_mailed_as_they_came(config)
    compiled: JsonObject = {}
    for name, source in config.sources.items():
        place = {} if source.bus else _place(name, source, config)
        compiled[name] = {**compiled_source(name, source, folder, name in mailed), **place}
    return compiled


def _place(name: str, source: SourceConfig, config: Configuration) -> JsonObject:
    """Return the source's public URL and the proxies in front of it."""
    public_url = source.public_url or (config.public_url and f"{config.public_url.rstrip('/')}/{name}")
    proxies = config.trusted_proxies if source.trusted_proxies is None else source.trusted_proxies
    return {
        **({"public_url": public_url} if public_url else {}),
        **({"trusted_proxies": proxies} if proxies else {}),
    }


def _sources_mailed_as_they_came(config: Configuration) -> set[str]:
    """Return the sources that keep the body as received, because a mail without templates shows it."""
    plain = {
        name
        for name, destination in config.destinations.items()
        if isinstance(email := destination.kinds.get("email"), dict) and not email.keys() & {"html", "text"}
    }
    routes = [route for route in config.routes if plain.intersection(route.to)]
    return {name for route in routes for name in (config.sources if "all" in route.from_ else route.from_)}


def _destinations(config: Configuration, settings: Mapping[str, BaseModel]) -> JsonObject:
    every = config.alerts.every if config.alerts else DEFAULT_EVERY_SECONDS
    names = alert_destinations(config.alerts, config.sources, config.destinations)
    alerts = alert_settings(names, every, config.destinations, settings)
    compiled: JsonObject = {}
    for name, destination in config.destinations.items():
        own_alerts: JsonObject = {"alerts": alerts[name]} if name in alerts else {}
        compiled[name] = {**_destination(destination, settings[name]), **own_alerts}
    return compiled


def _sizes(google_cloud: CloudRunConfig, aws: LambdaConfig) -> JsonObject:
    """Return the function's settings on each platform, which only the deployment reads."""
    written = {"google_cloud": google_cloud.model_dump(exclude_unset=True), "aws": aws.model_dump(exclude_unset=True)}
    return {platform: settings for platform, settings in written.items() if settings}


def _retention(config: Configuration) -> JsonObject:
    """Return the retention. Functions that keep a journal need it: on some platforms each entry has its expiry."""
    retention = config.retention
    seconds: JsonObject = {
        "events_seconds": retention.events,
        "bodies_seconds": retention.bodies,
        "dead_letters_seconds": retention.dead_letters,
    }
    return {"retention": seconds}


def _people(config: Configuration, people: ListedPeople, settings: Mapping[str, BaseModel]) -> JsonObject:
    """Return the list of people, or the URL of it; nothing where the `to` of no destination names a person."""
    if not any(getattr(model, "recipient", None) for model in settings.values()):
        return {}
    at_url = config.people.model_dump(exclude_none=True) if isinstance(config.people, PeopleUrl) else {}
    rows: JsonObject = {"rows": [_without_empty(row) for row in people.rows]}
    providers: JsonObject = {name: source.provider for name, source in config.sources.items() if source.provider}
    return {"people": {**(at_url or rows), "providers": providers}}


def _without_empty(row: JsonObject) -> JsonObject:
    return {key: value for key, value in row.items() if value not in (None, "", [])}


def secrets_needed(slices: Mapping[str, Json]) -> list[str]:
    """Return the names of the secrets in the slices, each once, in alphabetical order."""
    return sorted(set(secret_names(dict(slices))))


def _destination(destination: DestinationConfig, settings: BaseModel) -> JsonObject:
    [kind] = destination.kinds
    optional: JsonObject = {
        "expires_after_seconds": destination.expires_after,
        "otherwise": destination.otherwise,
        "success_when": destination.success_when,
        "breaker": _breaker(destination.breaker),
        "rate": [*rate_of(destination.rate)] if destination.rate else None,
        "in_flight": destination.in_flight,
        "per": destination.per,
        "gather": gather_settings(destination, settings),
        "recipient": getattr(settings, "recipient", None),
    }
    # While one digest waits for its next attempt, all that comes later waits for it.
    default = DIGEST_RETRY_SECONDS if destination.digest else DEFAULT_RETRY_SECONDS
    retry_seconds = default if destination.retry is None else destination.retry
    return {
        "kind": kind,
        "settings": settings.model_dump(mode="json", by_alias=True),
        "retry_seconds": list(retry_seconds),
        "timeout_seconds": destination.timeout,
        "on_unknown": destination.on_unknown,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _breaker(breaker: BreakerConfig | None) -> Json:
    if breaker is None:
        return None
    return {"failures": breaker.failures, "pause_seconds": breaker.pause, "max_pause_seconds": breaker.max_pause}


def main(arguments: list[str]) -> int:
    [function] = arguments
    try:
        slices = compile_file(choose_config(os.environ, ROOT), os.environ)
    except ConfigFaults as faults:
        print(faults, file=sys.stderr)
        return 1
    print(to_json(slices[function]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
