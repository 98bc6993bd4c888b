"""The section `people`: written in the file itself, in a file beside it, or at a URL, which notify reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.types import Discriminator, JsonValue, Tag

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, texts_in, unreadable
from deploy.config.model_faults import fault_at
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.destination import kind_of
from deploy.config.sections.subscribers import TENANT_ADDRESS, owners_destination
from functions.notify.recipients import people as people_rules
from functions.notify.recipients.people import FIELDS, NAME, Directory, Listed, UnreadableList, read_entry, read_rows
from shared.config.rules import SecretName, listed
from shared.config.values import Model
from shared.did_you_mean import did_you_mean
from shared.jsontext import JsonObject
from shared.templating.template import KNOWN, Template, TemplateFault, is_template

SECTION: Final = "people"


def _texts(value: object) -> object:
    """Return the names as texts. Ids may be written as numbers."""
    names = listed(value)
    return [str(name) if type(name) is int else name for name in names] if isinstance(names, list) else names


Alias = Annotated[str, Field(min_length=1, max_length=254)]
Aliases = Annotated[list[Alias], BeforeValidator(_texts), Field(max_length=people_rules.MAX_ALIASES)]


class PersonConfig(BaseModel):
    """A person: addresses, and the names by which events call them. At least one field.

    push       the token of an app for `push`, or a topic for `ntfy`
    slack, telegram, discord, teams, google_chat   the id of the person there
    ntfy       a topic for `ntfy`, if `push` is the token of an app
    timezone   a name of the IANA database, such as Europe/Berlin
    language   a language tag (BCP 47), such as de-CH
    aliases    names that any source may use: logins, mail addresses, ids. The person's own name and `email` count too

    Any other key is the name of a source or a provider, and holds what that calls the person: `github: anna-gh`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    email: Annotated[str, AfterValidator(FIELDS["email"])] | None = None
    phone: Annotated[str, AfterValidator(FIELDS["phone"])] | None = None
    push: Annotated[str, AfterValidator(FIELDS["push"])] | None = None
    slack: Annotated[str, AfterValidator(FIELDS["slack"])] | None = None
    telegram: Annotated[str, AfterValidator(FIELDS["telegram"])] | None = None
    discord: Annotated[str, AfterValidator(FIELDS["discord"])] | None = None
    teams: Annotated[str, AfterValidator(FIELDS["teams"])] | None = None
    google_chat: Annotated[str, AfterValidator(FIELDS["google_chat"])] | None = None
    ntfy: Annotated[str, AfterValidator(FIELDS["ntfy"])] | None = None
    timezone: Annotated[str, AfterValidator(FIELDS["timezone"])] | None = None
    language: Annotated[str, AfterValidator(FIELDS["language"])] | None = None
    aliases: Aliases = []


PERSON_KEYS: Final = tuple(PersonConfig.model_fields)


class PeopleFile(Model):
    """A CSV file with a header line, or a JSON file, beside the configuration. It is compiled in."""

    file: str


class PeopleUrl(Model):
    """A list at a URL, in CSV or JSON, which notify reads every ten minutes.

    secret         the name of a secret: the token that is sent as `Authorization: Bearer …`
    allow_private  allow an address that is not public, and plain http
    """

    url: str
    secret: SecretName | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _url_is_safe(self) -> "PeopleUrl":
        allowed = ("https://", "http://") if self.allow_private else ("https://",)
        if not self.url.startswith(allowed) or any(character.isspace() for character in self.url):
            raise ValueError(f"url: must begin with https://, without spaces; got {self.url!r}")
        return self


Place: TypeAlias = Literal["tag:file", "tag:url", "tag:here"]


def _place(value: object) -> Place:
    """Return where the list is. A person may be called `file` or `url`, but a person is a mapping and not a text."""
    if isinstance(value, PeopleFile | PeopleUrl):
        return "tag:file" if isinstance(value, PeopleFile) else "tag:url"
    section = value if isinstance(value, Mapping) else {}
    if isinstance(section.get("file"), str):
        return "tag:file"
    return "tag:url" if isinstance(section.get("url"), str) else "tag:here"


