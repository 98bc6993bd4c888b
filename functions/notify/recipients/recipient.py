"""The recipient of a delivery: the person in the list of people whom a destination's `to` names.

An event only identifies a person; the addresses are in the list. So no event can make Hookchain write to a stranger.
There are two exceptions: an event may have a mail address that the operator allows in `allow_recipients`, and an
operational event about a subscriber's endpoint has the mail address of its tenant.

The list is in notify's slice of the configuration, or at a URL that the slice names (people_list.py).
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from functions.notify import bounded_texts, registry
from functions.notify.destinations.email.mail import Address, is_allowed
from functions.notify.recipients.people import Person, ReadPeople, masked
from functions.notify.recipients.people_list import compiled_reader
from shared import claim_check, errors, missing_paths, ports
from shared.delivery import Delivery
from shared.event import Event, view_of
from shared.jsontext import Json, JsonObject, kind_of, value_at
from shared.subscribers.names import SUBSCRIBERS_SOURCE

DIGESTS: Final = "/digests/"
"""The beginning of the source of a digest's event. A digest is for one person, whose name is in `data.person`."""
MAX_ADDRESS_CHARACTERS: Final = 254
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


@dataclass(slots=True)
class Recipients:
    """The recipients of deliveries. Where there is none, `find_person` returns why, and `require_person` raises it.

    `blobs` has the data of large events, which the expression in `to` may need.
    """

    read_people: ReadPeople
    blobs: ports.Blobs | None

    async def find_person(self, configured: registry.DeliveryOptions, delivery: Delivery) -> Person | NoRecipient:
        """Return the person whom the destination's `to` names for this event. The person has the address that the kind
        of destination needs.

        Raises Temporary if the list of people (`people_unavailable`) or the event's data cannot be read.
        """
        rule = configured.recipient
        assert rule is not None
        person = await self._find(rule, delivery.event)
        if isinstance(person, Person) and not person.address(rule.address):
            fault = f"{person.name!r} in `people` has no `{rule.address}`, which `{configured.kind}` needs"
            return NoRecipient(f"{fault}: add it, or name another destination in `otherwise`")
        return person

    async def require_person(self, configured: registry.DeliveryOptions, delivery: Delivery) -> Person:
        """Return the recipient. Raises as `find_person`, and Permanent (`unknown_person`) if there is none."""
        person = await self.find_person(configured, delivery)
        if isinstance(person, NoRecipient):
            raise errors.Permanent("unknown_person", person.reason)
        return person

    async def _find(self, rule: registry.RecipientRule, event: Event) -> Person | NoRecipient:
        """Return the person for the event by `rule`, the destination's `to`. Their address is not checked."""
        if event.source.startswith(DIGESTS):
            return await self._named_by_digest(rule, event)
        if rule.person is not None:
            people = await self.read_people()
            nobody = f"`people` has nobody with the name {masked(rule.person)!r}: {_ADD}"
            return people.named(rule.person) or NoRecipient(nobody)
        who = await self._who(rule.path or registry.ACTOR, event)
        if isinstance(who, NoRecipient):
            return who
        # Only Hookchain's own events have this source. The address of a tenant came through the operator's API.
        if event.source == SUBSCRIBERS_SOURCE and (tenant := _person_at(rule, who)):
            return tenant
        people = await self.read_people()
        person = people.find(who, event.source_name)
        return person or _allowed_person_at(rule, who) or _unknown(rule.path or registry.ACTOR, who, event)

    async def _named_by_digest(self, rule: registry.RecipientRule, event: Event) -> Person | NoRecipient:
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self.blobs)
        name = value_at(event.data, "person")
        if not isinstance(name, str):
            return NoRecipient("the digest names no person")
        people = await self.read_people()
        person = people.named(name) or _allowed_person_at(rule, name)
        return person or NoRecipient(f"`people` no longer has the person of the digest{_SHOWN}: {_ADD}", name)

    async def _who(self, path: str, event: Event) -> str | NoRecipient:
        """Return the name that the event has at the path. Raises Temporary if the event's data cannot be read."""
        if path == registry.ACTOR:
            return event.actor or NoRecipient(f"the event has no actor: set the source's `actor`, or {_ADVICE}")
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self.blobs)
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
        if bounded_texts.compiled_expression(path).is_path and missing_paths.is_missing(path, view):
            return NoRecipient(f"`to`: {missing_paths.missing_path_message(path, view, _ADVICE)}")
        return NoRecipient(f"the event has nobody at `{path}`: {_ADVICE}")
    return NoRecipient(f"`to: {path}` must find one name, as text or a whole number; found {kind_of(value)}")


def _person_at(rule: registry.RecipientRule, who: str) -> Person | None:
    """Return a person with only that mail address, if `who` is one and the destination sends mail."""
    if rule.address != "email" or len(who) > MAX_ADDRESS_CHARACTERS or not _PLAIN_ADDRESS.fullmatch(who):
        return None
    return Person(who, email=who)


def _allowed_person_at(rule: registry.RecipientRule, who: str) -> Person | None:
    """Return a person with only that mail address, if `allow_recipients` allows it."""
    return _person_at(rule, who) if is_allowed(Address(who), rule.allowed) else None


def _unknown(path: str, who: str, event: Event) -> NoRecipient:
    by = "actor" if path == registry.ACTOR else f"`{path}`"
    advice = f"add that name to `aliases` of a person in `people`, or as `{event.source_name}: NAME`"
    return NoRecipient(f"nobody in `people` is the event's {by}{_SHOWN}: {advice}", who)


def compiled_recipients(written: Json) -> Recipients | None:
    """Return the recipients of the slice's `people`; None if it lists no people itself."""
    if not isinstance(written, dict) or "url" in written:
        return None
    return Recipients(compiled_reader(written), None)
