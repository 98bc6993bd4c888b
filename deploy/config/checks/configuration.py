"""All faults of a configuration. Each check reads the document as it is written, so that one fault hides no other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from deploy.config.checks.alerts import alert_faults, unfit_for_alerts
from deploy.config.checks.cases import case_faults
from deploy.config.checks.destination_options import option_faults
from deploy.config.checks.gathering import gathering_faults
from deploy.config.checks.kinds import KindFault, destination_kinds, settings_model, suggested_kinds
from deploy.config.checks.model_faults import model_faults, setting_name
from deploy.config.checks.people import ListedPeople, listed_people, no_person_rule, people_faults, recipient_faults
from deploy.config.checks.routes import route_faults
from deploy.config.checks.sources import source_faults
from deploy.config.checks.subscribers import owners_destination, subscribers_faults
from deploy.config.compiling.event_types import EventTypes, event_types
from deploy.config.compiling.own_kinds import KINDS_SECTION, own_kind_faults, own_kinds
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault, unreadable
from deploy.config.models.configuration import Configuration
from deploy.config.models.destination import DestinationConfig
from functions.notify.recipients.to_person import is_person_path
from functions.notify.registry import ACTOR, OwnKinds
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject

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
