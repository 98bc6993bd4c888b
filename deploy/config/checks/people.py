"""Faults of `people`, and of destinations whose `to` names a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from deploy.config.catalogue import load_catalogue
from deploy.config.checks.kinds import destination_kinds, settings_model
from deploy.config.checks.model_faults import fault_at, names_in
from deploy.config.checks.subscribers import TENANT_ADDRESS
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault, unreadable
from deploy.config.models.destination import DestinationConfig
from deploy.config.models.people import PersonConfig
from functions.notify.recipients.people import (
    EVERYWHERE,
    MAX_BYTES,
    NAME,
    Directory,
    Listed,
    UnreadableList,
    parse_rows,
    read_entry,
    read_rows,
)
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject
from shared.templating.template import KNOWN, Template, TemplateFault, is_template

SECTION: Final = "people"
KEYS: Final = tuple(PersonConfig.model_fields)


@dataclass(frozen=True, slots=True)
class ListedPeople:
    """The list of people. `rows` are as the slice has them, with the line of each; none of a list at a URL."""

    rows: tuple[JsonObject, ...]
    lines: tuple[int, ...]
    listed: tuple[Listed, ...]
    faults: tuple[Fault, ...]
    is_at_url: bool = False

    def person(self, name: str) -> Listed | None:
        return next((each for each in self.listed if each.person.name == name), None)


def listed_people(file: ConfigFile) -> ListedPeople:
    written = file.document.get(SECTION) if isinstance(file.document, dict) else None
    if not isinstance(written, dict) or not written:
        return ListedPeople((), (), (), ())
    if isinstance(written.get("url"), str):
        return ListedPeople((), (), (), (), is_at_url=True)
    return _in_file(file, written["file"]) if isinstance(written.get("file"), str) else _here(file, written)


def _here(file: ConfigFile, written: JsonObject) -> ListedPeople:
    entries = {name: entry for name, entry in written.items() if isinstance(entry, dict)}
    rows: list[JsonObject] = [{**entry, NAME: name} for name, entry in entries.items()]
    faults: list[Fault] = []
    listed: list[Listed] = []
    for name, row in zip(entries, rows, strict=True):
        found, wrong = read_entry(row)
        listed += [found] if found else []
        # The model has the faults of its fields.
        faults += [fault_at(file, (SECTION, name, each.key), each.rule) for each in wrong if each.key not in KEYS]
        faults += [fault_at(file, (SECTION, name, key), rule) for key, rule in _unknown_keys(file, row)]
    lines = tuple(file.line((SECTION, name)) for name in entries)
    return ListedPeople(tuple(rows), lines, tuple(listed), tuple(faults))


def _in_file(file: ConfigFile, written: Json) -> ListedPeople:
    name, at = str(written), (SECTION, "file")
    line = file.line(at)
    try:
        content = (file.folder / name).read_bytes()
    except (OSError, ValueError):  # ValueError: a name with a NUL in it
        return ListedPeople((), (), (), (Fault(line, SECTION, unreadable(name)),))
    try:
        if len(content) > MAX_BYTES:
            raise UnreadableList(f"must have at most {MAX_BYTES:,} bytes")
        rows = parse_rows(content)
    except UnreadableList as fault:
        return ListedPeople((), (), (), (Fault(line, SECTION, f"{name}: {fault}"),))
    listed, wrong = read_rows(rows)
    faults = [Fault(line, SECTION, f"{name}, row {number}: {each.key} {each.rule}") for number, each in wrong]
    faults += [Fault(line, SECTION, f"{name}: {key} {rule}") for key, rule in _unknown_keys(file, rows[0])]
    return ListedPeople(tuple(rows), (line,) * len(rows), tuple(listed), tuple(faults))


def _unknown_keys(file: ConfigFile, row: JsonObject) -> Iterator[tuple[str, str]]:
    sources = names_in(file.document, "sources") if isinstance(file.document, dict) else []
    known = [*KEYS, *sources, *load_catalogue()]
    for key in row:
        if key != NAME and key not in known:
            near = did_you_mean(key, [*KEYS, *sources, *providers_in(file.document).values()])
            yield key, f"is not a field of a person, a source or a provider{near}"


def providers_in(document: Json) -> dict[str, str]:
    """Return the provider of each source that has one."""
    sources = document.get("sources") if isinstance(document, dict) else None
    return {
        name: str(source["provider"])
        for name, source in (sources.items() if isinstance(sources, dict) else ())
        if isinstance(source, dict) and isinstance(source.get("provider"), str)
    }


def people_faults(file: ConfigFile, people: ListedPeople) -> Iterator[Fault]:
    yield from people.faults
    directory = Directory(people.listed, providers_in(file.document))
    lines = {str(row[NAME]): line for row, line in zip(people.rows, people.lines, strict=True)}
    for (scope, name), both in directory.shared.items():
        where = "" if scope == EVERYWHERE else f" for {scope}"
        rule = f"{both[0]!r} and {both[1]!r} both have the name {name!r}{where}: a name must mean one person"
        yield Fault(lines.get(both[1], 0), SECTION, rule)


def recipient_faults(
    file: ConfigFile, settings: Mapping[str, BaseModel], people: ListedPeople, has_faults: bool
) -> Iterator[Fault]:
    """Yield the faults of destinations whose settings are valid. `has_faults`: the list of people is not complete."""
    for name, model in settings.items():
        recipient = getattr(model, "recipient", None)
        at: DocumentPath = ("destinations", name)
        if recipient is None:
            yield from _person_in_templates(file, at, model)
        elif not has_faults:
            yield from _recipient_faults(file, at, recipient, people)


def _recipient_faults(
    file: ConfigFile, at: DocumentPath, recipient: JsonObject, people: ListedPeople
) -> Iterator[Fault]:
    path = (*at, _kind_of(file, at), "to")
    if not people.rows and not people.is_at_url:
        if not recipient.get("allowed"):
            act = "Add `people` to the configuration"
            if recipient.get("path") == TENANT_ADDRESS:
                act += ", or name this destination at `subscribers.tell.owners` if it is to mail tenants"
            yield fault_at(file, path, f"names a person, but `people` lists nobody. {act}")
        return
    if (name := recipient.get("person")) is None or people.is_at_url:
        return
    person, address = people.person(str(name)), str(recipient["address"])
    if person is None:
        names = [each.person.name for each in people.listed]
        yield fault_at(
            file, path, f"there is nobody in `people` with the name {name!r}{did_you_mean(str(name), names)}"
        )
    elif not person.person.address(address):
        yield fault_at(file, path, f"{name!r} in `people` has no `{address}`, which this kind of destination needs")


def _person_in_templates(file: ConfigFile, at: DocumentPath, model: BaseModel) -> Iterator[Fault]:
    kind = _kind_of(file, at)
    for key, value in model.model_dump(mode="json", by_alias=True).items():
        if any(map(_names_person, _texts_in(value))):
            rule = "a template has `person` only where `to` names one: `actor`, an expression or {person: NAME}"
            yield fault_at(file, (*at, kind, key), rule)


def _texts_in(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts_in(each)


def _names_person(text: str) -> bool:
    if "person" not in text or not is_template(text):
        return False
    try:
        Template("text", text, known=KNOWN - {"person"})
    except TemplateFault as fault:
        return "there is no 'person'" in str(fault)
    return False


def _kind_of(file: ConfigFile, at: DocumentPath) -> str:
    destinations = file.document.get("destinations") if isinstance(file.document, dict) else None
    written = destinations.get(str(at[1])) if isinstance(destinations, dict) else None
    keys = list(written) if isinstance(written, dict) else []
    return next((key for key in keys if key not in DestinationConfig.model_fields), "")


def no_person_rule(kind: str) -> str:
    """Return the rule for a `to` that the kind does not have."""
    kinds = [each for each in destination_kinds() if getattr(settings_model(each), "person_address", "")]
    return f"{kind!r} cannot address a person. Kinds that can: {', '.join(kinds)}"
