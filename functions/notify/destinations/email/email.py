"""The destination `email`: one mail a delivery, or one for each person on a list."""

import time
from dataclasses import replace

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.render import MailWriter
from functions.notify.destinations.email.sender import sender_of
from functions.notify.destinations.email.settings import Settings
from functions.notify.destinations.email.ways import Ways
from shared.claim_check import checked_out
from shared.delivery import Delivery, Disabled, Outcome
from shared.errors import Temporary

__all__ = ["Settings", "connect"]


class EmailDestination:
    """Mail services and mailboxes do not recognise a repeat: each attempt may be another mail."""

    dedupes_repeats = False

    def __init__(self, name: str, settings: Settings, context: Context) -> None:
        self._context = context
        self._sender = sender_of(settings.from_, context.settings.email_from, settings.to)
        self._writer = MailWriter(settings)
        self._ways = Ways(name, settings.via, context)

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        began = time.monotonic()
        if isinstance(self._sender, Disabled):
            return self._sender
        way = await self._ways.choose()
        if isinstance(way, Disabled):
            return way
        event = await checked_out(delivery.event, self._context.blobs)
        mail = self._writer.write(delivery, event, self._sender, attempt.idempotency_key)
        left = attempt.timeout_seconds - (time.monotonic() - began)
        if left <= 0:
            raise Temporary(
                "mail_late", f"the attempt's {attempt.timeout_seconds:g} s were over before the mail was sent"
            )
        return await way.send(mail, replace(attempt, timeout_seconds=left))

    def close(self) -> None:
        self._ways.close()


def connect(name: str, settings: Settings, context: Context) -> EmailDestination:
    return EmailDestination(name, settings, context)
