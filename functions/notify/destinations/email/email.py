"""The destination `email`: one mail for each delivery, or one for each person on a list.

`MailWriter` writes the mail as the destination's settings say, and a transport sends it (transports.py). The settings
come from the slice as JSON, which settings.py validated. What is the same for each mail is compiled once: templates,
fixed addresses (`_Entry`) and attachments (`_AttachedFile`).

Of a digest, the settings decide the recipients alone: its subject and its body are those of digest_mail.py, and it has
no attachments and no `reply_to`, because these settings can be templates about one event.
"""

import re
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from functions.notify import bounded_texts, destination, http_kind
from functions.notify.destinations.email import default_mail, mail, mail_html, transports
from shared import claim_check, errors, jsontext, missing_paths
from shared.delivery import Delivery, Disabled, Outcome, RetryLater
from shared.event import UNFIT
from shared.templating.template import Template, is_template, one_line_template

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

EMPTY_BODY: Final = " "
NO_SUBJECT: Final = "(no subject)"
"""What a mail has in place of an empty body and of an empty subject, because SendGrid rejects both."""

MAX_FILENAME_CHARACTERS: Final = 100
MAX_FILENAME_BYTES: Final = 240
"""In UTF-8. A byte takes up to three characters in the header of a mail, whose lines have at most 998."""
DEFAULT_TYPE: Final = "application/octet-stream"

