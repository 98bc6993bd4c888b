"""The recipient of a delivery: the listed person whom a destination's `to` names.

An event only says who somebody is; the list says where to reach them. So no event can make us write to strangers. The
exceptions are a mail address in `allow_recipients`, which the operator opened to events, and that of a tenant, to whom
an operational event about one of its endpoints goes. The list is in notify's slice, or at the URL that it names.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final, NamedTuple

from functions.notify import bounded_texts, registry
from functions.notify.recipients.people import (
    MAX_BYTES,
    Directory,
    Person,
    ReadPeople,
    UnreadableList,
    parse_rows,
    read_rows,
)
from shared import claim_check, errors, logs, ports
from shared.delivery import Delivery
from shared.did_you_mean import is_missing, missing_path
from shared.event import Event, oneline, view_of
from shared.fetch import Fetch, Outgoing
from shared.jsontext import Json, JsonObject, kind_of, mapping_at, objects_at, value_at
from shared.subscribers.names import SUBSCRIBERS_SOURCE

DIGESTS: Final = "/digests/"
"""How the source of a digest's event begins. A digest is made for one person, whom it names in `data.person`."""
MAX_CHARACTERS: Final = 254
"""Of a name, and of a mail address."""
CACHE_SECONDS: Final = 600.0
STALE_SECONDS: Final = 86_400.0
"""For how long the last list serves while the URL cannot be read."""
AGAIN_SECONDS: Final = 30.0
"""Between two attempts to read the URL."""
FETCH_SECONDS: Final = 10.0
MAX_LOGGED: Final = 5
_PLAIN_ADDRESS: Final = re.compile(
    r"(?=[^@]{1,64}@)\w[\w+'=-]*(?:\.[\w+'=-]+)*@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+)", re.ASCII | re.IGNORECASE
)
"""An address that an event may give: ASCII, without a name beside it, and without `%` and `!`, which route mail."""
_ACT: Final = "name the field in `to` that says who it concerns, or a destination in `otherwise`"
_ADD: Final = "add them, or correct `to`"
_SHOWN: Final = ", shown by `hookchain events show`"


class NoRecipient(NamedTuple):
    """The delivery has nobody to go to.

    reason  why, and what to do. It is logged, so it has no more of the event than its shape
    name    the unknown name that the event has, for `explain`
    """

    reason: str
    name: str = ""


class Recipients:
    """`blobs` has the data of large events, which an expression may read."""

    def __init__(self, read_people: ReadPeople, blobs: ports.Blobs | None) -> None:
        self._read_people = read_people
        self._blobs = blobs

    async def recipient_of(self, configured: registry.Configured, delivery: Delivery) -> Person | NoRecipient:
        """Return the person whom the destination's `to` names for this event, with the address that its kind needs.

        Raises Temporary: `people_unavailable`, or where the event's data cannot be read.
        """
        recipient = configured.recipient
        assert recipient is not None
        found = await self._found(recipient, delivery.event)
        if isinstance(found, Person) and not found.address(recipient.address):
            rule = f"{found.name!r} in `people` has no `{recipient.address}`, which `{configured.kind}` needs"
            return NoRecipient(f"{rule}: add it, or name another destination in `otherwise`")
        return found

    async def person(self, configured: registry.Configured, delivery: Delivery) -> Person:
        """Return the recipient. Raises as `recipient_of`, and Permanent (`unknown_person`) where there is none."""
        found = await self.recipient_of(configured, delivery)
        if isinstance(found, NoRecipient):
            raise errors.Permanent("unknown_person", found.reason)
        return found

    async def _found(self, recipient: registry.Recipient, event: Event) -> Person | NoRecipient:
        if event.source.startswith(DIGESTS):
            return await self._named_by_digest(recipient, event)
        if recipient.person is not None:
            people = await self._read_people()
            return people.named(recipient.person) or _unlisted(recipient.person)
        who = await self._who(recipient.path or registry.ACTOR, event)
        if isinstance(who, NoRecipient):
            return who
        if event.source == SUBSCRIBERS_SOURCE and (tenant := _address_of_tenant(recipient, who)):
            return tenant
        people = await self._read_people()
        person = people.find(who, event.source_name)
        return person or allowed_address(recipient, who) or _unknown(recipient.path or registry.ACTOR, who, event)

    async def _named_by_digest(self, recipient: registry.Recipient, event: Event) -> Person | NoRecipient:
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self._blobs)
        name = value_at(event.data, "person")
        if not isinstance(name, str):
            return NoRecipient("the digest names no person")
        people = await self._read_people()
        person = people.named(name) or allowed_address(recipient, name)
        return person or NoRecipient(f"`people` no longer has the person of the digest{_SHOWN}: {_ADD}", name)

    async def _who(self, path: str, event: Event) -> str | NoRecipient:
        """Return the name that the event has at the path."""
        if path == registry.ACTOR:
            return event.actor or NoRecipient(f"the event has no actor: set the source's `actor`, or {_ACT}")
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self._blobs)
        try:
            view = view_of(event)
            value = bounded_texts.compiled_expression(path).search(view)
        except errors.Permanent as error:
            return NoRecipient(f"`to: {path}` fails on this event: {error.detail}")
        return _name_in(path, value, view)


