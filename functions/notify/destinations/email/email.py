"""The destination `email`: one mail for each delivery, or one for each person on a list.

`MailWriter` writes the mail as the destination's settings say, and a transport sends it (transports.py).
"""

import html
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final, TypedDict

from functions.notify import bounded_texts, destination
from functions.notify.destinations.email import default_mail, mail, transports
from functions.notify.destinations.email.mail import (
    Address,
    AddressFault,
    Attachment,
    Mail,
    MailBody,
    is_allowed,
    parse_address,
    subject_line,
    without_duplicates,
)
from shared import claim_check, did_you_mean, errors, event, jsontext
from shared.delivery import Delivery, Disabled, Outcome, RetryLater
from shared.event import Event, view_of
from shared.templating.template import Template, is_template, one_line_template

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

EMPTY: Final = " "
NO_SUBJECT: Final = "(no subject)"
"""What a mail has in place of an empty body and of an empty subject, because SendGrid rejects both."""
_UNBOUNDED: Final = nullcontext()

MAX_FILENAME_CHARACTERS: Final = 100
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


class AttachedFile:
    """One entry of `attach`: what it attaches to each mail. Its template is compiled once."""

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
            rule = did_you_mean.missing_path(self._content, view, "set it in a step, or correct the path")
            raise errors.Permanent("undefined_field", f"{self._name}.content: {rule}")
        return mail.Attachment(self._safe_filename(view), self._type, _content_bytes(value))

    def _safe_filename(self, view: jsontext.JsonObject) -> str:
        """Return the filename with the configured extension, whatever an event's values add before it."""
        stem = self._filename.render(view).removesuffix(self._extension)
        stem = _UNSAFE_CHARACTERS.sub("_", re.sub(event.UNFIT, "_", stem)).strip(" ._") or "attachment"
        return stem[: MAX_FILENAME_CHARACTERS - len(self._extension)] + self._extension


def _content_bytes(value: jsontext.Json) -> bytes:
    """Return the bytes that a step left as `{"base64": …}`, a text in UTF-8, or any other value as indented JSON."""
    if isinstance(value, dict) and isinstance(encoded := value.get("base64"), str):
        try:
            return jsontext.decode_base64(encoded)
        except ValueError:  # an object of the sender that happens to have this key
            pass
    text = value if isinstance(value, str) else default_mail.indented(value)
    return text.encode("utf-8", "replace")


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
        event = delivery.event
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self._context.blobs)
        mail = self._writer.write(delivery, event, self._sender, attempt.idempotency_key, attempt.person)
        remaining_seconds = attempt.timeout_seconds - (time.monotonic() - started_at)
        if remaining_seconds <= 0:
            rule = f"the attempt's {attempt.timeout_seconds:g} s were over before the mail was sent"
            raise errors.Temporary("mail_timeout", rule)
        return await transport.send(mail, attempt, remaining_seconds)

    def close(self) -> None:
        self._transports.close()


def connect(name: str, settings: MailSettings, context: destination.Context) -> EmailDestination:
    return EmailDestination(name, settings, context)


def sender_of(own: str | None, default: str | None, to: Sequence[str]) -> Address | Disabled:
    """Return the destination's `from`, else EMAIL_FROM, else the first address in `to`."""
    for text, where in ((own, "`from`"), (default, "EMAIL_FROM")):
        if text:
            try:
                return parse_address(text)
            except AddressFault as error:
                return Disabled(f"{where} {error}; correct it")
    fixed_addresses = [text for text in to if not is_template(text)]
    if not fixed_addresses:
        return Disabled("nobody to send from: set EMAIL_FROM, or the destination's `from`")
    return parse_address(fixed_addresses[0])


Recipients = tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]
"""To, Cc and Bcc."""


