"""The person that a delivery would go to, found offline in the compiled list."""

from urllib.parse import urlsplit

from functions.notify.people import Person
from functions.notify.people_source import compiled_recipients
from functions.notify.read_destinations import read_destinations
from functions.notify.recipient import NoRecipient, masked
from functions.notify.registry import Configured
from shared.delivery import Delivery
from shared.jsontext import JsonObject


async def previewed_recipient(delivery: Delivery, notify: JsonObject) -> Person | NoRecipient | None:
    """Return the person; None for a destination whose `to` names nobody, and where the list is at a URL.

    `notify` is its slice. Raises Permanent.
    """
    configured = _configured(delivery, notify)
    recipients = compiled_recipients(notify.get("people"))
    if configured is None or configured.recipient is None or recipients is None:
        return None
    return await recipients.recipient_of(configured, delivery)


def unread_recipient(delivery: Delivery, notify: JsonObject) -> str:
    """Return whom a delivery is for by a list at a URL, which is not read offline; empty for any other delivery."""
    configured, people = _configured(delivery, notify), notify.get("people")
    if configured is None or configured.recipient is None or not isinstance(people, dict) or "url" not in people:
        return ""
    path, person = configured.recipient.path, configured.recipient.person
    who = repr(person) if person else f"`{path}`"
    if path == "actor" and delivery.event.actor:
        who = f"the actor {masked(delivery.event.actor)!r}"
    host = urlsplit(str(people["url"])).hostname
    return f"{configured.kind}: to {who}, whom notify looks up in the list at {host}"


def recipient_text(person: Person, delivery: Delivery, notify: JsonObject) -> str:
    """Return the person's name and their masked address, such as `anna (a…@example.com)`."""
    configured = _configured(delivery, notify)
    address = person.address(configured.recipient.address) if configured and configured.recipient else None
    return f"{person.name} ({masked(address or '')})"


def nobody_text(found: NoRecipient, delivery: Delivery, notify: JsonObject) -> str:
    configured = _configured(delivery, notify)
    otherwise = configured.otherwise if configured else None
    instead = f"; {otherwise!r} gets it instead" if otherwise else ""
    return f"unknown_person: {found.reason}{instead}"


def _configured(delivery: Delivery, notify: JsonObject) -> Configured | None:
    return read_destinations(notify).get(delivery.destination)
