"""The recipient of a delivery: the listed person whom a destination's `to` names.

An event only says who somebody is; where they are reached stands in `people`. So no event can make us write to
strangers. The exceptions are a mail address in `allow_recipients`, which the operator opened to events, and that of a
tenant, to whom an operational event about one of its endpoints goes.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.notify.people import People, Person
from functions.notify.registry import ACTOR, Configured, Recipient
from shared.claim_check import checked_out
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import Event, oneline, view_of
from shared.jsontext import Json
from shared.ports import Blobs
from shared.subscribers.names import SUBSCRIBERS_SOURCE

if TYPE_CHECKING:
    from shared.expressions import Expression

DIGESTS: Final = "/digests/"
"""How the source of a digest's event begins. A digest is made for one person, whom it names in `data.person`."""
MAX_CHARACTERS: Final = 254
"""Of a name, and of a mail address."""
_PLAIN_ADDRESS: Final = re.compile(
    r"(?=[^@]{1,64}@)\w[\w+'=-]*(?:\.[\w+'=-]+)*@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+)", re.ASCII | re.IGNORECASE
)
"""An address that an event may give: ASCII, without a name beside it, and without `%` and `!`, which route mail."""


class NoRecipient(NamedTuple):
    """The delivery has nobody to go to. `reason` says why and what to do, with no more of the event than its shape."""

    reason: str


class Recipients:
    """`blobs` has the data of large events, which an expression may read."""

    def __init__(self, people: People, blobs: Blobs | None) -> None:
        self._people = people
        self._blobs = blobs

    async def recipient_of(self, configured: Configured, delivery: Delivery) -> Person | NoRecipient:
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

    async def _found(self, recipient: Recipient, event: Event) -> Person | NoRecipient:
        if event.source.startswith(DIGESTS):
            return await self._named_by_digest(recipient, event)
        if recipient.person is not None:
            return await self._people.named(recipient.person) or _unlisted(recipient.person)
        who = await self._who(recipient.path or ACTOR, event)
        if isinstance(who, NoRecipient):
            return who
        if event.source == SUBSCRIBERS_SOURCE and (tenant := _address_of_tenant(recipient, who)):
            return tenant
        person = await self._people.find(who, event.source_name)
        return person or allowed_address(recipient, who) or _unknown(recipient.path or ACTOR, who, event)

    async def _named_by_digest(self, recipient: Recipient, event: Event) -> Person | NoRecipient:
        if event.dataref is not None:
            event = await checked_out(event, self._blobs)
        name = event.data.get("person") if isinstance(event.data, dict) else None
        if not isinstance(name, str):
            return NoRecipient("the digest names no person")
        return await self._people.named(name) or allowed_address(recipient, name) or _unlisted(name)

    async def _who(self, path: str, event: Event) -> str | NoRecipient:
        """Return the name that the event has at the path."""
        if path == ACTOR:
            return event.actor or NoRecipient(f"the event has no actor: {_ACT}")
        if event.dataref is not None:
            event = await checked_out(event, self._blobs)
        try:
            value = _compiled(path).search(view_of(event))
        except Permanent as error:
            return NoRecipient(f"`to: {path}` fails on this event: {error.detail}")
        return _name_in(path, value)


_ACT: Final = "name the field in `to` that says who it concerns, or a destination in `otherwise`"


def _name_in(path: str, value: Json) -> str | NoRecipient:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    if value is None or value == "":
        return NoRecipient(f"the event has nobody at `{path}`: {_ACT}")
    from shared.jsontext import kind_of

    return NoRecipient(f"`to: {path}` must find one name, as text or a whole number; found {kind_of(value)}")


def _address_of_tenant(recipient: Recipient, who: str) -> Person | None:
    """Return who has that mail address. The operator's API wrote it; no sender's event has that source."""
    is_address = recipient.address == "email" and len(who) <= MAX_CHARACTERS and _PLAIN_ADDRESS.fullmatch(who)
    return Person(who, email=who) if is_address else None


def allowed_address(recipient: Recipient, who: str) -> Person | None:
    """Return the person who has that mail address and no other detail, where `allow_recipients` allows it."""
    if not recipient.allowed or recipient.address != "email" or len(who) > MAX_CHARACTERS:
        return None
    found = _PLAIN_ADDRESS.fullmatch(who)
    return Person(who, email=who) if found and _is_allowed(who, found[1], recipient.allowed) else None


def _is_allowed(address: str, domain: str, allowed: Iterable[str]) -> bool:
    own = {address.lower(), domain.lower()}
    return any(entry.lower().removeprefix("@") in own for entry in allowed)


def _unlisted(name: str) -> NoRecipient:
    return NoRecipient(f"`people` has nobody with the name {masked(name)!r}: add them, or correct `to`")


def _unknown(path: str, who: str, event: Event) -> NoRecipient:
    by = "actor" if path == ACTOR else f"`{path}`"
    act = f"add that name to `aliases` of a person in `people`, or as `{event.source_name}: NAME`"
    return NoRecipient(f"nobody in `people` is the event's {by}, {masked(who)!r}: {act}")


def masked(text: str) -> str:
    """Return the beginning of a name or mail address, which an operator recognises and a log may hold."""
    local, at, domain = oneline(text[: 2 * MAX_CHARACTERS]).rpartition("@")
    if not at:
        local, domain = domain, ""
    return f"{local[: 3 if len(local) > 5 else 1]}…{at}{domain[:40]}"


@lru_cache(maxsize=1_000)
def _compiled(path: str) -> "Expression":
    from shared.expressions import over_event  # it brings jmespath, which few destinations need

    return over_event(path)
