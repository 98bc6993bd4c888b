"""The recipient of a delivery: the person in the list of people whom a destination's `to` names.

An event only identifies a person; the addresses are in the list. So no event can make Hookchain write to a stranger.
There are two exceptions: an event may have a mail address that the operator allows in `allow_recipients`, and an
operational event about a subscriber's endpoint has the mail address of its tenant.

The list is in notify's slice of the configuration, or at a URL that the slice names.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, NamedTuple

from functions.notify import bounded_texts, registry
from functions.notify.destinations.email.mail import Address, is_allowed
from functions.notify.recipients.people import (
    MAX_BYTES,
    Directory,
    Person,
    ReadPeople,
    UnreadableList,
    parse_rows,
    read_rows,
)
from shared import claim_check, did_you_mean, errors, logs, ports
from shared.delivery import Delivery
from shared.event import Event, oneline, view_of
from shared.fetch import Fetch, Outgoing
from shared.jsontext import Json, JsonObject, kind_of, mapping_at, objects_at, value_at
from shared.subscribers.names import SUBSCRIBERS_SOURCE

DIGESTS: Final = "/digests/"
"""The beginning of the source of a digest's event. A digest is for one person, whose name is in `data.person`."""
MAX_CHARACTERS: Final = 254
"""The length of a name, and of a mail address."""
CACHE_SECONDS: Final = 600.0
"""How long a list from a URL is used before it is read again."""
STALE_SECONDS: Final = 86_400.0
"""How long the last list is used while the URL cannot be read."""
AGAIN_SECONDS: Final = 30.0
"""The time between two attempts to read the URL after a failure."""
FETCH_SECONDS: Final = 10.0
MAX_LOGGED: Final = 5
"""The number of faults of a list that are logged."""
_PLAIN_ADDRESS: Final = re.compile(
    r"(?=[^@]{1,64}@)\w[\w+'=-]*(?:\.[\w+'=-]+)*@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+", re.ASCII | re.IGNORECASE
)
"""A mail address that an event may have: in ASCII, without a name beside it, and without `%` and `!`, which could route
the mail to another server."""
_ADVICE: Final = "name the field in `to` that says who it concerns, or a destination in `otherwise`"
_ADD: Final = "add them, or correct `to`"
_SHOWN: Final = ", shown by `hookchain events show`"


class NoRecipient(NamedTuple):
    """The delivery has no recipient.

    reason  why, and what to do. It is logged, so it must have no values of the event
    name    the unknown name in the event, which `explain` shows
    """

    reason: str
    name: str = ""


class Recipients:
    """The recipients of deliveries. `blobs` has the data of large events, which the expression in `to` may need."""

    def __init__(self, read_people: ReadPeople, blobs: ports.Blobs | None) -> None:
        self._read_people = read_people
        self._blobs = blobs

    async def recipient_of(self, configured: registry.Configured, delivery: Delivery) -> Person | NoRecipient:
        """Return the person whom the destination's `to` names for this event. The person has the address that the kind
        of destination needs.

        Raises Temporary if the list of people (`people_unavailable`) or the event's data cannot be read.
        """
        recipient = configured.recipient
        assert recipient is not None
        person = await self._find(recipient, delivery.event)
        if isinstance(person, Person) and not person.address(recipient.address):
            rule = f"{person.name!r} in `people` has no `{recipient.address}`, which `{configured.kind}` needs"
            return NoRecipient(f"{rule}: add it, or name another destination in `otherwise`")
        return person

    async def person(self, configured: registry.Configured, delivery: Delivery) -> Person:
        """Return the recipient. Raises as `recipient_of`, and Permanent (`unknown_person`) if there is none."""
        person = await self.recipient_of(configured, delivery)
        if isinstance(person, NoRecipient):
            raise errors.Permanent("unknown_person", person.reason)
        return person

    async def _find(self, recipient: registry.Recipient, event: Event) -> Person | NoRecipient:
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
        """Return the name that the event has at the path. Raises Temporary if the event's data cannot be read."""
        if path == registry.ACTOR:
            return event.actor or NoRecipient(f"the event has no actor: set the source's `actor`, or {_ADVICE}")
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self._blobs)
        try:
            view = view_of(event)
            value = bounded_texts.compiled_expression(path).search(view)
        except errors.Permanent as error:
            return NoRecipient(f"`to: {path}` fails on this event: {error.detail}")
        return _name_in(path, value, view)


