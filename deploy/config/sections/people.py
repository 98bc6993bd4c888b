"""The section `people`: written in the configuration, in a file beside it, or at a URL that notify reads.

`read_people` checks the list. The models of the section follow, then what notify's slice gets of it, and the faults of
destinations whose `to` names a person.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.types import Discriminator, JsonValue, Tag

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, texts_in, unreadable
from deploy.config.model_faults import fault_at
from deploy.config.sections import catalogue, destination, subscribers
from functions.notify.recipients import people as people_rules
from functions.notify.recipients.people import FIELDS, NAME, EntryFault, Listed, UnreadableList
from shared.config.rules import SecretName, listed
from shared.config.values import Model
from shared.did_you_mean import did_you_mean
from shared.jsontext import JsonObject
from shared.templating.template import KNOWN, Template, TemplateFault, UnknownVariable, is_template

SECTION: Final = "people"


@dataclass(frozen=True, slots=True)
class PeopleList:
    """The list of people, as far as it can be read without a network.

    entries    each person's fields as they are written, and the name
    people     the people of the entries, without the fields that have a fault
    faults     the faults of the list that the models of the section do not report
    is_at_url  only notify can read the list, so there are no entries here
    """

    entries: tuple[JsonObject, ...] = ()
    people: tuple[Listed, ...] = ()
    faults: tuple[Fault, ...] = ()
    is_at_url: bool = False


def read_people(file: ConfigFile) -> PeopleList:
    """Return the list of people. Its faults include a file that cannot be read, and a name that two people have."""
    section = file.mapping(SECTION)
    if isinstance(section.get("url"), str):
        return PeopleList(is_at_url=True)
    path = section.get("file")
    people_list = _people_in_file(file, path) if isinstance(path, str) else _people_in_section(file)
    shared_name_faults = _shared_name_faults(file, people_list)
    return replace(people_list, faults=(*people_list.faults, *shared_name_faults))


def _people_in_section(file: ConfigFile) -> PeopleList:
    entries: list[JsonObject] = []
    people: list[Listed] = []
    faults: list[Fault] = []
    for name, fields in file.mappings(SECTION).items():
        entry: JsonObject = {**fields, NAME: name}
        person, entry_faults = people_rules.read_entry(entry)
        entries.append(entry)
        if person:
            people.append(person)
        # The model PersonConfig reports the faults of the fields in PERSON_KEYS, by the same rules.
        unreported = [fault for fault in entry_faults if fault.key not in PERSON_KEYS]
        for fault in (*unreported, *_unknown_keys(file, entry)):
            faults.append(fault_at(file, (SECTION, name, fault.key), fault.rule))
    return PeopleList(tuple(entries), tuple(people), tuple(faults))


def _people_in_file(file: ConfigFile, path: str) -> PeopleList:
    line = file.line((SECTION, "file"))
    try:
        content = (file.folder / path).read_bytes()
    except (OSError, ValueError):  # ValueError: a path with a NUL in it
        return PeopleList(faults=(Fault(line, SECTION, unreadable(path)),))
    try:
        if len(content) > people_rules.MAX_BYTES:
            raise UnreadableList(f"must have at most {people_rules.MAX_BYTES:,} bytes")
        entries = people_rules.parse_rows(content)
    except UnreadableList as fault:
        return PeopleList(faults=(Fault(line, SECTION, f"{path}: {fault}"),))
    people, row_faults = people_rules.read_rows(entries)
    rules = [f"{path}, row {number}: {fault.key} {fault.rule}" for number, fault in row_faults]
    # The header line of a CSV file gives all entries the same keys. `parse_rows` returns at least one entry.
    rules += [f"{path}: {fault.key} {fault.rule}" for fault in _unknown_keys(file, entries[0])]
    faults = tuple(Fault(line, SECTION, rule) for rule in rules)
    return PeopleList(tuple(entries), tuple(people), faults)


def _unknown_keys(file: ConfigFile, entry: JsonObject) -> Iterator[EntryFault]:
    """Yield a fault for each key that is not the name of a field, a source or a provider."""
    sources = list(file.mapping("sources"))
    known = {*PERSON_KEYS, NAME, *sources, *catalogue.load_catalogue()}
    likely = [*PERSON_KEYS, *sources, *providers_by_source(file).values()]
    for key in entry:
        if key not in known:
            yield EntryFault(key, f"is not a field of a person, a source or a provider{did_you_mean(key, likely)}")


def providers_by_source(file: ConfigFile) -> dict[str, str]:
    """Return the provider of each source that has one."""
    sources = file.mappings("sources")
    return {name: str(source["provider"]) for name, source in sources.items() if "provider" in source}


def _shared_name_faults(file: ConfigFile, people_list: PeopleList) -> Iterator[Fault]:
    """Yield a fault for each name that two people have, at the line of the second, or at that of the list's file."""
    section = (SECTION, "file") if isinstance(file.value(SECTION, "file"), str) else (SECTION,)
    shared_names = people_rules.Directory(people_list.people, providers_by_source(file)).shared
    for (scope, name), (first, second) in shared_names.items():
        where = "" if scope == people_rules.EVERYWHERE else f" for {scope}"
        rule = f"{first!r} and {second!r} both have the name {name!r}{where}: a name must mean one person"
        yield Fault(file.line((*section, second)), SECTION, rule)


def _aliases_as_texts(value: object) -> object:
    """Return the aliases as texts, because ids may be written as numbers. A single value stands for a list."""
    aliases = listed(value)
    if not isinstance(aliases, list):
        return aliases
    # `type`, because isinstance would accept a bool as an int
    return [str(alias) if type(alias) is int else alias for alias in aliases]


