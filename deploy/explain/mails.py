"""The mails that deliveries make, offline."""

from typing import Final

from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.render import MailWriter
from functions.notify.destinations.email.settings import Settings
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject

KIND: Final = "email"
SENDER: Final = Address("sender@example.com")


def destination_entry(notify: JsonObject, name: str) -> JsonObject:
    """Of notify's slice."""
    destinations = notify.get("destinations")
    entry: Json = destinations.get(name) if isinstance(destinations, dict) else None
    return entry if isinstance(entry, dict) else {}


def mail_of(delivery: Delivery, notify: JsonObject) -> Mail | None:
    """None where the destination sends no mail. Raises Permanent, as notify would."""
    entry = destination_entry(notify, delivery.destination)
    if entry.get("kind") != KIND:
        return None
    writer = MailWriter(Settings.model_validate(entry.get("settings")))
    return writer.write(delivery, delivery.event, SENDER, delivery.id)
