"""A delivery without its destination's system: its recipient, and the mail, the request or the row that it would be.

A request shows no value of a secret. It is made with invented secrets, which are replaced by their names. A second one
with other secrets shows which headers depend on a secret without containing it, such as a signature.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlsplit

from functions.notify import registry
from functions.notify.destination import Attempt, read_settings
from functions.notify.destinations.email.email import MailSettings, MailWriter
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.http_kind import OutgoingRequest
from functions.notify.recipients.people import Person, masked
from functions.notify.recipients.recipient import NoRecipient, compiled_recipients
from shared import errors, times
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from shared.secrets import secret_names

SENDER: Final = Address("sender@example.com")
MADE: Final = "(made with a secret)"
"""Stands for a value that would differ with another secret, such as a signature."""
FORM: Final = "application/x-www-form-urlencoded"
_SECRET_FORMS: Final = ("whsec_{}", "https://secret.example/{}", "https://secret.example/a:webhook?key={}", "12345:{}")
"""The forms that kinds may require: a key of Standard Webhooks, which is a password as well; a URL; the URL of a
webhook trigger of Cloud Build; a bot's token."""


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
        return await recipients.find_person(self.configured, self.delivery)

    def mail(self, person: Person | None) -> Mail | None:
        """Return the mail, to `person` where the destination's `to` names them; None if the destination sends no mail.

        Raises Permanent, as notify does.
        """
        if self.configured.kind != "email":
            return None
        writer = MailWriter(cast("MailSettings", self.configured.settings))
        return writer.write(self.delivery, SENDER, self.delivery.id, person)

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


def masked_request(
    kind: ModuleType, delivery: Delivery, written: JsonObject, person: Person | None = None
) -> OutgoingRequest:
    """Return the first attempt's request, in which `<secret NAME>` or MADE stands for what depends on a secret.

    `written` is the kind's settings, as the slice has them. Raises Permanent, as an attempt would, and Temporary.
    """
    settings = read_settings(kind, written)
    at = times.unix_seconds(delivery.event.receivedat)
    attempt = Attempt(delivery.id, attempt_number=1, generation=0, now=at, timeout_seconds=15.0, person=person)

    def made(form: str, salt: str) -> OutgoingRequest:
        secrets = {name: _invented_secret(form, name, salt) for name in secret_names(written)}
        values = {name: (text,) for name, text in secrets.items()}
        request: OutgoingRequest = kind.request(delivery, settings, values, attempt)
        return _masked(request, secrets)

    form, first = _first_made(made)
    others = made(form, "b").headers
    pairs = zip(first.headers, others, strict=True)
    headers = tuple((name, value if value == other else MADE) for (name, value), (_, other) in pairs)
    return replace(first, headers=headers)


def _first_made(made: Callable[[str, str], OutgoingRequest]) -> tuple[str, OutgoingRequest]:
    """Return the first form of a secret that the kind accepts, and the request that it makes with it."""
    *other_forms, last_form = _SECRET_FORMS
    for form in other_forms:
        with contextlib.suppress(errors.Temporary):  # the kind accepts no such secret
            return form, made(form, "a")
    return last_form, made(last_form, "a")


def _invented_secret(form: str, name: str, salt: str) -> str:
    return form.format(hashlib.sha256(f"{salt}:{name}".encode()).hexdigest())


def _masked(request: OutgoingRequest, secrets: Mapping[str, str]) -> OutgoingRequest:
    """Return the request with the name of each secret in place of its value."""

    def mask(text: str) -> str:
        for name, value in secrets.items():
            for spelling in (value, quote(value, safe="")):
                text = text.replace(spelling, f"<secret {name}>")
        return text

    headers = tuple((name, mask(value)) for name, value in request.headers)
    body = mask(request.body.decode("utf-8", "replace")).encode()
    return replace(request, url=mask(request.url), headers=headers, body=body)


def request_lines(request: OutgoingRequest) -> Iterator[str]:
    """Yield the request as lines; JSON is indented."""
    yield f"{request.method} {request.url}"
    yield from (f"{name}: {value}" for name, value in request.headers)
    yield from (f"authentication: {scheme.scheme}" for scheme in request.auth)
    yield ""
    text = request.body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    yield from text.splitlines()


def body_value(request: OutgoingRequest, *, as_text: bool = False) -> Json:
    """Return the fields of the body if it is a form, its value if it is JSON, or else its text."""
    text = request.body.decode("utf-8", "replace")
    if as_text:
        return text
    if ("content-type", FORM) in request.headers:
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value
