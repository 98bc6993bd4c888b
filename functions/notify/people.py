"""The people that the configuration lists: a person by a name of theirs that a source's events use.

Names are compared without regard to the case of A to Z, and otherwise character for character: a name that only looks
like a listed one is another name.
"""

import re
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from shared.jsontext import JsonObject

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
TOPIC: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")
"""A topic of ntfy. Most tokens of apps are none."""
EVERYWHERE: Final = ""
"""The scope of the names that apply to every source."""


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
    """A person, the names that hold everywhere, and those of one source or provider."""

    person: Person
    aliases: tuple[str, ...] = ()
    scoped: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Directory:
    """The people by their names.

    `providers` are the providers of the sources. `shared` are the names that two people have, with their scopes, and
    the names of both in the list: they name nobody. A mail address names the one person who has it.
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
        return self._named.get(name)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._named.values())

    def _add(self, scope: str, name: str, person: Person) -> None:
        key = (scope, folded(name))
        other = self._found.setdefault(key, person)
        if other.name != person.name:
            self.shared[key] = (other.name, person.name)


class People:
    """The list as it is now. `directory` may read it from elsewhere, and raises Temporary where it never could."""

    def __init__(self, directory: Callable[[], Awaitable[Directory]]) -> None:
        self._directory = directory

    async def find(self, who: str, source: str) -> Person | None:
        """Return the person whom events of the source call so. Raises Temporary (`people_unavailable`)."""
        return (await self._directory()).find(who, source)

    async def named(self, name: str) -> Person | None:
        """Return the person of that name in `people`. Raises Temporary (`people_unavailable`)."""
        return (await self._directory()).named(name)


def folded(name: str) -> str:
    """Return the name as it is compared: A to Z in lower case. Other letters stay, because some look like these."""
    return name.translate(_LOWER)