PersonName = Annotated[str, Field(min_length=1, max_length=100)]
Persons = Annotated[dict[PersonName, PersonConfig], Field(max_length=people_rules.MAX_PEOPLE)]
PeopleConfig: TypeAlias = Annotated[
    Annotated[PeopleFile, Tag("tag:file")] | Annotated[PeopleUrl, Tag("tag:url")] | Annotated[Persons, Tag("tag:here")],
    Discriminator(_place),
]


@dataclass(frozen=True, slots=True)
class PeopleList:
    """The people of the configuration, as far as they are known without a network: nobody of a list at a URL.

    rows    their entries, as notify's slice has them
    lines   the line of each row in the configuration
    people  the people, without the fields that have a fault
    faults  the faults that the section's model does not show
    """

    rows: tuple[JsonObject, ...] = ()
    lines: tuple[int, ...] = ()
    people: tuple[Listed, ...] = ()
    faults: tuple[Fault, ...] = ()
    is_at_url: bool = False


def read_people(file: ConfigFile) -> PeopleList:
    """Return the list of people. A file that cannot be read, and a row with a fault, are among its faults."""
    section = file.mapping(SECTION)
    if isinstance(section.get("url"), str):
        return PeopleList(is_at_url=True)
    name = section.get("file")
    listing = _people_in_file(file, name) if isinstance(name, str) else _people_in_section(file)
    return _with_shared_names(listing, providers_by_source(file))


def _people_in_section(file: ConfigFile) -> PeopleList:
    entries = file.mappings(SECTION)
    rows: list[JsonObject] = [{**entry, NAME: name} for name, entry in entries.items()]
    people: list[Listed] = []
    faults: list[Fault] = []
    for name, row in zip(entries, rows, strict=True):
        person, entry_faults = read_entry(row)
        if person:
            people.append(person)
        known_by_model = [fault for fault in entry_faults if fault.key in PERSON_KEYS]
        rules = [(fault.key, fault.rule) for fault in entry_faults if fault not in known_by_model]
        faults += [fault_at(file, (SECTION, name, key), rule) for key, rule in [*rules, *_unknown_keys(file, row)]]
    lines = tuple(file.line((SECTION, name)) for name in entries)
    return PeopleList(tuple(rows), lines, tuple(people), tuple(faults))


def _people_in_file(file: ConfigFile, name: str) -> PeopleList:
    line = file.line((SECTION, "file"))
    try:
        content = (file.folder / name).read_bytes()
    except (OSError, ValueError):  # ValueError: a name with a NUL in it
        return PeopleList(faults=(Fault(line, SECTION, unreadable(name)),))
    try:
        if len(content) > people_rules.MAX_BYTES:
            raise UnreadableList(f"must have at most {people_rules.MAX_BYTES:,} bytes")
        rows = people_rules.parse_rows(content)
    except UnreadableList as fault:
        return PeopleList(faults=(Fault(line, SECTION, f"{name}: {fault}"),))
    people, row_faults = read_rows(rows)
    rules = [f"{name}, row {number}: {fault.key} {fault.rule}" for number, fault in row_faults]
    rules += [f"{name}: {key} {rule}" for key, rule in _unknown_keys(file, rows[0])]
    faults = tuple(Fault(line, SECTION, rule) for rule in rules)
    return PeopleList(tuple(rows), (line,) * len(rows), tuple(people), faults)