Alias = Annotated[str, Field(min_length=1, max_length=254)]
Aliases = Annotated[list[Alias], BeforeValidator(_aliases_as_texts), Field(max_length=people_rules.MAX_ALIASES)]


class PersonConfig(BaseModel):
    """A person: their addresses, and the names by which events call them.

    push       the token of an app for `push`, or a topic for `ntfy`
    slack, telegram, discord, teams, google_chat   the id of the person there
    ntfy       a topic for `ntfy`, if `push` is the token of an app
    timezone   a name of the IANA database, such as Europe/Berlin
    language   a language tag (BCP 47), such as de-CH
    aliases    names that any source may use: logins, mail addresses, ids. The person's own name and `email` count too

    Any other key must be the name of a source or a provider. Its value is the person's name there: `github: anna-gh`.
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


def _form_tag(section: object) -> str:
    """Return the tag of the form in which the section is written.

    A person can be called `file` or `url`. The value of a person is a mapping, so a text is the list's path or URL.
    """
    for key in ("file", "url"):
        if isinstance(section, Mapping) and isinstance(section.get(key), str):
            return f"tag:{key}"
    return "tag:here"


PersonName = Annotated[str, Field(min_length=1, max_length=100)]
PeopleByName = Annotated[dict[PersonName, PersonConfig], Field(max_length=people_rules.MAX_PEOPLE)]
PeopleConfig: TypeAlias = Annotated[
    Annotated[PeopleFile, Tag("tag:file")]
    | Annotated[PeopleUrl, Tag("tag:url")]
    | Annotated[PeopleByName, Tag("tag:here")],
    Discriminator(_form_tag),
]
"""A tagged union: pydantic calls `_form_tag`, and validates the section as the type that has the returned tag."""


def compiled_people(
    config: PeopleConfig, people_list: PeopleList, settings: Mapping[str, BaseModel], providers: Mapping[str, str]
) -> JsonObject:
    """Return the key `people` of notify's slice, or no key if no destination addresses a person.

    `settings` are the settings of the destinations by name, and `providers` the providers of the sources.
    """
    if not any(getattr(model, "recipient", None) for model in settings.values()):
        return {}
    compiled: JsonObject = {"providers": dict(providers)}
    if isinstance(config, PeopleUrl):
        compiled |= config.model_dump(exclude_none=True)
    else:
        compiled["rows"] = [
            {key: value for key, value in entry.items() if value not in (None, "", [])} for entry in people_list.entries
        ]
    return {"people": compiled}


def recipient_faults(file: ConfigFile, settings: Mapping[str, BaseModel], people_list: PeopleList) -> Iterator[Fault]:
    """Yield the faults of recipients, and of templates that use a person although there is none.

    `settings` has the settings of the destinations by name. A person can be missing because the list has faults. Then
    only the faults of the list are reported. A destination's `recipient` has these keys, as far as they apply:

    address  the kind of address that the destination needs
    person   the name of one person
    path     in place of it, the expression that finds the person in each event
    allowed  the `allow_recipients` of a mail, which an event can select besides people
    """
    owners = subscribers.owners_destination(file)  # it mails tenants, who are not in `people`
    for name, model in settings.items():
        if name == owners:
            continue
        recipient = getattr(model, "recipient", None)
        if recipient is None:
            yield from _template_faults(file, name, model)
        elif people_list.faults or people_list.is_at_url:
            continue
        elif not people_list.entries:
            yield from _empty_list_faults(file, name, recipient)
        elif recipient.get("person") is not None:  # otherwise an expression finds the person in each event
            yield from _named_person_faults(file, name, recipient, people_list)


def _empty_list_faults(file: ConfigFile, name: str, recipient: JsonObject) -> Iterator[Fault]:
    if recipient.get("allowed"):  # an event can select an address that `allow_recipients` covers
        return
    advice = "Add `people` to the configuration"
    if recipient.get("path") == subscribers.TENANT_ADDRESS:
        advice += ", or name this destination at `subscribers.tell.owners` if it is to mail tenants"
    yield fault_at(file, _to_path(file, name), f"names a person, but `people` lists nobody. {advice}")


def _named_person_faults(
    file: ConfigFile, name: str, recipient: JsonObject, people_list: PeopleList
) -> Iterator[Fault]:
    person_name = str(recipient["person"])
    address = str(recipient["address"])
    people_by_name = {each.person.name: each.person for each in people_list.people}
    if person_name not in people_by_name:
        hint = did_you_mean(person_name, people_by_name)
        rule = f"there is nobody in `people` with the name {person_name!r}{hint}"
        yield fault_at(file, _to_path(file, name), rule)
    elif not people_by_name[person_name].address(address):
        rule = f"{person_name!r} in `people` has no `{address}`, which this kind of destination needs"
        yield fault_at(file, _to_path(file, name), rule)


def _to_path(file: ConfigFile, name: str) -> DocumentPath:
    return ("destinations", name, destination.kind_of(file, name), "to")


def _template_faults(file: ConfigFile, name: str, model: BaseModel) -> Iterator[Fault]:
    for key, value in model.model_dump(mode="json", by_alias=True).items():
        if any(map(_reads_person, texts_in(value))):
            rule = "a template has `person` only where `to` names one: `actor`, an expression or {person: NAME}"
            yield fault_at(file, ("destinations", name, destination.kind_of(file, name), key), rule)


def _reads_person(text: str) -> bool:
    """Return whether the text is a template that uses `person`: it does not compile without that variable."""
    if "person" not in text or not is_template(text):  # compiling takes far longer than this search
        return False
    try:
        Template("text", text, known=KNOWN - {"person"})
    except UnknownVariable as fault:
        return fault.name == "person"
    except TemplateFault:  # the check of the destination's settings reports it
        return False
    return False