def _name_in(path: str, value: Json, view: JsonObject) -> str | NoRecipient:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    if value is None or value == "":
        if bounded_texts.compiled_expression(path).is_path and is_missing(path, view):
            return NoRecipient(f"`to`: {missing_path(path, view, _ACT)}")
        return NoRecipient(f"the event has nobody at `{path}`: {_ACT}")
    return NoRecipient(f"`to: {path}` must find one name, as text or a whole number; found {kind_of(value)}")


def _address_of_tenant(recipient: registry.Recipient, who: str) -> Person | None:
    """Return who has that mail address. The operator's API wrote it; no sender's event has that source."""
    is_address = recipient.address == "email" and len(who) <= MAX_CHARACTERS and _PLAIN_ADDRESS.fullmatch(who)
    return Person(who, email=who) if is_address else None


def allowed_address(recipient: registry.Recipient, who: str) -> Person | None:
    """Return the person who has that mail address and no other detail, where `allow_recipients` allows it."""
    if not recipient.allowed or recipient.address != "email" or len(who) > MAX_CHARACTERS:
        return None
    found = _PLAIN_ADDRESS.fullmatch(who)
    return Person(who, email=who) if found and _is_allowed(who, found[1], recipient.allowed) else None


def _is_allowed(address: str, domain: str, allowed: Iterable[str]) -> bool:
    own = {address.lower(), domain.lower()}
    return any(entry.lower().removeprefix("@") in own for entry in allowed)


def _unlisted(name: str) -> NoRecipient:
    return NoRecipient(f"`people` has nobody with the name {masked(name)!r}: {_ADD}")


def _unknown(path: str, who: str, event: Event) -> NoRecipient:
    by = "actor" if path == registry.ACTOR else f"`{path}`"
    advice = f"add that name to `aliases` of a person in `people`, or as `{event.source_name}: NAME`"
    return NoRecipient(f"nobody in `people` is the event's {by}{_SHOWN}: {advice}", who)


def masked(text: str) -> str:
    """Return the beginning of a name or mail address, which an operator recognises and a log may hold."""
    local, at, domain = oneline(text[: 2 * MAX_CHARACTERS]).rpartition("@")
    if not at:
        local, domain = domain, ""
    return f"{local[: 3 if len(local) > 5 else 1]}…{at}{domain[:40]}"


def people_reader(written: Json, fetch: Callable[[], Fetch], secrets: ports.Secrets, clock: ports.Clock) -> ReadPeople:
    """Return what reads the people of the slice's `people`."""
    settings = mapping_at(written)
    if isinstance(settings.get("url"), str):
        return FetchedDirectory(settings, fetch, secrets, clock).current
    return _compiled_reader(settings)


def _compiled_reader(settings: JsonObject) -> ReadPeople:
    directory = cache(lambda: compiled_directory(settings))

    async def read() -> Directory:
        return directory()

    return read


def compiled_directory(settings: JsonObject) -> Directory:
    """Return the people who are in the slice themselves."""
    listed, _ = read_rows(objects_at(settings, "rows"))
    return Directory(listed, providers_of(settings))


def compiled_recipients(written: Json) -> Recipients | None:
    """Return the recipients among the people in the slice's `people`; None if there are none, or at a URL."""
    if not isinstance(written, dict) or "url" in written:
        return None
    return Recipients(_compiled_reader(written), None)


