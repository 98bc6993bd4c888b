"""The section `subscribers`: the API and the portal for the operator's own users, and the event types they get."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic.types import Discriminator, StringConstraints, Tag

from deploy.config.config_file import ConfigFaults, ConfigFile, DocumentPath, Fault, read_config_file, unreadable
from deploy.config.model_faults import fault_at, rule_of, unknown_names
from deploy.config.sections.destination import DestinationConfig, kind_of
from deploy.config.sections.schema_document import SchemaFault, schema_document
from deploy.config.sections.texts import Origin, PublicUrl, fitting
from shared.config.rules import Name, Seconds, listed
from shared.config.values import Model, VerbatimJson, VerbatimObject
from shared.jsontext import Json, JsonObject, from_json, to_json
from shared.subscribers.catalogue_document import is_own_form, read_catalogue
from shared.subscribers.event_types import event_type_fields
from shared.subscribers.names import TYPE_PATTERN
from shared.subscribers.sealing import KEY_SECRET
from shared.subscribers.standalone_schema import CatalogueFault, CatalogueFaults

SECTION: Final = "subscribers"
KIND: Final = "subscribers"
TENANT_ADDRESS: Final = "data.email"
"""The place of the tenant's address in an operational event."""
MAX_EVENT_TYPES: Final = 1_000
MAX_EXAMPLES: Final = 20
EVENT_TYPES_PATH: Final[DocumentPath] = ("subscribers", "event_types")
EVENT_TYPES_NAME: Final = ".".join(map(str, EVENT_TYPES_PATH))
CATALOGUE_SUFFIXES: Final = (".json", ".yaml", ".yml")
"""The endings of the files that are read in a folder of event types."""
MAX_CATALOGUE_BYTES: Final = 10 * 2**20
"""The largest file of event types."""
LogoUrl = Annotated[
    str,
    fitting(
        r"https://[^\s\x00-\x20\x7f-\uffff\\\"'<>;,]+", "the URL of an image, such as https://www.example.com/logo.svg"
    ),
]
_NAME: Final = re.compile(TYPE_PATTERN)
_TYPE: Final = re.compile(r"{{-?\s*type\b")
_NOT_FOR_ENDPOINTS: Final = ("coalesce", "per")


class PortalConfig(Model):
    """The page for your users.

    name     the name of your product
    origins  the origins of your pages that may embed it
    logo     the URL of an image
    """

    name: Annotated[str, Field(max_length=100)] = ""
    origins: Annotated[list[Origin], BeforeValidator(listed)] = Field(default=[], max_length=50)
    logo: LogoUrl | None = None


class LimitsConfig(Model):
    """The most of each that a tenant or one of its endpoints may have.

    endpoints          endpoints of a tenant
    headers, fields    further headers and extra fields of an endpoint
    types              patterns of event types of an endpoint
    filter_characters  characters of an endpoint's filter; 0 allows none
    """

    endpoints: Annotated[int, Field(ge=1, le=10_000)] = 20
    headers: Annotated[int, Field(ge=0, le=50)] = 10
    fields: Annotated[int, Field(ge=0, le=100)] = 20
    types: Annotated[int, Field(ge=1, le=500)] = 50
    filter_characters: Annotated[int, Field(ge=0, le=500)] = 500


class TellConfig(Model):
    """The destinations that tell what happens to endpoints.

    operator  the destination that gets operational events, such as `endpoint.disabled`
    owners    an `email` destination, by which a tenant is told that its endpoint was disabled
    """

    operator: Name | None = None
    owners: Name | None = None


EventTypeName = Annotated[str, StringConstraints(pattern=f"^(?:{TYPE_PATTERN})$")]


class EventTypeConfig(Model):
    """A type of events that tenants can subscribe to.

    schema    the JSON Schema 2020-12 of an event's data, or the name of its file
    examples  examples of an event's data, which must fit the schema. The first is sent as a test event
    """

    description: Annotated[str, Field(max_length=10_000)] = ""
    group: Annotated[str, Field(max_length=100)] = ""
    schema_: VerbatimObject | str | None = Field(None, alias="schema")
    examples: list[VerbatimJson] = Field(default=[], max_length=MAX_EXAMPLES)
    deprecated: bool = False


class EventTypeFiles(Model):
    """Files beside the configuration, each YAML or JSON: event types as they would stand here, an OpenAPI 3.1 document
    with `webhooks`, or the JSON Schema of one event type, which has the file's name. A folder stands for its files."""

    file: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]


def _form_tag(section: object) -> str:
    """Return the tag of the form in which the event types are written.

    An event type may have the name `file`, but its value is a mapping. The names of files are texts.
    """
    names = section.get("file") if isinstance(section, Mapping) else None
    return "tag:file" if isinstance(names, str | list) else "tag:here"


