"""The people that the configuration lists, and how an entry of the list is read.

An event calls a person by a name, in one source or in all. Names are compared without regard to the case of A to Z, and
otherwise character for character: a name that only looks like a listed one is another name.

An entry, in the configuration, in a CSV or JSON file or at a URL, has the fields of FIELDS. Any other key is the name
of a source or a provider, and holds the names by which that calls the person. An empty value is the same as none, as in
a cell of CSV.
"""

import re
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from functions.notify.destinations.email.mail import parse_address
from shared import errors, limits
from shared.formats.csv_body import parse as parse_csv
from shared.formats.media_type import media_type
from shared.jsontext import Json, JsonObject, from_json

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
TOPIC: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")
"""A topic of ntfy. Most tokens of apps are none."""
EVERYWHERE: Final = ""
"""The scope of the names that apply to every source."""
MAX_PEOPLE: Final = 20_000
MAX_BYTES: Final = 4 * 1024 * 1024
"""Of a file, and of the response of a URL."""
MAX_NAME_CHARACTERS: Final = 100
MAX_ALIAS_CHARACTERS: Final = 254
MAX_ALIASES: Final = 50
MAX_PUSH_CHARACTERS: Final = 4_096
_SPACING: Final = re.compile(r"[ ()./-]")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,5}")
_CHATS: Final[Mapping[str, tuple[str, str]]] = {
    "slack": (r"[UW][A-Z0-9]{2,20}", "the id of a user in Slack, such as U012AB3CD"),
    "telegram": (r"[0-9]{1,20}", "the id of a user in Telegram, such as 4711000"),
    "discord": (r"[0-9]{15,20}", "the id of a user in Discord, such as 165511591545143296"),
    "teams": (r"[^\s<>\"&@]{1,64}(@[^\s<>\"&@]{1,200})?", "a user's principal name or Entra id"),
    "google_chat": (r"[0-9]{5,30}", "the id of a user in Google Chat, such as 116512345678901234567"),
    "ntfy": (TOPIC.pattern, "a topic of ntfy"),
}
CHATS: Final = tuple(_CHATS)
ALIASES: Final = "aliases"
NAME: Final = "name"


class Person(NamedTuple):
    """A person and the addresses at which they can be reached.

    name      the name in `people`
    push      the token of an app, or a topic of ntfy
    chats     the ids of the person in chats, by the kind of destination
    timezone  a name of the IANA database
    language  a language tag (BCP 47)
    """

    name: str
    email: str | None = None
    phone: str | None = None
    push: str | None = None
    chats: Mapping[str, str] = MappingProxyType({})
    timezone: str | None = None
    language: str | None = None

    @property
    def view(self) -> JsonObject:
        """Return what templates may use; no address."""
        return {"name": self.name, "language": self.language, "timezone": self.timezone}

    def address(self, field: str) -> str | None:
        """Return the address of the field `email`, `phone` or `push`, or of a chat; for ntfy, `push` serves too."""
        match field:
            case "email":
                return self.email
            case "phone":
                return self.phone
            case "push":
                return self.push
            case "ntfy":
                return self.chats.get(field) or (self.push if self.push and TOPIC.fullmatch(self.push) else None)
        return self.chats.get(field)


class Listed(NamedTuple):
    """A person, the names that identify this person everywhere, and the names that do so for one source or provider."""

    person: Person
    aliases: tuple[str, ...] = ()
    scoped: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Directory:
    """The people by their names.

    `providers` are the providers of the sources. `shared` are the names that two people have, with their scopes and
    with the names of both people in the list. Such a name identifies no person. A mail address identifies the person
    who has it.
    """

    def __init__(self, listed: Iterable[Listed], providers: Mapping[str, str]) -> None:
        self.shared: dict[tuple[str, str], tuple[str, str]] = {}
        self._providers = providers
        self._named: dict[str, Person] = {}
        self._found: dict[tuple[str, str], Person] = {}
        emails: Counter[str] = Counter()
        for person, aliases, scoped in listed:
            self._named[person.name] = person
            emails[folded(person.email or "")] += 1
            for scope, names in ((EVERYWHERE, (*aliases, person.name)), *scoped.items()):
                for name in names:
                    self._add(scope, name, person)
        for person in self._named.values():
            if person.email and emails[folded(person.email)] == 1:
                self._add(EVERYWHERE, person.email, person)

    def find(self, who: str, source: str) -> Person | None:
        """Return the person whom the source's events call so: by a name of the source, of its provider, or of all."""
        name = folded(who)
        for scope in (source, self._providers.get(source, source), EVERYWHERE):
            if (scope, name) in self.shared:
                return None
            if person := self._found.get((scope, name)):
                return person
        return None

    def named(self, name: str) -> Person | None:
        """Return the person of that name in `people`."""
        return self._named.get(name)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._named.values())

    def _add(self, scope: str, name: str, person: Person) -> None:
        key = (scope, folded(name))
        other = self._found.setdefault(key, person)
        if other.name != person.name:
            self.shared[key] = (other.name, person.name)


ReadPeople: TypeAlias = Callable[[], Awaitable[Directory]]
"""Returns the people as the list has them now. Raises Temporary (`people_unavailable`) where it cannot be read."""


def folded(name: str) -> str:
    """Return the name as it is compared: A to Z in lower case, and no ASCII white space around it.

    Other letters stay, because some look like these.
    """
    return name.strip(string.whitespace).translate(_LOWER)


class EntryFault(NamedTuple):
    """A fault of an entry. `key` is its field; `rule` says what it must be."""

    key: str
    rule: str


