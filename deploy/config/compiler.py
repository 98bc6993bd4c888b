"""The compiler: hookchain.yaml to one slice of plain JSON for each function.

`python -m deploy.config.compiler receive` prints a function's slice of the configuration that the environment names.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from deploy.config.checkout import ROOT, choose_config
from deploy.config.config_file import (
    ConfigFaults,
    ConfigFile,
    DocumentPath,
    Fault,
    config_from_environment,
    read_config_file,
    unreadable,
)
from deploy.config.configuration import CloudRunConfig, Configuration, LambdaConfig
from deploy.config.model_faults import model_faults, setting_name
from deploy.config.sections.alerts import (
    DEFAULT_EVERY_SECONDS,
    alert_destinations,
    alert_faults,
    alert_settings,
    compiled_alerts,
    compiled_seen,
    unfit_for_alerts,
)
from deploy.config.sections.cases import case_faults
from deploy.config.sections.destination import (
    BreakerConfig,
    DestinationConfig,
    gather_settings,
    gathering_faults,
    option_faults,
)
from deploy.config.sections.kinds import KindFault, destination_kinds, settings_model, suggested_kinds
from deploy.config.sections.own_files import KINDS_SECTION, own_kind_faults, own_kind_sources, own_kinds
from deploy.config.sections.people import (
    ListedPeople,
    PeopleUrl,
    listed_people,
    no_person_rule,
    people_faults,
    recipient_faults,
)
from deploy.config.sections.route import compiled_routes, compiled_waits, route_faults
from deploy.config.sections.source import SourceConfig, compiled_source, source_faults, type_words
from deploy.config.sections.subscribers import (
    EventTypes,
    compiled_subscribe,
    compiled_subscribers,
    event_types,
    owners_destination,
    subscribers_faults,
)
from functions.notify.recipients.to_person import is_person_path
from functions.notify.registry import ACTOR, OwnKinds
from functions.notify.waiting.schedule import DEFAULT_RETRY_SECONDS, DIGEST_RETRY_SECONDS
from shared.config.rules import rate_of
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, to_json
from shared.secrets import secret_names

COMMON_KEYS = DestinationConfig.model_fields.keys()


NOBODY = ListedPeople((), (), (), ())
NO_TYPES = EventTypes()


class Unresolved(ValueError):
    """A list or a file that a destination's settings name does not exist, or has an entry that is no address.

    `at` is the entry's place, if that is not the setting's.
    """

    def __init__(self, rule: str, at: DocumentPath = ()) -> None:
        super().__init__(rule)
        self.at = at


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration after its checks. Without faults, `config` is there, and the `settings` of each destination."""

    faults: list[Fault]
    config: Configuration | None = None
    settings: Mapping[str, BaseModel] = field(default_factory=dict)
    people: ListedPeople = NOBODY
    event_types: EventTypes = NO_TYPES


def check_config(file: ConfigFile) -> Checked:
    if not isinstance(file.document, dict):
        rule = "must be a mapping with `sources`, `routes` and `destinations`"
        return Checked([*file.repeated, Fault(1, "", rule)])
    config, shape_faults = _config(file)
    settings: dict[str, BaseModel] = {}
    people, types = listed_people(file), event_types(file)
    list_faults = [*people_faults(file, people)]
    faults = [
        *file.repeated,
        *shape_faults,
        *source_faults(file, file.document),
        *route_faults(file, file.document),
        *own_kind_faults(file),
        *_destination_faults(file, file.document, settings),
        *option_faults(file, file.document),
        *alert_faults(file, file.document),
        *list_faults,
        *recipient_faults(file, _addressed_settings(file, settings), people, bool(list_faults)),
        *subscribers_faults(file, file.document, settings, types),
        *case_faults(file, file.document),
    ]
    if config is not None:
        faults += gathering_faults(file, config.destinations, settings)
        faults += unfit_for_alerts(file, config.alerts, config.sources, config.destinations, settings)
    return Checked(faults, config, settings, people, types)


def _addressed_settings(file: ConfigFile, settings: Mapping[str, BaseModel]) -> dict[str, BaseModel]:
    """Return the settings but for those of the destination by which tenants are mailed, who are not in `people`."""
    return {name: each for name, each in settings.items() if name != owners_destination(file.document)}


