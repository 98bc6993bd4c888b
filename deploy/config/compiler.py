"""Compile hookchain.yaml into slices: for each function, plain JSON with the part of the configuration that it needs.

The file is read, then all its faults are found by `check_config`, and only a file without faults is compiled. Each
section of the file has a module in `sections`, with its model, its checks and what it adds to the slices.

`python -m deploy.config.compiler receive` prints a function's slice of the configuration that the environment names.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel, ValidationError

from deploy.config.checkout import ROOT, choose_config
from deploy.config.config_file import NO_FILE, ConfigFaults, ConfigFile, Fault, read_config_file
from deploy.config.configuration import CloudRunConfig, Configuration, LambdaConfig
from deploy.config.model_faults import model_faults
from deploy.config.sections import (
    alerts,
    cases,
    destination,
    develop,
    own_files,
    people,
    provider_api,
    route,
    subscribers,
    telemetry,
)
from deploy.config.sections.source import SourceConfig, compiled_source, recovered_part, source_faults, type_words
from shared.jsontext import Json, JsonObject, to_json
from shared.secrets import secret_names

FUNCTIONS: Final = ("receive", "transform", "notify")
"""The functions of every configuration, in the order of an event's path."""
OPTIONAL: Final = ("subscribe",)
"""The functions of some configurations only: `subscribe` has a slice if there is the section `subscribers`."""


def compile_file(path: Path | None, environ: Mapping[str, str]) -> dict[str, JsonObject]:
    """Return the slice of each function that the configuration needs. Raises ConfigFaults, which lists every fault."""
    return compile_config(read_config(path, environ))


def read_config(path: Path | None, environ: Mapping[str, str]) -> ConfigFile:
    """Return the file as it is written; None: a configuration made from the environment. Raises ConfigFaults."""
    file = read_config_file(path) if path else config_from_environment(environ)
    return telemetry.with_telemetry(file, environ)


def config_from_environment(environ: Mapping[str, str]) -> ConfigFile:
    """Return the configuration of the mode without a file: what is posted to /webhook is mailed to EMAIL_ADDRESS.

    Requests need the password WEBHOOK_PASSWORD. EMAIL_ADDRESS is one address or a comma-separated list. Raises
    ConfigFaults if it is missing.
    """
    addresses: list[Json] = [text.strip() for text in environ.get("EMAIL_ADDRESS", "").split(",") if text.strip()]
    if not addresses:
        rule = "without a configuration file, set EMAIL_ADDRESS to the address that webhooks are mailed to"
        raise ConfigFaults(NO_FILE, [Fault(0, "EMAIL_ADDRESS", rule)])
    document: Json = {
        "sources": {
            "webhook": {
                "unwrap": True,
                "auth": [
                    {"scheme": "basic", "secret": "webhook-password"},
                    {"scheme": "header", "header": "X-Webhook-Password", "secret": "webhook-password"},
                ],
            }
        },
        "routes": [{"name": "mail", "from": "webhook", "to": "mail"}],
        "destinations": {"mail": {"email": {"to": addresses, "subject": "Webhook notification"}}},
    }
    return ConfigFile(NO_FILE, Path(), document)


class Checked(NamedTuple):
    """A configuration without faults, and what its checks have read.

    settings     the settings of the destinations by the models of their kinds, by name
    people_list  the people of the file, and of the files that it names
    event_types  the event types of subscribers, of the file and of the files that it names
    """

    config: Configuration
    settings: Mapping[str, BaseModel]
    people_list: people.PeopleList
    event_types: subscribers.EventTypes


def check_config(file: ConfigFile) -> Checked:
    """Return the configuration. Raises ConfigFaults, which lists every fault.

    Each check reads the file itself, so that no fault hides another. Only the last ones compare whole sections, so they
    need a configuration that has the shape of the model.
    """
    if not isinstance(file.document, dict):
        rule = "must be a mapping with `sources`, `routes` and `destinations`"
        raise ConfigFaults(file.file, [*file.value_faults, Fault(1, "", rule)])
    config, shape_faults = _validated(file)
    settings, settings_faults = destination.read_destination_settings(file)
    people_list = people.read_people(file)
    event_types = subscribers.event_types(file)
    faults = [
        *file.value_faults,
        *shape_faults,
        *source_faults(file),
        *route.route_faults(file),
        *own_files.own_kind_faults(file),
        *settings_faults,
        *destination.option_faults(file),
        *alerts.alert_faults(file),
        *develop.develop_faults(file),
        *people_list.faults,
        *people.recipient_faults(file, settings, people_list),
        *subscribers.subscribers_faults(file, settings, event_types),
        *cases.case_faults(file),
    ]
    if config is not None:
        faults += destination.waiting_faults(file, config.destinations, settings)
        faults += alerts.alert_destination_faults(file, config.alerts, config.sources, config.destinations, settings)
        faults += develop.copied_source_faults(file, config.develop, config.sources)
    if faults or config is None:
        raise ConfigFaults(file.file, faults)
    return Checked(config, settings, people_list, event_types)


def _validated(file: ConfigFile) -> tuple[Configuration | None, list[Fault]]:
    try:
        return Configuration.model_validate(file.document), []
    except ValidationError as error:
        return None, list(model_faults(error, file, (), Configuration))