EventTypesByName = Annotated[dict[EventTypeName, EventTypeConfig], Field(max_length=MAX_EVENT_TYPES)]

EventTypesConfig: TypeAlias = Annotated[
    Annotated[EventTypeFiles, Tag("tag:file")] | Annotated[EventTypesByName, Tag("tag:here")], Discriminator(_form_tag)
]


def _present(value: object) -> object:
    """Return an empty mapping for `subscribers:` with nothing after it: its presence is enough."""
    return {} if value is None else value


class SubscribersConfig(Model):
    """Your own users subscribe to events: a function with an API and a portal. It needs the secret `subscribers-key`.

    public_url     what stands before /v1 and /portal in links, unless it is the function's own URL
    allow_http     endpoints may have a URL with http://
    allow_private  endpoints may have private addresses
    verify         the proof that an endpoint gives before it gets events: `challenge` must be echoed, `cloudevents` is
                   the handshake of CloudEvents
    disable_after  how long deliveries to an endpoint may keep failing before it is disabled
    event_types    event types by name, or `{file: …}`
    """

    public_url: PublicUrl | None = None
    portal: PortalConfig = PortalConfig()
    limits: LimitsConfig = LimitsConfig()
    allow_http: bool = False
    allow_private: bool = False
    verify: Literal["none", "challenge", "cloudevents"] = "none"
    disable_after: Annotated[Seconds, Field(ge=1, le=365 * 86_400)] = 5 * 86_400
    tell: TellConfig = TellConfig()
    event_types: EventTypesConfig = Field(default={})


SubscribersSection = Annotated[SubscribersConfig | None, BeforeValidator(_present)]


class EventTypes(NamedTuple):
    """The event types of the configuration as the slice has them, by name, and the faults that their model misses."""

    types: Mapping[str, JsonObject]
    faults: Sequence[Fault]


def subscribers_faults(file: ConfigFile, settings: Mapping[str, BaseModel], types: EventTypes) -> Iterator[Fault]:
    """Yield the faults that the models of the sections do not show.

    `settings` has the settings of the destinations by name. `types` are the event types, with their faults.
    """
    destinations = {name: each for name, each in file.mappings("destinations").items() if KIND in each}
    for name, destination in destinations.items():
        for option in _NOT_FOR_ENDPOINTS:
            if option in destination:
                rule = "must not be combined with `subscribers`, each of whose endpoints is a destination of its own"
                yield fault_at(file, ("destinations", name, option), f"{rule}. Remove it")
    if SECTION not in file.mapping():
        for name in destinations:
            rule = "must have the section `subscribers` in the file, with the API and the portal; got none"
            yield fault_at(file, ("destinations", name, KIND), f"{rule}. Add `subscribers: {{}}`")
        return
    if not destinations:
        rule = "must have a destination of the kind `subscribers`, through which events reach them; got none"
        yield fault_at(file, (SECTION,), f"{rule}. Add `customers: {{subscribers: {{tenant: data.accountId}}}}`")
    yield from types.faults
    yield from unknown_names(file, (SECTION, "tell", "operator"), "destination")
    yield from unknown_names(file, (SECTION, "tell", "owners"), "destination")
    yield from _operator_faults(file, settings)
    yield from _owners_faults(file, settings)