def _unknown_keys(file: ConfigFile, row: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield each key that names no field, source or provider, with the rule."""
    sources = list(file.mapping("sources"))
    known = {*PERSON_KEYS, NAME, *sources, *load_catalogue()}
    for key in row.keys() - known:
        likely = [*PERSON_KEYS, *sources, *providers_by_source(file).values()]
        yield key, f"is not a field of a person, a source or a provider{did_you_mean(key, likely)}"


def providers_by_source(file: ConfigFile) -> dict[str, str]:
    """Return the provider of each source that has one."""
    sources = file.mappings("sources")
    return {name: str(source["provider"]) for name, source in sources.items() if "provider" in source}


def _with_shared_names(listing: PeopleList, providers: Mapping[str, str]) -> PeopleList:
    """Return the list with a fault for each name that two people have."""
    directory = Directory(listing.people, providers)
    lines = {str(row[NAME]): line for row, line in zip(listing.rows, listing.lines, strict=True)}
    faults = list(listing.faults)
    for (scope, name), (first, second) in directory.shared.items():
        where = "" if scope == people_rules.EVERYWHERE else f" for {scope}"
        rule = f"{first!r} and {second!r} both have the name {name!r}{where}: a name must mean one person"
        faults.append(Fault(lines.get(second, 0), SECTION, rule))
    return PeopleList(listing.rows, listing.lines, listing.people, tuple(faults))


def recipient_faults(file: ConfigFile, settings: Mapping[str, BaseModel], listing: PeopleList) -> Iterator[Fault]:
    """Yield the faults of destinations whose `to` names a person. `settings` are those of destinations without faults.

    A person can be missing because the list has faults. Then only the faults of the list are reported.
    """
    for name, model in settings.items():
        if name == owners_destination(file):  # it mails tenants, who are not in `people`
            continue
        recipient = getattr(model, "recipient", None)
        if recipient is None:
            yield from _person_in_templates(file, name, model)
        elif not listing.faults:
            yield from _recipient_faults(file, name, recipient, listing)


def _recipient_faults(file: ConfigFile, name: str, recipient: JsonObject, listing: PeopleList) -> Iterator[Fault]:
    path: DocumentPath = ("destinations", name, kind_of(file, name), "to")
    if listing.is_at_url:
        return
    if not listing.rows:
        if not recipient.get("allowed"):
            advice = "Add `people` to the configuration"
            if recipient.get("path") == TENANT_ADDRESS:
                advice += ", or name this destination at `subscribers.tell.owners` if it is to mail tenants"
            yield fault_at(file, path, f"names a person, but `people` lists nobody. {advice}")
        return
    if recipient.get("person") is None:  # an expression finds the person in each event
        return
    person_name, address = str(recipient["person"]), str(recipient["address"])
    people = {each.person.name: each.person for each in listing.people}
    if person_name not in people:
        hint = did_you_mean(person_name, people)
        yield fault_at(file, path, f"there is nobody in `people` with the name {person_name!r}{hint}")
    elif not people[person_name].address(address):
        rule = f"{person_name!r} in `people` has no `{address}`, which this kind of destination needs"
        yield fault_at(file, path, rule)


def _person_in_templates(file: ConfigFile, name: str, model: BaseModel) -> Iterator[Fault]:
    for key, value in model.model_dump(mode="json", by_alias=True).items():
        if any(map(_reads_person, texts_in(value))):
            rule = "a template has `person` only where `to` names one: `actor`, an expression or {person: NAME}"
            yield fault_at(file, ("destinations", name, kind_of(file, name), key), rule)


def _reads_person(text: str) -> bool:
    if "person" not in text or not is_template(text):
        return False
    try:
        Template("text", text, known=KNOWN - {"person"})
    except TemplateFault as fault:
        return "there is no 'person'" in str(fault)
    return False


def compiled_people(
    config: PeopleConfig, listing: PeopleList, settings: Mapping[str, BaseModel], providers: Mapping[str, str]
) -> JsonObject:
    """Return the part of notify's slice: the list or its URL; nothing where the `to` of no destination names a person.

    `providers` are those of the sources.
    """
    if not any(getattr(model, "recipient", None) for model in settings.values()):
        return {}
    compiled: JsonObject = {"providers": dict(providers)}
    if isinstance(config, PeopleUrl):
        compiled |= config.model_dump(exclude_none=True)
    else:
        compiled["rows"] = [_without_empty_fields(row) for row in listing.rows]
    return {"people": compiled}


def _without_empty_fields(row: JsonObject) -> JsonObject:
    return {key: value for key, value in row.items() if value not in (None, "", [])}