def providers_of(settings: JsonObject) -> Mapping[str, str]:
    return {name: str(provider) for name, provider in mapping_at(settings, "providers").items()}


class FetchedDirectory:
    """A list at a URL, read through the guarded fetch when it is older than ten minutes, by one delivery for all.

    While the URL cannot be read, the last list serves for a day. Deliveries in that time do not wait for the URL.
    """

    def __init__(
        self, settings: JsonObject, fetch: Callable[[], Fetch], secrets: ports.Secrets, clock: ports.Clock
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._secrets = secrets
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: Directory | None = None
        self._fault: errors.Temporary | None = None
        self._read_at = 0.0
        self._refresh_at = 0.0

    async def current(self) -> Directory:
        """Raises Temporary (`people_unavailable`) where there is no list that is at most a day old."""
        now = self._clock.now()
        if self._is_fresh(now):
            return self._known(now)
        if self._lock.locked() and self._last is not None and now < self._read_at + STALE_SECONDS:
            return self._last  # another delivery reads it
        async with self._lock:
            now = self._clock.now()
            if not self._is_fresh(now):
                await self._refresh()
                now = self._clock.now()
            return self._known(now)

    def _is_fresh(self, now: float) -> bool:
        """Return whether the list need not be read now: it was read a short time ago, and no clock was set back."""
        return now < self._refresh_at <= now + CACHE_SECONDS

    def _known(self, now: float) -> Directory:
        if self._last is None or now >= self._read_at + STALE_SECONDS:
            raise self._fault or errors.Temporary("people_unavailable", "the list of people is older than a day")
        return self._last

    async def _refresh(self) -> None:
        try:
            directory = await self._read()
        except errors.HookchainError as error:
            self._failed(error.detail)
        except UnreadableList as error:
            self._failed(f"it {error}")
        else:
            self._last, self._fault = directory, None
            self._read_at = self._clock.now()
            self._refresh_at = self._read_at + CACHE_SECONDS

    def _failed(self, reason: str) -> None:
        self._fault = errors.Temporary("people_unavailable", f"the list of people cannot be read: {reason}")
        now = self._clock.now()
        self._refresh_at = now + AGAIN_SECONDS
        use = "its last content serves for a day" if self._last is not None else "deliveries to people wait"
        logs.log(
            "WARNING",
            "people not read",
            function="notify",
            code=self._fault.code,
            detail=f"{self._fault.detail}; {use}",
        )

    async def _read(self) -> Directory:
        """Raises HookchainError and UnreadableList."""
        headers: tuple[tuple[str, str], ...] = (("accept", "application/json, text/csv"),)
        if isinstance(secret := self._settings.get("secret"), str):
            [token, *_] = await self._secrets.values(secret)
            headers = (*headers, ("authorization", f"Bearer {token}"))
        request = Outgoing(
            "GET",
            str(self._settings["url"]),
            headers,
            timeout_seconds=FETCH_SECONDS,
            max_bytes=MAX_BYTES,
            allow_private=self._settings.get("allow_private") is True,
        )
        fetched = await self._fetch().fetch(request)
        if fetched.status != 200:
            raise UnreadableList(f"answered {fetched.status}")
        if fetched.is_cut:
            raise UnreadableList(f"has more than {MAX_BYTES:,} bytes")
        return await asyncio.to_thread(_directory, fetched.body, providers_of(self._settings))


def _directory(content: bytes, providers: Mapping[str, str]) -> Directory:
    """Return the people of the content. Its faults are logged with the numbers of their rows."""
    listed, faults = read_rows(parse_rows(content))
    texts = [f"row {number}: {fault.key[:40]!r} {fault.rule}" for number, fault in faults[:MAX_LOGGED]]
    if not listed:
        raise UnreadableList("lists nobody with a name")
    directory = Directory(listed, providers)
    texts += [f"two people have the name {masked(name)!r}" for _, name in sorted(directory.shared)[:MAX_LOGGED]]
    if texts:
        count = len(faults) + len(directory.shared)
        logs.log("WARNING", "people with faults", function="notify", count=count, detail="; ".join(texts))
    return directory
