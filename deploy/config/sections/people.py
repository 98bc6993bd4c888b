"""The model of `people`: written in the file itself, in a file beside it, or at a URL."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, unreadable
from deploy.config.model_faults import fault_at, names_in
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.destination import DestinationConfig
from deploy.config.sections.kinds import destination_kinds, settings_model
from deploy.config.sections.subscribers import TENANT_ADDRESS
from functions.notify.recipients.people import (
    EVERYWHERE,
    FIELDS,
    MAX_ALIASES,
    MAX_BYTES,
    MAX_PEOPLE,
    NAME,
    Directory,
    Listed,
    UnreadableList,
    parse_rows,
    read_entry,
    read_rows,
)
from shared.config.rules import SecretName, listed
from shared.config.values import Model
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject
from shared.templating.template import KNOWN, Template, TemplateFault, is_template


def _texts(value: object) -> object:
    """Return the names as texts. Ids may be written as numbers."""
    names = listed(value)
    return [str(name) if type(name) is int else name for name in names] if isinstance(names, list) else names


Email = Annotated[str, AfterValidator(FIELDS["email"])]
Phone = Annotated[str, AfterValidator(FIELDS["phone"])]
Push = Annotated[str, AfterValidator(FIELDS["push"])]
Slack = Annotated[str, AfterValidator(FIELDS["slack"])]
Telegram = Annotated[str, AfterValidator(FIELDS["telegram"])]
Discord = Annotated[str, AfterValidator(FIELDS["discord"])]
Teams = Annotated[str, AfterValidator(FIELDS["teams"])]
GoogleChat = Annotated[str, AfterValidator(FIELDS["google_chat"])]
Ntfy = Annotated[str, AfterValidator(FIELDS["ntfy"])]
Timezone = Annotated[str, AfterValidator(FIELDS["timezone"])]
Language = Annotated[str, AfterValidator(FIELDS["language"])]
Alias = Annotated[str, Field(min_length=1, max_length=254)]


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

    email: Email | None = None
    phone: Phone | None = None
    push: Push | None = None
    slack: Slack | None = None
    telegram: Telegram | None = None
    discord: Discord | None = None
    teams: Teams | None = None
    google_chat: GoogleChat | None = None
    ntfy: Ntfy | None = None
    timezone: Timezone | None = None
    language: Language | None = None
    aliases: Annotated[list[Alias], BeforeValidator(_texts), Field(max_length=MAX_ALIASES)] = []


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


def _place(value: object) -> Literal["tag:file", "tag:url", "tag:here"]:
    """Return where the list is. A person may be called `file` or `url`, but a person is no text."""
    written = value if isinstance(value, Mapping) else {}
    if isinstance(value, PeopleFile) or isinstance(written.get("file"), str):
        return "tag:file"
    return "tag:url" if isinstance(value, PeopleUrl) or isinstance(written.get("url"), str) else "tag:here"


Persons = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=100)], PersonConfig], Field(max_length=MAX_PEOPLE)
]
PeopleConfig: TypeAlias = Annotated[
    Annotated[PeopleFile, Tag("tag:file")] | Annotated[PeopleUrl, Tag("tag:url")] | Annotated[Persons, Tag("tag:here")],
    Discriminator(_place),
]


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
