"""A delivery without its destination's system: its recipient, and the mail, the request or the row that it would be."""

from collections.abc import Mapping
from types import ModuleType
from typing import Final, cast
from urllib.parse import urlsplit

from deploy.explain.masked_requests import masked_request
from functions.notify import registry
from functions.notify.destinations.email.email import MailSettings, MailWriter
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.http_kind import OutgoingRequest
from functions.notify.recipients.people import Person
from functions.notify.recipients.recipient import NoRecipient, compiled_recipients, masked
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject

SENDER: Final = Address("sender@example.com")


class OfflineDelivery:
    """A delivery and the destination that it is for. `notify` is the slice of notify."""

    def __init__(self, delivery: Delivery, notify: JsonObject) -> None:
        self.delivery = delivery
        self.configured = registry.read_destinations(notify)[delivery.destination]
        self._people = notify.get("people")

    @property
    def module(self) -> ModuleType:
        """The module of the destination's kind."""
        return registry.module_of(self.configured)

    def unread_recipient(self) -> str:
        """Return whom the delivery is for by a list at a URL, which is not read offline; empty for any other one."""
        recipient, people = self.configured.recipient, self._people
        if recipient is None or not isinstance(people, dict) or "url" not in people:
            return ""
        who = repr(recipient.person) if recipient.person else f"`{recipient.path}`"
        if recipient.path == "actor" and self.delivery.event.actor:
            who = f"the actor {masked(self.delivery.event.actor)!r}"
        host = urlsplit(str(people["url"])).hostname
        return f"{self.configured.kind}: to {who}, whom notify looks up in the list at {host}"

    async def recipient(self) -> Person | NoRecipient | None:
        """Return the person; None for a destination whose `to` names nobody, and where the list is at a URL.

        Raises Permanent.
        """
        recipients = compiled_recipients(self._people)
        if self.configured.recipient is None or recipients is None:
            return None
        return await recipients.recipient_of(self.configured, self.delivery)

    def mail(self, person: Person | None) -> Mail | None:
        """Return the mail, to `person` where the destination's `to` names them; None if the destination sends no mail.

        Raises Permanent, as notify does.
        """
        if self.configured.kind != "email":
            return None
        writer = MailWriter(cast("MailSettings", self.configured.settings))
        return writer.write(self.delivery, self.delivery.event, SENDER, self.delivery.id, person)

    def request(self, person: Person | None) -> OutgoingRequest | None:
        """Return the request, with its secrets masked; None if the destination's kind does not speak HTTP.

        Raises Permanent, as notify does, and Temporary.
        """
        settings = self.configured.settings
        if not hasattr(self.module, "request") or not isinstance(settings, dict):
            return None
        return masked_request(self.module, self.delivery, settings, person)

    def row(self) -> Mapping[str, Json] | None:
        """Return the row by its columns; None if the destination writes none. Raises Permanent."""
        if self.configured.kind != "sql":
            return None
        from functions.notify.destinations.sql.rows import row_of
        from functions.notify.destinations.sql.settings import Settings

        return {**row_of(self.delivery, Settings.model_validate(self.configured.settings))}