def _name_in(path: str, value: Json, view: JsonObject) -> str | NoRecipient:
    """Return the value that the expression `path` found, as a name. `view` is the event that it was applied to."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    if value is None or value == "":
        if bounded_texts.compiled_expression(path).is_path and did_you_mean.is_missing(path, view):
            return NoRecipient(f"`to`: {did_you_mean.missing_path(path, view, _ADVICE)}")
        return NoRecipient(f"the event has nobody at `{path}`: {_ADVICE}")
    return NoRecipient(f"`to: {path}` must find one name, as text or a whole number; found {kind_of(value)}")


def _address_of_tenant(recipient: registry.Recipient, who: str) -> Person | None:
    """Return a person with only that mail address, if `who` is one.

    It can be trusted: only Hookchain's own events have this source, and the address came through the operator's API.
    """
    if recipient.address != "email" or len(who) > MAX_CHARACTERS:
        return None
    return Person(who, email=who) if _PLAIN_ADDRESS.fullmatch(who) else None


def allowed_address(recipient: registry.Recipient, who: str) -> Person | None:
    """Return a person with only that mail address, if `allow_recipients` allows it."""
    if not recipient.allowed or recipient.address != "email" or len(who) > MAX_CHARACTERS:
        return None
    is_address = _PLAIN_ADDRESS.fullmatch(who) is not None
    return Person(who, email=who) if is_address and is_allowed(Address(who), recipient.allowed) else None


def _unlisted(name: str) -> NoRecipient:
    return NoRecipient(f"`people` has nobody with the name {masked(name)!r}: {_ADD}")


def _unknown(path: str, who: str, event: Event) -> NoRecipient:
    by = "actor" if path == registry.ACTOR else f"`{path}`"
    advice = f"add that name to `aliases` of a person in `people`, or as `{event.source_name}: NAME`"
    return NoRecipient(f"nobody in `people` is the event's {by}{_SHOWN}: {advice}", who)


def masked(text: str) -> str:
    """Return the beginning of a name or mail address. An operator recognises it, and it may be logged."""
    local, at, domain = oneline(text[: 2 * MAX_CHARACTERS]).rpartition("@")
    if not at:
        local, domain = domain, ""
    return f"{local[: 3 if len(local) > 5 else 1]}…{at}{domain[:40]}"


def people_reader(written: Json, fetch: Callable[[], Fetch], secrets: ports.Secrets, clock: ports.Clock) -> ReadPeople:
    """Return the function that reads the people: from the slice's `people`, or from the URL there."""
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
    """Return the people that the slice itself lists."""
    listed, _ = read_rows(objects_at(settings, "rows"))
    return Directory(listed, providers_of(settings))


def compiled_recipients(written: Json) -> Recipients | None:
    """Return the recipients of the slice's `people`; None if it lists no people itself."""
    if not isinstance(written, dict) or "url" in written:
        return None
    return Recipients(_compiled_reader(written), None)


def providers_of(settings: JsonObject) -> Mapping[str, str]:
    return {name: str(provider) for name, provider in mapping_at(settings, "providers").items()}


class FetchedDirectory:
    """A list of people at a URL. If it is older than CACHE_SECONDS, one delivery reads it again for all of them.

    While the URL cannot be read, the last list is used for STALE_SECONDS. Deliveries do not wait for the URL then.
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
        """Return the people. Raises Temporary (`people_unavailable`) if there is no list of the last STALE_SECONDS."""
        now = self._clock.now()
        if self._is_fresh(now):
            return self._known(now)
        is_being_read = self._lock.locked()
        if is_being_read and self._last is not None and now < self._read_at + STALE_SECONDS:
            return self._last
        async with self._lock:
            now = self._clock.now()
            if not self._is_fresh(now):
                await self._refresh()
                now = self._clock.now()
            return self._known(now)

    def _is_fresh(self, now: float) -> bool:
        """Return whether the list need not be read now."""
        # After a clock was set back, `_refresh_at` can be later than any time that was set.
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
        """Read the list at the URL. Raises HookchainError and UnreadableList."""
        headers: tuple[tuple[str, str], ...] = (("accept", "application/json, text/csv"),)
        if isinstance(secret := self._settings.get("secret"), str):
            [token, *_] = await self._secrets.values(secret)  # the newest value
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
    """Return the people in the content. Its faults are logged with the numbers of their rows. Raises UnreadableList."""
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