class MailWriter:
    """Writes the mails of a destination. What is the same for each mail is done once: templates, fixed addresses."""

    def __init__(self, settings: MailSettings) -> None:
        text = settings["text"]
        html = settings["html"]
        self._to = [_Recipient("to", entry) for entry in settings["to"]]
        self._cc = [_Recipient("cc", entry) for entry in settings["cc"]]
        self._bcc = [_Recipient("bcc", entry) for entry in settings["bcc"]]
        self._reply_to = one_line_template("reply_to", settings["reply_to"]) if settings["reply_to"] else None
        self._subject = one_line_template("subject", settings["subject"])
        self._text = Template("text", text) if text is not None else None
        self._html = Template("html", html, html=True) if html is not None else None
        self._attached = [AttachedFile(number, entry) for number, entry in enumerate(settings["attach"])]
        self._separate = settings["separate"]
        self._allowed = tuple(settings["allow_recipients"])
        is_fixed = bool(settings["to"]) and not any(
            map(is_template, (*settings["to"], *settings["cc"], *settings["bcc"]))
        )
        self._fixed_recipients = self._recipients({}) if is_fixed else None
        # A mail for which nothing is computed needs no bound of its time, which would cost more than the mail.
        computes = not is_fixed or self._reply_to or self._text or self._html or self._attached
        self._is_bounded = bool(computes) or not self._subject.is_plain

    def write(
        self, delivery: Delivery, event: Event, sender: Address, key: str, person: "Person | None" = None
    ) -> Mail:
        """Return the mail for the delivery. `event` is its event with the whole body.

        `person` is the recipient if the destination's `to` names a person; None if it names addresses.

        Raises Permanent: `recipient_not_allowed`, `undefined_field`, `output_too_large`,
        `template_failed` or `invalid_time`.
        """
        view = view_of(event)
        view["route"] = delivery.route
        view["destination"] = delivery.destination
        view["count"] = delivery.merged or 1
        if person is not None:
            view["person"] = person.view
        with bounded_texts.bounded_templates() if self._is_bounded else _UNBOUNDED:
            to, cc, bcc = self._fixed_recipients or self._recipients(view, person)
            digest: tuple[str, MailBody] | None = None
            if delivery.merged:
                # Imported here, because few mails are digests.
                from functions.notify.destinations.email.digest_mail import digest_mail

                digest = digest_mail(delivery, person.timezone if person else None)
            reply_to: Address | None = None
            attached: list[Attachment] = []
            if digest is not None:  # the templates are about one event
                subject, body = digest
            else:
                body = self._own_body(view) if self._text or self._html else default_mail.default_body(delivery, event)
                subject = self._subject.render(view)
                attached = [file.attachment(view) for file in self._attached]
                reply_to = self._reply_address(view) if self._reply_to else None
            return Mail(
                key=key,
                sender=sender,
                to=to,
                cc=cc,
                bcc=bcc,
                reply_to=reply_to,
                subject=subject_line(subject) or NO_SUBJECT,
                text=body.text,
                html=body.html,
                attachments=(*body.attachments, *attached),
                separate=self._separate,
            )

    def _recipients(self, view: jsontext.JsonObject, person: "Person | None" = None) -> Recipients:
        """Return the recipients, each once. Raises Permanent (`recipient_not_allowed`)."""
        to = (parse_address(person.email),) if person and person.email else self._addresses(self._to, view)
        if not to:
            rule = "nobody is left to send to: every template in `to` gave nothing"
            raise errors.Permanent("recipient_not_allowed", rule)
        cc = self._addresses(self._cc, view, beside=to)
        return to, cc, self._addresses(self._bcc, view, beside=(*to, *cc))

    def _addresses(
        self, recipients: "list[_Recipient]", view: jsontext.JsonObject, beside: Iterable[Address] = ()
    ) -> tuple[Address, ...]:
        addresses = (recipient.address(view, self._allowed) for recipient in recipients)
        return without_duplicates((address for address in addresses if address is not None), beside)

    def _reply_address(self, view: jsontext.JsonObject) -> Address | None:
        """Return the address in `reply_to`; None if its template gives none. Raises Permanent as a template does."""
        assert self._reply_to is not None
        try:
            return parse_address(self._reply_to.render(view))
        except AddressFault:  # a sender's wrong reply address must not prevent the mail
            return None

    def _own_body(self, view: jsontext.JsonObject) -> MailBody:
        """Return the body by the operator's templates. Without `text`, its text is that of the HTML."""
        document = without_unsafe_links(self._html.render(view)) if self._html else None
        text = self._text.render(view) if self._text else text_of(document or "")
        return MailBody(text or EMPTY, document or (EMPTY if self._html else None))


class _Recipient:
    """An address, or a template that gives one."""

    def __init__(self, field: str, entry: str) -> None:
        self._field = field
        self._template = one_line_template(field, entry) if is_template(entry) else None
        self._fixed = None if self._template else parse_address(entry)

    def address(self, view: jsontext.JsonObject, allowed: tuple[str, ...]) -> Address | None:
        """Return the address; None if the template is empty. Raises Permanent (`recipient_not_allowed`)."""
        if self._template is None:
            return self._fixed
        text = self._template.render(view)
        if not text.strip(" "):
            return None
        try:
            address = parse_address(text)
        except AddressFault as error:
            raise errors.Permanent(
                "recipient_not_allowed", f"`{self._field}`: what its template gave {error}"
            ) from error
        if not is_allowed(address, allowed):
            rule = "its template gave an address that `allow_recipients` does not hold"
            raise errors.Permanent("recipient_not_allowed", f"`{self._field}`: {rule}")
        return address


# HTML in a mail: links that a sender wrote, and the text of a document for readers of plain text. Of links, only those
# stay that a mail program opens without running anything.

_LINK_ATTRIBUTES: Final = "href|src|srcset|action|formaction|background|poster|cite|data|xlink:href"
_ATTRIBUTE: Final = re.compile(
    rf"""(?<=[\s"'/])(?:{_LINK_ATTRIBUTES})\s{{0,20}}=\s{{0,20}}(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'>]+))""",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_IGNORED_CHARACTERS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]")
"""What mail programs skip when they read a URL."""
_SAFE_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel", "cid"})
_SAFE_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,", re.IGNORECASE)


def without_unsafe_links(document: str) -> str:
    """Remove attributes that lead to `javascript:`, `data:` and the like; pictures in `data:` stay."""
    return _ATTRIBUTE.sub(lambda found: found[0] if _is_safe(found) else "", document)


def _is_safe(attribute: re.Match[str]) -> bool:
    value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
    target = _IGNORED_CHARACTERS.sub("", html.unescape(value))
    scheme = _SCHEME.match(target)
    return scheme is None or scheme[1].lower() in _SAFE_SCHEMES or _SAFE_IMAGE.match(target) is not None


class _TextParser(HTMLParser):
    """Collects the visible text of a document. `pieces` are parts of it; a line break is a piece of its own."""

    BREAKS: Final = frozenset({"p", "br", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol", "hr"})
    SILENT: Final = frozenset({"style", "script", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0  # how many elements without visible text are open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self.SILENT
        if tag in self.BREAKS:
            self.pieces.append("\n")
        elif tag in {"td", "th"}:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self.SILENT))
        if tag in self.BREAKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(re.sub(r"\s+", " ", data))


def text_of(document: str) -> str:
    """Return the text of an HTML document, for readers of plain text."""
    parser = _TextParser()
    parser.feed(document)
    parser.close()
    lines = [" ".join(line.split()) for line in "".join(parser.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() or " "
