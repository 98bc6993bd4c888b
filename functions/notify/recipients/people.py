"""The people that the configuration lists, and how an entry of the list is read.

An event identifies a person by a name, which may apply to one source or to all. Two names are the same if they differ
only in the case of A to Z. A name with a similar looking letter is a different name.

An entry can be in the configuration, in a CSV or JSON file, or at a URL. It has the fields of FIELDS. Any other key is
the name of a source or a provider, and its value has the names by which events from there identify the person. An empty
value counts as no value, because CSV has empty cells.
"""

import re
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from functions.notify.destinations.email.mail import parse_address
from shared import errors, jsontext, limits
from shared.event import oneline
from shared.formats.csv_body import parse as parse_csv
from shared.formats.parse import media_type

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
TOPIC: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")
"""A topic of ntfy. Most push tokens of apps are longer, or have other characters."""
EVERYWHERE: Final = ""
"""The scope of the names that apply to every source."""
MAX_PEOPLE: Final = 20_000
MAX_BYTES: Final = 4 * 1024 * 1024
"""The size of a file with people, and of the response from a URL."""
MAX_NAME_CHARACTERS: Final = 100
MAX_ALIAS_CHARACTERS: Final = 254
MAX_ALIASES: Final = 50
MAX_PUSH_CHARACTERS: Final = 4_096
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""The first bytes of a UTF-8 file that a Windows program wrote."""
_SPACING: Final = re.compile(r"[ ()./-]")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,5}")
# The pattern of a person's id in each chat, and what a message calls the id:
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
    push      the push token of an app, or a topic of ntfy
    chats     the ids of the person in chats, by the chat's name in CHATS
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
    def view(self) -> jsontext.JsonObject:
        """Return the details that templates may use. No address is one of them."""
        return {"name": self.name, "language": self.language, "timezone": self.timezone}

    def address(self, field: str) -> str | None:
        """Return the address in the field `email`, `phone` or `push`, or in a chat's field; None if there is none.

        For `ntfy`, the field `push` is used if it is a topic.
        """
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
    """An entry of the list: a person, and the names that identify the person.

    aliases  names in the events of every source
    scoped   names in the events of one source or provider, by its name
    """

    person: Person
    aliases: tuple[str, ...] = ()
    scoped: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Directory:
    """The people by the names that identify them. A mail address also identifies the person, unless two have it.

    A scope is a source, a provider or EVERYWHERE. A name that two people have in the same scope identifies neither of
    them: `shared` has the names of both people, by the scope and that name.

    `providers` has the provider of each source that has one.
    """

    def __init__(self, listed: Iterable[Listed], providers: Mapping[str, str]) -> None:
        self.shared: dict[tuple[str, str], tuple[str, str]] = {}
        self._providers = providers
        self._by_name: dict[str, Person] = {}
        self._by_scope_and_name: dict[tuple[str, str], Person] = {}
        emails: Counter[str] = Counter()
        for person, aliases, scoped in listed:
            self._by_name[person.name] = person
            emails[folded(person.email or "")] += 1
            for scope, names in ((EVERYWHERE, (*aliases, person.name)), *scoped.items()):
                for name in names:
                    self._add(scope, name, person)
        # An address that two people have is not in `shared`, because that is no fault of the list.
        for person in self._by_name.values():
            if person.email and emails[folded(person.email)] == 1:
                self._add(EVERYWHERE, person.email, person)

    def find(self, who: str, source: str) -> Person | None:
        """Return the person whom events of the source identify by `who`; None if there is none, or if two people share
        the name.

        Names for the source come first, then those for its provider, then those for every source.
        """
        name = folded(who)
        provider = self._providers.get(source)
        scopes = (source, EVERYWHERE) if provider is None else (source, provider, EVERYWHERE)
        for scope in scopes:
            if (scope, name) in self.shared:
                return None
            if person := self._by_scope_and_name.get((scope, name)):
                return person
        return None

    def named(self, name: str) -> Person | None:
        """Return the person of that name in `people`."""
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._by_name.values())

    def _add(self, scope: str, name: str, person: Person) -> None:
        key = (scope, folded(name))
        other = self._by_scope_and_name.setdefault(key, person)
        if other.name != person.name:
            self.shared[key] = (other.name, person.name)


ReadPeople: TypeAlias = Callable[[], Awaitable[Directory]]
"""Returns the people as the list has them now. Raises Temporary (`people_unavailable`) where it cannot be read."""


def folded(name: str) -> str:
    """Return the form of a name that is compared: with A to Z in lower case, and without ASCII white space around it.

    Other letters are not changed, or a name with a similar looking letter would identify the person, too: the lower
    case of the Kelvin sign, for example, is the letter k.
    """
    return name.strip(string.whitespace).translate(_LOWER)


def masked(text: str) -> str:
    """Return the beginning of a name or mail address. An operator recognises it, and it may be logged."""
    local, at, domain = oneline(text[: 2 * MAX_ALIAS_CHARACTERS]).rpartition("@")
    if not at:
        local, domain = domain, ""
    return f"{local[: 3 if len(local) > 5 else 1]}…{at}{domain[:40]}"


class EntryFault(NamedTuple):
    """A fault of an entry. `key` is its field; `rule` says what it must be."""

    key: str
    rule: str


class UnreadableList(ValueError):
    """A text is not a list of people. The message says why, and quotes nothing of the text."""


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


def parse_rows(content: bytes) -> list[jsontext.JsonObject]:
    """Return the entries of CSV, of a JSON list, or of a JSON object with the people's names as keys.

    Raises UnreadableList.
    """
    without_mark = content.removeprefix(_BYTE_ORDER_MARK)
    if without_mark.lstrip()[:1] in (b"{", b"["):
        try:
            parsed = jsontext.from_json(without_mark)
        except (ValueError, RecursionError):
            raise UnreadableList("is not valid JSON") from None
    else:
        try:
            parsed = parse_csv(content, media_type("text/csv"), limits.DEFAULT._replace(max_decoded_bytes=MAX_BYTES))
        except errors.Rejected as error:
            raise UnreadableList(f"is neither JSON nor CSV: {error.detail}") from None
    entries = _with_names(parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(entries, list):
        entries = []
    rows = [entry for entry in entries if isinstance(entry, dict)]
    if not 1 <= len(rows) <= MAX_PEOPLE or len(rows) != len(entries):
        raise UnreadableList(f"must list 1 to {MAX_PEOPLE:,} people, each with a name and fields")
    return rows


def _with_names(people: jsontext.JsonObject) -> list[jsontext.Json]:
    return [{**entry, NAME: name} if isinstance(entry, dict) else entry for name, entry in people.items()]


def read_rows(rows: list[jsontext.JsonObject]) -> tuple[list[Listed], list[tuple[int, EntryFault]]]:
    """Return the people, and the faults, each with the number of its row, from 1.

    A field with a fault is left out. A row is left out if it has no name, or the same name as another row.
    """
    entries = [read_entry(row) for row in rows]
    rows_by_name = Counter(listed.person.name for listed, _ in entries if listed)
    people: list[Listed] = []
    faults: list[tuple[int, EntryFault]] = []
    for number, (listed, faults_of_row) in enumerate(entries, 1):
        faults += [(number, fault) for fault in faults_of_row]
        if listed and rows_by_name[listed.person.name] > 1:
            faults.append((number, EntryFault(NAME, "must be different for each person")))
        elif listed:
            people.append(listed)
    return people, faults


def read_entry(row: jsontext.JsonObject) -> tuple[Listed | None, list[EntryFault]]:
    """Return the person without the fields that have a fault, and these faults. Without a name, there is no person."""
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
            if read_field := FIELDS.get(key):
                fields[key] = read_field(_required_text(value))
            elif key == ALIASES:
                aliases = _names(value)
            else:
                scoped[key] = _names(value)
        except ValueError as error:
            faults.append(EntryFault(key, str(error)))
    chats = {chat: fields.pop(chat) for chat in CHATS if chat in fields}
    # The events of a provider such as `slack` identify the person by the id in that chat, too. A chat and its provider
    # have the same name.
    scoped |= {chat: (id_, *scoped.get(chat, ())) for chat, id_ in chats.items()}
    # Each key of FIELDS that is no chat is also a field of Person.
    return Listed(Person(name, chats=chats, **fields), aliases, scoped), faults


def _required_text(value: jsontext.Json) -> str:
    text = _text(value)
    if text is None:
        raise ValueError("must be text: write it in quotes")
    return text


def _text(value: jsontext.Json) -> str | None:
    """Return the value as text; None if it is neither text nor a whole number, as which an id may be written."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _names(value: jsontext.Json) -> tuple[str, ...]:
    """Return the names in a list, or in a text with a semicolon between them, each once.

    Raises ValueError for too many of them, and for a name that is too long or not printable.
    """
    items: Sequence[jsontext.Json] = value if isinstance(value, list) else [value]
    if isinstance(value, str):
        items = value.split(";")
    if len(items) > MAX_ALIASES:
        raise ValueError(f"must be at most {MAX_ALIASES} names")
    names = [_text(item) or "" for item in items]
    if any(not 1 <= len(name) <= MAX_ALIAS_CHARACTERS or not name.isprintable() for name in names):
        raise ValueError(f"must be names of 1 to {MAX_ALIAS_CHARACTERS} printable characters, or a list of them")
    return tuple(dict.fromkeys(names))