def _config(file: ConfigFile) -> tuple[Configuration | None, list[Fault]]:
    try:
        return Configuration.model_validate(file.document), []
    except ValidationError as error:
        return None, list(model_faults(error, file, (), Configuration))


def _destination_faults(file: ConfigFile, document: JsonObject, valid: dict[str, BaseModel]) -> Iterator[Fault]:
    """Yield the faults, and add the settings of each destination that has none to `valid`."""
    destinations = document.get("destinations", {})
    own = own_kinds(file)
    known = [*destination_kinds(), *own]
    may_be_own = bool(document.get(KINDS_SECTION)) and not own  # a file with a fault, which is reported
    for name, settings in destinations.items() if isinstance(destinations, dict) else ():
        written = settings if isinstance(settings, dict) else {}
        for kind in written.keys() - COMMON_KEYS:
            at: DocumentPath = ("destinations", name, kind)
            if kind not in known and may_be_own:
                continue
            if kind not in known:
                rule = f"there is no kind of destination {kind!r}{suggested_kinds(kind, known)}"
                yield Fault(file.line(at), setting_name(file, at[:2]), rule)
            else:
                yield from _settings_faults(file, at, written[kind], valid, own)


def _settings_faults(
    file: ConfigFile, at: DocumentPath, settings: Json, valid: dict[str, BaseModel], own: OwnKinds
) -> Iterator[Fault]:
    try:
        model = settings_model(str(at[-1]), own)
    except KindFault as fault:
        yield Fault(file.line(at), setting_name(file, at[:2]), str(fault))
        return
    lists = _lists(file)
    if isinstance(settings, dict) and "to" in settings and "to" not in model.model_fields:
        yield Fault(file.line((*at, "to")), setting_name(file, (*at, "to")), no_person_rule(str(at[-1])))
        settings = {key: value for key, value in settings.items() if key != "to"}
    faults: dict[str, Fault] = {}
    filled: dict[str, Json] = {}
    for key, value in settings.items() if isinstance(settings, dict) else ():
        try:
            filled[key] = _resolved_value(str(at[-1]), key, value, lists, file)
        except Unresolved as fault:
            place = setting_name(file, fault.at or at)
            faults[key] = Fault(file.line(fault.at or (*at, key)), place, str(fault))
    yield from faults.values()
    try:
        valid[str(at[1])] = model.model_validate(filled if isinstance(settings, dict) else settings)
    except ValidationError as error:
        yield from model_faults(error, file, at, model, {(*at, key) for key in faults})


def _lists(file: ConfigFile) -> JsonObject:
    lists = file.document.get("lists") if isinstance(file.document, dict) else None
    return lists if isinstance(lists, dict) else {}


def _resolved_value(kind: str, key: str, value: Json, lists: JsonObject, file: ConfigFile) -> Json:
    """Return the value of a setting: the text of a `{file: …}`, and the addresses for a mail's names of lists.

    Raises Unresolved.
    """
    if not (isinstance(value, dict) and value.keys() == {"file"}):
        return _addresses(value, lists) if kind == "email" and key in {"to", "cc", "bcc"} else value
    name = str(value["file"])
    try:
        return (file.folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unresolved(unreadable(name)) from error


def _addresses(value: Json, lists: JsonObject) -> Json:
    """Return the addresses. An entry without @ is the name of a list, or else names a person, as a mapping does."""
    if isinstance(value, dict):
        return value
    found: list[Json] = []
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str) or "@" in entry or "{{" in entry:
            found.append(entry)
        elif isinstance(members := lists.get(entry), list):
            found.extend(_listed_address(entry, position, member) for position, member in enumerate(members))
        elif is_person_path(entry):
            found.append(entry)
        else:
            rule = f"must be an address or the name of a list; got {entry!r}"
            names = [name for name, members in lists.items() if isinstance(members, list)]
            raise Unresolved(f"{rule}{did_you_mean(entry, [*names, ACTOR])}")
    return found


def _listed_address(name: str, position: int, member: Json) -> Json:
    """Return the entry of a list. Raises Unresolved for a text that is neither an address nor a template."""
    is_person = isinstance(member, str) and (member == ACTOR or member.startswith("data."))
    if isinstance(member, str) and "@" not in member and "{{" not in member and not is_person:
        rule = f"must be a mail address, such as anna@example.com; got {member!r}"
        raise Unresolved(rule, ("lists", name, position))
    return member


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