def compile_config(file: ConfigFile) -> dict[str, JsonObject]:
    """Return the slice of each function that the configuration needs. Raises ConfigFaults, which lists every fault."""
    config, settings, people_list, event_types = check_config(file)
    sources = _sources(config, file.folder)
    routes = route.compiled_routes(file, config.routes, config.chains)
    providers = {name: source.provider for name, source in config.sources.items() if source.provider}
    kind_files = own_files.KIND_FILES.sources(file)
    slices: dict[str, JsonObject] = {
        "receive": {
            "function": "receive",
            "sources": develop.with_copied_requests(config.develop, sources),
            **recovered_part(config.sources),
            **telemetry.compiled_receive_telemetry(config.telemetry),
            **_platform_settings(config.google_cloud.receive, config.aws.receive),
        },
        "transform": {
            "function": "transform",
            "sources": {name: type_words(each) for name, each in config.sources.items()},
            **routes,
            **alerts.compiled_seen(config.sources),
            **telemetry.compiled_telemetry(config.telemetry),
            **develop.compiled_develop(config.develop, sources),
            **_retention(config),
            **_platform_settings(config.google_cloud.transform, config.aws.transform),
        },
        "notify": {
            "function": "notify",
            "destinations": _destinations(config, settings),
            **alerts.compiled_alerts(config.alerts, config.sources),
            **provider_api.compiled_hooks(config.sources, has_alerts=config.alerts is not None),
            **provider_api.compiled_recover(config.sources, _routed_types(config), _public_urls(config)),
            **people.compiled_people(config.people, people_list, settings, providers),
            **({"own_kinds": dict(kind_files)} if kind_files else {}),
            **subscribers.compiled_subscribers_for_notify(config.subscribers),
            **route.compiled_for_notify(routes),
            **telemetry.compiled_telemetry(config.telemetry),
            **_retention(config),
            **_platform_settings(config.google_cloud.notify, config.aws.notify),
        },
    }
    if (section := config.subscribers) is not None:
        slices["subscribe"] = {
            "function": "subscribe",
            **subscribers.compiled_subscribe(section, config.destinations, settings, event_types.types),
            **_retention(config),
            **_platform_settings(config.google_cloud.subscribe, config.aws.subscribe),
        }
    return slices


def _sources(config: Configuration, folder: Path) -> JsonObject:
    """Return receive's sources. Names of files are relative to `folder`."""
    mailed = _sources_mailed_as_they_came(config)
    compiled: JsonObject = {}
    for name, source in config.sources.items():
        entrance = {} if source.bus else _entrance(name, source, config)
        compiled[name] = {**compiled_source(name, source, folder, is_mailed=name in mailed), **entrance}
    return compiled


def _entrance(name: str, source: SourceConfig, config: Configuration) -> JsonObject:
    """Return the source's public URL and the number of proxies in front of it."""
    public_url = _public_url(name, source, config)
    proxies = config.trusted_proxies if source.trusted_proxies is None else source.trusted_proxies
    entrance: JsonObject = {"public_url": public_url, "trusted_proxies": proxies}
    return {key: value for key, value in entrance.items() if value}


def _public_url(name: str, source: SourceConfig, config: Configuration) -> str | None:
    return source.public_url or (config.public_url and f"{config.public_url.rstrip('/')}/{name}")


def _public_urls(config: Configuration) -> dict[str, str]:
    urls = {name: _public_url(name, source, config) for name, source in config.sources.items()}
    return {name: url for name, url in urls.items() if url}


def _routed_types(config: Configuration) -> dict[str, list[str]]:
    """Return the patterns of event types that the routes of each source take. A source without a route is left out.

    The list is empty if they take all types, or if the source has types of its own, so that any may be needed.
    """
    types_by_source: dict[str, list[str]] = {}
    for name, source in config.sources.items():
        routes = [each for each in config.routes if each.enabled and {"all", name} & {*each.from_}]
        if routes:
            takes_all = bool(source.type or source.action) or not all(each.types for each in routes)
            types_by_source[name] = [] if takes_all else [pattern for each in routes for pattern in each.types]
    return types_by_source


def _sources_mailed_as_they_came(config: Configuration) -> set[str]:
    """Return the sources that keep the body as received, because a mail without templates shows it."""
    without_template = {
        name
        for name, destination in config.destinations.items()
        if isinstance(email := destination.settings_of("email"), dict) and not email.keys() & {"html", "text"}
    }
    sources: set[str] = set()
    for each in config.routes:
        if without_template.intersection(each.to):
            sources.update(config.sources if "all" in each.from_ else each.from_)
    return sources


def _destinations(config: Configuration, settings: Mapping[str, BaseModel]) -> JsonObject:
    alert_seconds = config.alerts.every if config.alerts else alerts.DEFAULT_EVERY_SECONDS
    reached_by_alerts = alerts.alert_destinations(config.alerts, config.sources, config.destinations)
    compiled: JsonObject = {}
    for name, options in config.destinations.items():
        entry = destination.compiled_destination(options, settings[name])
        if name in reached_by_alerts:
            entry["alerts"] = alerts.compiled_alert_delivery(options, settings[name], alert_seconds)
        compiled[name] = entry
    return compiled


def _platform_settings(google_cloud: CloudRunConfig, aws: LambdaConfig) -> JsonObject:
    """Return the function's size and limits on each platform, which only a deployment reads."""
    given = {"google_cloud": google_cloud.model_dump(exclude_unset=True), "aws": aws.model_dump(exclude_unset=True)}
    return {platform: settings for platform, settings in given.items() if settings}


def _retention(config: Configuration) -> JsonObject:
    """Return the retention. Functions that keep a journal need it: on some platforms each entry has its expiry."""
    return {
        "retention": {
            "events_seconds": config.retention.events,
            "bodies_seconds": config.retention.bodies,
            "dead_letters_seconds": config.retention.dead_letters,
        }
    }


def secrets_needed(slices: Mapping[str, Json]) -> list[str]:
    """Return the names of the secrets in the slices, each once, in alphabetical order."""
    return sorted(set(secret_names(dict(slices))))


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