def subscribers_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about settings that are rarely intended. The configuration has no faults."""
    section = file.mapping(SECTION)
    operator = _told_destination(file, "operator")
    webhook = file.mapping("destinations", operator, "webhook")
    if webhook and not str(webhook.get("format")).startswith("cloudevents") and not _TYPE.search(to_json(webhook)):
        rule = f"{operator!r} sends the data of each event without its type, such as `endpoint.disabled`"
        advice = 'Set `format: cloudevents`, or `headers: {X-Event: "{{ type }}"}`'
        yield fault_at(file, (SECTION, "tell", "operator"), f"{rule}. {advice}")
    if section.get("allow_private") is True:
        rule = "lets your users reach private addresses of your network"
        advice = "Remove it, unless you trust them all; `hookchain dev` allows endpoints on this machine by itself"
        yield fault_at(file, (SECTION, "allow_private"), f"{rule}. {advice}")
    if section.get("allow_http") is True:
        rule = "lets events travel to your users unencrypted; remove it if all their endpoints have https://"
        yield fault_at(file, (SECTION, "allow_http"), rule)


def owners_destination(file: ConfigFile) -> str:
    """Return the destination that mails tenants; empty if there is none.

    Its recipient is the tenant's address, not a person in `people`.
    """
    return _told_destination(file, "owners")


def _told_destination(file: ConfigFile, role: Literal["operator", "owners"]) -> str:
    """Return the destination that `tell` names for the role; empty if it names none."""
    name = file.value(SECTION, "tell", role)
    return name if isinstance(name, str) else ""


def _operator_faults(file: ConfigFile, settings: Mapping[str, BaseModel]) -> Iterator[Fault]:
    at = (SECTION, "tell", "operator")
    operator = _told_destination(file, "operator")
    if KIND in file.mapping("destinations", operator):
        rule = "must not be a destination of the kind `subscribers`, whose endpoints the events are about"
        yield fault_at(file, at, f"{rule}; got {operator!r}. Name another destination")
    recipient = getattr(settings.get(operator), "recipient", None)
    if isinstance(recipient, dict) and recipient.get("path"):
        rule = "must not take its recipient from each event, because an operational event names no person"
        yield fault_at(file, at, f"{rule}; got {operator!r}. Write the recipients out")


def _owners_faults(file: ConfigFile, settings: Mapping[str, BaseModel]) -> Iterator[Fault]:
    owners = owners_destination(file)
    kind = kind_of(file, owners)
    if kind not in ("", "email"):
        rule = "must be an `email` destination, because a tenant has a mail address"
        yield fault_at(file, (SECTION, "tell", "owners"), f"{rule}; got {owners!r} of the kind {kind!r}")
    elif owners in settings and getattr(settings[owners], "to", None) != [TENANT_ADDRESS]:
        rule = f"must be `{TENANT_ADDRESS}`, because this destination mails the tenant whose endpoint was disabled"
        yield fault_at(file, ("destinations", owners, "email", "to"), rule)


def event_types(file: ConfigFile) -> EventTypes:
    """Return the event types of the section, or of the files that it names, and their faults."""
    reader = _EventTypeReader()
    written = file.mapping(*EVENT_TYPES_PATH)
    if names := _file_names(written):
        reader.read_files(file, names)
        return EventTypes(reader.types, reader.faults)
    for name, entry in written.items():
        try:
            config = EventTypeConfig.model_validate(entry)
        except ValidationError:  # the model of the configuration has its faults
            continue
        reader.add(name, config, file.folder, file.line((*EVENT_TYPES_PATH, name)), f"event type {name!r}")
    return EventTypes(reader.types, reader.faults)


def event_type_files(file: ConfigFile) -> list[Path]:
    """Return the files that the configuration names, those of its folders included."""
    return [path for name in _file_names(file.mapping(*EVENT_TYPES_PATH)) for path in _files_at(file.folder / name)]


def _file_names(written: JsonObject) -> list[str]:
    """Return the names of files in the section `event_types`.

    An event type may have the name `file` too, but its value is not a text.
    """
    value = written.get("file")
    names = value if isinstance(value, list) else [value]
    return [name for name in names if isinstance(name, str)]


def _files_at(path: Path) -> list[Path]:
    """Return the catalogues in the folder; the path itself if it is no folder, or cannot be listed."""
    try:
        return sorted(each for each in path.iterdir() if each.suffix in CATALOGUE_SUFFIXES) if path.is_dir() else [path]
    except (OSError, ValueError):  # ValueError: a name with a NUL in it
        return [path]


class _EventTypeReader:
    """Collects event types as the slice has them, and the faults of others."""

    def __init__(self) -> None:
        self.types: dict[str, JsonObject] = {}
        self.faults: list[Fault] = []

    def read_files(self, file: ConfigFile, names: list[str]) -> None:
        line = file.line((*EVENT_TYPES_PATH, "file"))
        for path in (path for name in names for path in _files_at(file.folder / name)):
            shown = str(path.relative_to(file.folder)) if path.is_relative_to(file.folder) else str(path)
            for name, entry in self._entries(path, shown, line):
                where = f"{shown}: event type {name!r}"
                if not _NAME.fullmatch(name):
                    rule = "must be letters, digits, `_`, `.` and `-`, at most 128, and begin with a letter or digit"
                    self.faults.append(Fault(line, where, rule))
                elif name in self.types:
                    self.faults.append(Fault(line, where, "is a duplicate event type; keep one"))
                else:
                    self._verify_and_add(name, entry, path.parent, line, where)
        if len(self.types) > MAX_EVENT_TYPES:
            rule = f"must have at most {MAX_EVENT_TYPES:,} event types; got {len(self.types):,}"
            self.faults.append(Fault(line, EVENT_TYPES_NAME, rule))

    def _entries(self, path: Path, shown: str, line: int) -> Iterator[tuple[str, Json]]:
        """Yield the event types in the file by name. If it cannot be read, add its faults."""
        try:
            if path.stat().st_size > MAX_CATALOGUE_BYTES:
                raise CatalogueFaults([CatalogueFault("", f"must have at most {MAX_CATALOGUE_BYTES:,} bytes")])
            document = _read_catalogue_file(path)
            if is_own_form(document) and isinstance(document, dict):
                yield from document.items()
                return
            for each in read_catalogue(document, path.stem):
                yield each.name, event_type_fields(each)
        except OSError:
            self.faults.append(Fault(line, EVENT_TYPES_NAME, unreadable(shown)))
        except CatalogueFaults as error:
            self.faults += [Fault(line, EVENT_TYPES_NAME, f"{shown}: {fault}") for fault in error.faults]
        except (ValueError, RecursionError):
            self.faults.append(Fault(line, EVENT_TYPES_NAME, f"{shown}: is not JSON"))
        except ConfigFaults as error:
            self.faults += [Fault(line, EVENT_TYPES_NAME, fault.text(shown)) for fault in error.faults]

    def _verify_and_add(self, name: str, entry: Json, folder: Path, line: int, where: str) -> None:
        try:
            config = EventTypeConfig.model_validate(entry)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                setting = ".".join(map(str, detail["loc"]))
                place = f"{where}: {setting}" if setting else where
                self.faults.append(Fault(line, place, rule_of(detail, EventTypeConfig)))
        else:
            self.add(name, config, folder, line, where)

    def add(self, name: str, config: EventTypeConfig, folder: Path, line: int, where: str) -> None:
        """Add the event type, or the faults of its schema and examples, which are at `where`.

        Names of files are relative to the folder.
        """
        schema: Json = {}
        if config.schema_ is not None:
            try:
                schema = schema_document(config.schema_, folder)
            except SchemaFault as fault:
                self.faults.append(Fault(line, f"{where}: schema", str(fault)))
                return
        if rules := list(_example_rules(config.examples, schema)):
            self.faults += [Fault(line, f"{where}: {place}", rule) for place, rule in rules]
            return
        self.types[name] = {
            "description": config.description,
            "group": config.group,
            "schema": schema,
            "examples": list(config.examples),
            "deprecated": config.deprecated,
        }


def _read_catalogue_file(path: Path) -> Json:
    """Return the document in the file.

    Raises OSError, ValueError and RecursionError for JSON, and ConfigFaults for YAML.
    """
    if path.suffix == ".json":
        return from_json(path.read_bytes())
    read = read_config_file(path)
    if read.value_faults:
        raise ConfigFaults(str(path), read.value_faults)
    return read.document


def _example_rules(examples: list[Json], schema: Json) -> Iterator[tuple[str, str]]:
    if not examples or not schema:
        return
    # Imported here, because jsonschema is slow to import.
    from shared.schema import Schema

    checked = Schema(schema)
    for number, example in enumerate(examples):
        for rule in checked.find_faults(example, "data"):
            yield f"examples[{number}]", f"must fit the schema: {rule}"


def compiled_subscribe(
    section: SubscribersConfig,
    destinations: Mapping[str, DestinationConfig],
    settings: Mapping[str, BaseModel],
    types: Mapping[str, JsonObject],
) -> JsonObject:
    """Return the settings of the API and the portal, for the slice of the function `subscribe`."""
    portal = section.portal
    public: JsonObject = {
        **_common(section),
        "secret": KEY_SECRET,
        "public_url": section.public_url.rstrip("/") if section.public_url else None,
        "portal": {"name": portal.name, "origins": list(portal.origins), "logo": portal.logo},
        "limits": section.limits.model_dump(),
    }
    compiled_destinations: JsonObject = {
        name: {
            **settings[name].model_dump(mode="json", by_alias=True),
            **({"rate": destination.rate} if destination.rate else {}),
        }
        for name, destination in destinations.items()
        if destination.kind == KIND
    }
    return {"subscribers": public, "destinations": compiled_destinations, "event_types": dict(types)}


def compiled_subscribers_for_notify(section: SubscribersConfig | None) -> JsonObject:
    """Return the settings by which notify delivers to endpoints, for its slice; none without the section."""
    return {} if section is None else {"subscribers": {**_common(section), "secret": KEY_SECRET}}


def tell_destinations(section: SubscribersConfig | None) -> list[str]:
    """Return the destinations that get the operational events about endpoints."""
    tell = section.tell if section else None
    return [name for name in (tell.operator, tell.owners) if name] if tell else []


def _common(section: SubscribersConfig) -> JsonObject:
    return {
        "allow_http": section.allow_http,
        "allow_private": section.allow_private,
        "verify": section.verify,
        "disable_after_seconds": section.disable_after,
        "tell": {"operator": section.tell.operator, "owners": section.tell.owners},
    }