# Path separators, what Windows rejects in a name, and characters that change the direction of the text around them.
_UNSAFE_CHARACTERS: Final = re.compile(r"[/\\:*?\"<>|\u202a-\u202e\u2066-\u2069]")
_TYPE_OF_EXTENSION: Final = {
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".ics": "text/calendar",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".plist": "application/x-plist",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


class AttachmentEntry(TypedDict):
    """An entry of `attach`, as the slice holds it: AttachmentSettings in settings.py validated it."""

    filename: str
    content: str
    type: str | None


MailSettings = TypedDict(  # a class could not have the key `from`
    "MailSettings",
    {
        "to": list[str],
        "cc": list[str],
        "bcc": list[str],
        "reply_to": str | None,
        "from": str | None,
        "subject": str,
        "text": str | None,
        "html": str | None,
        "via": transports.Via,
        "separate": bool,
        "attach": list[AttachmentEntry],
        "allow_recipients": list[str],
    },
)
"""A destination's settings, as the slice holds them: see settings.py, which validated them."""


class EmailDestination:
    """The destination. Mail services and mailboxes do not recognise a repeat: each attempt may be another mail."""

    dedupes_repeats = False

    def __init__(self, name: str, settings: MailSettings, context: destination.Context) -> None:
        self._context = context
        self._sender = sender_of(settings["from"], context.settings.email_from, settings["to"])
        self._writer = MailWriter(settings)
        self._transports = transports.MailTransports(name, settings["via"], context)

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Send the mail of the delivery. As `Destination.attempt`."""
        started_at = time.monotonic()
        if isinstance(self._sender, Disabled):
            return self._sender
        transport = await self._transports.choose()
        if isinstance(transport, (Disabled, RetryLater)):
            return transport
        if delivery.event.dataref is not None:
            event = await claim_check.checked_out(delivery.event, self._context.blobs)
            delivery = replace(delivery, event=event)
        mail_to_send = self._writer.write(delivery, self._sender, attempt.idempotency_key, attempt.person)
        remaining_seconds = attempt.timeout_seconds - (time.monotonic() - started_at)
        if remaining_seconds <= 0:
            rule = f"the attempt's {attempt.timeout_seconds:g} s were over before the mail was sent"
            raise errors.Temporary("mail_timeout", rule)
        return await transport.send(mail_to_send, attempt, remaining_seconds)

    def close(self) -> None:
        self._transports.close()


def connect(name: str, settings: MailSettings, context: destination.Context) -> EmailDestination:
    return EmailDestination(name, settings, context)


def sender_of(own: str | None, default: str | None, to: Sequence[str]) -> mail.Address | Disabled:
    """Return the destination's `from`, else EMAIL_FROM, else the first address in `to`.

    An address in `to` is valid: the compiler validated it.
    """
    for text, where in ((own, "`from`"), (default, "EMAIL_FROM")):
        if text:
            try:
                return mail.parse_address(text)
            except mail.AddressFault as error:
                return Disabled(f"{where} {error}; correct it")
    fixed_addresses = [text for text in to if not is_template(text)]
    if not fixed_addresses:
        return Disabled("nobody to send from: set EMAIL_FROM, or the destination's `from`")
    return mail.parse_address(fixed_addresses[0])


class Recipients(NamedTuple):
    """The addresses of a mail, of which no address is in two fields."""

    to: tuple[mail.Address, ...]
    cc: tuple[mail.Address, ...]
    bcc: tuple[mail.Address, ...]


class MailWriter:
    """Writes the mails of a destination. What its settings hold is compiled once."""

    def __init__(self, settings: MailSettings) -> None:
        self._to = [_Entry("to", entry) for entry in settings["to"]]
        self._cc = [_Entry("cc", entry) for entry in settings["cc"]]
        self._bcc = [_Entry("bcc", entry) for entry in settings["bcc"]]
        self._allowed = tuple(settings["allow_recipients"])
        self._separate = settings["separate"]
        self._subject = one_line_template("subject", settings["subject"])
        self._reply_to = one_line_template("reply_to", settings["reply_to"]) if settings["reply_to"] else None
        self._text = None if settings["text"] is None else Template("text", settings["text"])
        self._html = None if settings["html"] is None else Template("html", settings["html"], html=True)
        self._attached = [_AttachedFile(number, entry) for number, entry in enumerate(settings["attach"])]

        self._fixed_recipients: Recipients | None = None
        has_templates = any(map(is_template, (*settings["to"], *settings["cc"], *settings["bcc"])))
        if self._to and not has_templates:
            self._fixed_recipients = self._recipients(view={})
        # A mail for which nothing is computed needs no bound of its time, which would cost more than the mail.
        is_computed = any([self._reply_to, self._text, self._html, self._attached, not self._subject.is_plain])
        self._is_bounded = is_computed or self._fixed_recipients is None

    def write(self, delivery: Delivery, sender: mail.Address, key: str, person: "Person | None" = None) -> mail.Mail:
        """Return the mail for the delivery, whose event has the whole body.

        `person` is the recipient if the destination's `to` names a person; None if it names addresses.

        Raises Permanent: `recipient_not_allowed`, `undefined_field`, `output_too_large`,
        `template_failed` or `invalid_time`.
        """
        view = http_kind.template_view(delivery, person)
        with bounded_texts.bounded_templates() if self._is_bounded else nullcontext():
            recipients = self._fixed_recipients or self._recipients(view, person)
            reply_to: mail.Address | None = None
            attached: list[mail.Attachment] = []
            digest = _digest(delivery, person) if delivery.merged else None
            if digest is not None:
                subject, body = digest
            else:
                body = self._own_body(view) if self._text or self._html else default_mail.default_body(delivery)
                subject = self._subject.render(view)
                attached = [file.attachment(view) for file in self._attached]
                reply_to = self._reply_address(view) if self._reply_to else None
            return mail.Mail(
                key=key,
                sender=sender,
                to=recipients.to,
                cc=recipients.cc,
                bcc=recipients.bcc,
                reply_to=reply_to,
                subject=mail.subject_line(subject) or NO_SUBJECT,
                text=body.text,
                html=body.html,
                attachments=(*body.attachments, *attached),
                separate=self._separate,
            )

    def _recipients(self, view: jsontext.JsonObject, person: "Person | None" = None) -> Recipients:
        """Return the recipients, each once. Raises Permanent (`recipient_not_allowed`)."""
        to = (mail.parse_address(person.email),) if person and person.email else self._addresses(self._to, view)
        if not to:
            rule = "nobody is left to send to: every template in `to` gave nothing"
            raise errors.Permanent("recipient_not_allowed", rule)
        cc = self._addresses(self._cc, view, beside=to)
        return Recipients(to, cc, self._addresses(self._bcc, view, beside=(*to, *cc)))

    def _addresses(
        self, entries: "list[_Entry]", view: jsontext.JsonObject, beside: Iterable[mail.Address] = ()
    ) -> tuple[mail.Address, ...]:
        """Return the addresses of the entries, without those that are in another field, `beside`."""
        addresses = (entry.address(view, self._allowed) for entry in entries)
        return mail.without_duplicates((address for address in addresses if address is not None), beside)

    def _reply_address(self, view: jsontext.JsonObject) -> mail.Address | None:
        """Return the address in `reply_to`; None if its template gives none. Raises Permanent as a template does."""
        assert self._reply_to is not None
        try:
            return mail.parse_address(self._reply_to.render(view))
        except mail.AddressFault:  # a sender's wrong reply address must not prevent the mail
            return None

    def _own_body(self, view: jsontext.JsonObject) -> mail.MailBody:
        """Return the body by the operator's templates. Without `text`, its text is that of the HTML."""
        document = mail_html.without_unsafe_links(self._html.render(view)) if self._html else None
        text = self._text.render(view) if self._text else mail_html.text_of(document or "")
        return mail.MailBody(text or EMPTY_BODY, document or (EMPTY_BODY if self._html else None))


def _digest(delivery: Delivery, person: "Person | None") -> tuple[str, mail.MailBody] | None:
    """Return the subject and the body of a digest; None if the events were combined into one event of another kind."""
    # Imported here, because few mails are digests.
    from functions.notify.destinations.email.digest_mail import digest_mail

    return digest_mail(delivery, person.timezone if person else None)


class _Entry:
    """An entry of `to`, `cc` or `bcc`: an address, or a template that gives one."""

    def __init__(self, field: str, entry: str) -> None:
        self._field = field
        self._template = one_line_template(field, entry) if is_template(entry) else None
        self._fixed_address = None if self._template else mail.parse_address(entry)

    def address(self, view: jsontext.JsonObject, allowed: tuple[str, ...]) -> mail.Address | None:
        """Return the address; None if the template is empty. Raises Permanent (`recipient_not_allowed`)."""
        if self._template is None:
            return self._fixed_address
        text = self._template.render(view)
        if not text.strip(" "):
            return None
        try:
            address = mail.parse_address(text)
        except mail.AddressFault as error:
            raise errors.Permanent(
                "recipient_not_allowed", f"`{self._field}`: what its template gave {error}"
            ) from error
        if not mail.is_allowed(address, allowed):
            rule = "its template gave an address that `allow_recipients` does not hold"
            raise errors.Permanent("recipient_not_allowed", f"`{self._field}`: {rule}")
        return address


class _AttachedFile:
    """An entry of `attach`: a file whose content is a value of the event. `number` is its place in the list."""

    def __init__(self, number: int, entry: AttachmentEntry) -> None:
        self._name = f"attach[{number}]"
        self._filename: Template = one_line_template(f"{self._name}.filename", entry["filename"])
        self._extension = entry["filename"][entry["filename"].rfind(".") :]
        self._content = entry["content"]
        self._type = entry["type"] or _TYPE_OF_EXTENSION.get(self._extension.lower(), DEFAULT_TYPE)

    def attachment(self, view: jsontext.JsonObject) -> mail.Attachment:
        """Return the file of an event. Raises Permanent.

        The code is `undefined_field` if the event has no value at the path, or that of Template.render.
        """
        value: jsontext.Json = view
        for name in self._content.split("."):
            if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            rule = missing_paths.missing_path_message(self._content, view, "set it in a step, or correct the path")
            raise errors.Permanent("undefined_field", f"{self._name}.content: {rule}")
        return mail.Attachment(self._safe_filename(view), self._type, _content_bytes(value))

    def _safe_filename(self, view: jsontext.JsonObject) -> str:
        """Return the filename with the configured extension, whatever an event's values add before it."""
        stem = self._filename.render(view).removesuffix(self._extension)
        stem = _UNSAFE_CHARACTERS.sub("_", re.sub(UNFIT, "_", stem)).strip(" ._") or "attachment"
        stem = stem[: MAX_FILENAME_CHARACTERS - len(self._extension)]
        stem = stem.encode("utf-8", "replace")[: MAX_FILENAME_BYTES - len(self._extension.encode())].decode(
            "utf-8", "ignore"
        )
        return stem + self._extension


def _content_bytes(value: jsontext.Json) -> bytes:
    """Return the bytes that a step left as `{"base64": …}`, a text in UTF-8, or any other value as indented JSON."""
    if isinstance(value, dict) and isinstance(encoded := value.get("base64"), str):
        try:
            return jsontext.decode_base64(encoded)
        except ValueError:  # an object of the sender that happens to have this key
            pass
    text = value if isinstance(value, str) else default_mail.indented(value)
    return text.encode("utf-8", "replace")