class UnreadableList(ValueError):
    """A text that is no list of people. The message says why, and quotes nothing of it."""


def email_address(text: str) -> str:
    """Return the address. Raises ValueError, as the other functions of FIELDS."""
    found = parse_address(text)
    if found.name:
        raise ValueError("must be a mail address without a name")
    return found.address


def phone_number(text: str) -> str:
    number = _SPACING.sub("", text)
    if not _PHONE.fullmatch(number):
        raise ValueError('must be a number with its country\'s code, in quotes, such as "+447700900123"')
    return number


def push_address(text: str) -> str:
    if len(text) > MAX_PUSH_CHARACTERS or not text.isprintable() or " " in text:
        raise ValueError("must be the token of an app or a topic of ntfy")
    return text


def timezone_name(text: str) -> str:
    # Imported here, because it takes 5 ms, and not every list names a time zone.
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("must be the name of a time zone, such as Europe/Berlin") from error
    return text


def language_tag(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError("must be a language tag, such as en, de-CH or zh-Hant")
    return text


def chat_id(chat: str) -> Callable[[str], str]:
    pattern, what = _CHATS[chat]

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {what}")
        return text

    return read


FIELDS: Final[Mapping[str, Callable[[str], str]]] = {
    "email": email_address,
    "phone": phone_number,
    "push": push_address,
    **{chat: chat_id(chat) for chat in CHATS},
    "timezone": timezone_name,
    "language": language_tag,
}


def parse_rows(content: bytes) -> list[JsonObject]:
    """Return the entries of CSV, of a JSON list, or of a JSON object of people by name. Raises UnreadableList."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        try:
            found = from_json(content.lstrip(b"\xef\xbb\xbf"))
        except (ValueError, RecursionError):
            raise UnreadableList("is not valid JSON") from None
    else:
        try:
            found = parse_csv(content, media_type("text/csv"), limits.DEFAULT._replace(max_decoded_bytes=MAX_BYTES))
        except errors.Rejected as error:
            raise UnreadableList(f"is neither JSON nor CSV: {error.detail}") from None
    entries = _with_names(found) if isinstance(found, dict) else found
    rows = [row for row in entries if isinstance(row, dict)] if isinstance(entries, list) else []
    if not rows or len(rows) > MAX_PEOPLE or len(rows) != len(entries if isinstance(entries, list) else []):
        raise UnreadableList(f"must list 1 to {MAX_PEOPLE:,} people, each with a name and fields")
    return rows


def _with_names(people: JsonObject) -> list[Json]:
    return [{**entry, NAME: name} if isinstance(entry, dict) else entry for name, entry in people.items()]


def read_rows(rows: list[JsonObject]) -> tuple[list[Listed], list[tuple[int, EntryFault]]]:
    """Return the people, and the faults with the numbers of their rows, from 1.

    A field with a fault is left out, and so is everybody without a name, or with the name of another person.
    """
    read = [read_entry(row) for row in rows]
    count = Counter(listed.person.name for listed, _ in read if listed)
    people: list[Listed] = []
    faults: list[tuple[int, EntryFault]] = []
    for number, (listed, found) in enumerate(read, 1):
        faults += [(number, fault) for fault in found]
        if listed and count[listed.person.name] > 1:
            faults.append((number, EntryFault(NAME, "must be different for each person")))
        elif listed:
            people.append(listed)
    return people, faults


def read_entry(row: JsonObject) -> tuple[Listed | None, list[EntryFault]]:
    """Return the person, without the fields that have a fault, and these faults."""
    faults: list[EntryFault] = []
    name = _text(row.get(NAME)) or ""
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        rule = f"must be a printable text of 1 to {MAX_NAME_CHARACTERS} characters"
        return None, [EntryFault(NAME, rule)]
    fields: dict[str, str] = {}
    scoped: dict[str, tuple[str, ...]] = {}
    aliases: tuple[str, ...] = ()
    for key, value in row.items():
        if key == NAME or value in (None, "", []):
            continue
        try:
            if read := FIELDS.get(key):
                fields[key] = read(_required_text(value))
            elif key == ALIASES:
                aliases = _names(value)
            else:
                scoped[key] = _names(value)
        except ValueError as error:
            faults.append(EntryFault(key, str(error)))
    chats = {chat: fields.pop(chat) for chat in CHATS if chat in fields}
    own = {chat: (id_, *scoped.get(chat, ())) for chat, id_ in chats.items()}  # its provider calls the person so
    return Listed(Person(name, chats=chats, **fields), aliases, {**scoped, **own}), faults


def _required_text(value: Json) -> str:
    text = _text(value)
    if text is None:
        raise ValueError("must be text: write it in quotes")
    return text


def _text(value: Json) -> str | None:
    """Return the text. Ids may be written as numbers."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _names(value: Json) -> tuple[str, ...]:
    """Return the names in a list, or in a text with a semicolon between them. Raises ValueError."""
    return tuple(dict.fromkeys(_each_name(value)))


def _each_name(value: Json) -> Iterator[str]:
    items: Sequence[Json] = [value]
    if isinstance(value, str):
        items = value.split(";")
    elif isinstance(value, list):
        items = value
    if len(items) > MAX_ALIASES:
        raise ValueError(f"must be at most {MAX_ALIASES} names")
    for item in items:
        name = _text(item)
        if name is None or not 1 <= len(name) <= MAX_ALIAS_CHARACTERS or not name.isprintable():
            raise ValueError(f"must be names of 1 to {MAX_ALIAS_CHARACTERS} printable characters, or a list of them")
        yield name
