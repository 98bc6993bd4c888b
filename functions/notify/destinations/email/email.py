"""The destination `email`: one mail for each delivery, or one for each person on a list.

`MailWriter` makes the mail by the destination's settings, and a transport sends it (`MailTransports`). Of
links in HTML that holds a sender's words, only those stay that a mail program opens without running anything.
"""

import html
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypedDict

from functions.notify.bounded_texts import bounded_templates
from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import outcome_of_fault
from functions.notify.destinations.email import sendgrid
from functions.notify.destinations.email.default_mail import default_body, indented
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
from shared import claim_check, secrets
from shared.base64_text import decode_base64
from shared.delivery import Delivery, Disabled, Outcome, RetryLater
from shared.did_you_mean import missing_path
from shared.errors import Permanent, Temporary
from shared.event import UNFIT, Event, view_of
from shared.jsontext import Json, JsonObject
from shared.templating.template import Template, is_template, one_line_template

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person

API_KEY: Final = "sendgrid-api-key"
ASK_AGAIN_SECONDS: Final = 60.0
"""Where another transport is there, a missing API key is looked for again after this time."""
_NO_TRANSPORT: Final = (Disabled, RetryLater)
EMPTY: Final = " "
NO_SUBJECT: Final = "(no subject)"
"""SendGrid rejects an empty body and an empty subject."""

MAX_FILENAME_CHARACTERS: Final = 100
DEFAULT_TYPE: Final = "application/octet-stream"

_UNBOUNDED: Final = nullcontext()
_LINKING: Final = "href|src|srcset|action|formaction|background|poster|cite|data|xlink:href"
_ATTRIBUTE: Final = re.compile(
    rf"""(?<=[\s"'/])(?:{_LINKING})\s{{0,20}}=\s{{0,20}}(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'>]+))""",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_IGNORED: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]")
_SAFE: Final = frozenset({"http", "https", "mailto", "tel", "cid"})
_SAFE_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,", re.IGNORECASE)
# Path separators, what Windows rejects in a name, and characters that change the direction of the text around them.
_UNSAFE: Final = re.compile(r"[/\\:*?\"<>|\u202a-\u202e\u2066-\u2069]")
_TYPES: Final = {
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

Via = Literal["auto", "sendgrid", "smtp", "ses"]


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
        "via": Via,
        "separate": bool,
        "attach": list[AttachmentEntry],
        "allow_recipients": list[str],
    },
)
"""A destination's settings, as the slice holds them: see settings.py, which validated them."""


class EmailDestination:
    """The destination. Mail services and mailboxes do not recognise a repeat: each attempt may be another mail."""

    dedupes_repeats = False

    def __init__(self, name: str, settings: MailSettings, context: Context) -> None:
        self._context = context
        self._sender = sender_of(settings["from"], context.settings.email_from, settings["to"])
        self._writer = MailWriter(settings)
        self._transports = MailTransports(name, settings["via"], context)

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        began = time.monotonic()
        if isinstance(self._sender, Disabled):
            return self._sender
        transport = await self._transports.choose()
        if isinstance(transport, _NO_TRANSPORT):
            return transport
        event = delivery.event
        if event.dataref is not None:
            event = await claim_check.checked_out(event, self._context.blobs)
        mail = self._writer.write(delivery, event, self._sender, attempt.idempotency_key, attempt.person)
        left = attempt.timeout_seconds - (time.monotonic() - began)
        if left <= 0:
            raise Temporary(
                "mail_timeout", f"the attempt's {attempt.timeout_seconds:g} s were over before the mail was sent"
            )
        return await transport.send(mail, attempt, left)

    def close(self) -> None:
        self._transports.close()


def connect(name: str, settings: MailSettings, context: Context) -> EmailDestination:
    return EmailDestination(name, settings, context)


def sender_of(own: str | None, default: str | None, to: Sequence[str]) -> Address | Disabled:
    """Return the destination's `from`, else EMAIL_FROM, else the first address in `to`."""
    for text, where in ((own, "`from`"), (default, "EMAIL_FROM")):
        if text:
            try:
                return parse_address(text)
            except AddressFault as error:
                return Disabled(f"{where} {error}; correct it")
    plain = [text for text in to if not is_template(text)]
    if not plain:
        return Disabled("nobody to send from: set EMAIL_FROM, or the destination's `from`")
    return parse_address(plain[0])


class MailTransport(Protocol):
    async def send(self, mail: Mail, attempt: Attempt, timeout_seconds: float) -> Outcome:
        """Raises Temporary as a destination does. `timeout_seconds` is the rest of the attempt's time."""


class MailTransports:
    """The choice of a transport: SendGrid if its API key exists, else SMTP, else SES on AWS.

    The first mail opens the connection.
    """

    def __init__(self, destination: str, via: Via, context: Context) -> None:
        self._destination = destination
        self._via = via
        self._context = context
        self._sendgrid = sendgrid.SendGridTransport(destination, context.settings.sendgrid_url, context.clock)
        self._smtp = self._smtp_transport(context.settings.smtp_url)
        self._no_key_until = 0.0

    async def choose(self) -> MailTransport | Disabled | RetryLater:
        """Raises Temporary where a secret cannot be read."""
        # An emulated SendGrid, whose URL is plain HTTP, catches the mail of all transports.
        is_caught = self._context.settings.sendgrid_url.startswith("http:")
        if self._via == "smtp" and not (is_caught and self._smtp is None):
            return self._smtp or self._disabled("set SMTP_URL, such as smtp://user@host:587")
        if self._via == "ses" and not (is_caught and self._ses is None):
            return self._ses or self._disabled("only a deployment on AWS has SES; take `via: ses` out, or deploy there")
        now = self._context.clock.now()
        if self._via == "auto" and now < self._no_key_until and (other := self._smtp or self._ses):
            return other
        try:
            api_key = (await self._context.secrets.values(API_KEY))[0]
        except (secrets.SecretMissing, secrets.SecretDenied) as error:
            self._no_key_until = now + ASK_AGAIN_SECONDS
            if self._via == "auto" and (other := self._smtp or self._ses):
                return other
            if isinstance(error, secrets.SecretDenied):
                return outcome_of_fault(error)
            key = f"put a SendGrid API key in the secret {API_KEY}"
            return self._disabled(key if self._via == "sendgrid" else f"{key}, or set SMTP_URL (smtp://user@host:587)")
        if api_key != self._sendgrid.api_key:
            self._sendgrid.use_key(api_key)
        return self._sendgrid

    def close(self) -> None:
        self._sendgrid.close()

    @cached_property
    def _ses(self) -> MailTransport | None:
        if self._context.ses is None:
            return None
        from functions.notify.destinations.email.ses import SesTransport

        return SesTransport(self._destination, self._context.ses, self._context.blobs)

    def _smtp_transport(self, url: str | None) -> MailTransport | Disabled | None:
        if not url:
            return None
        from functions.notify.destinations.email.smtp import SmtpTransport
        from functions.notify.destinations.email.smtp_server import SmtpUrlFault, parse_smtp_url

        try:
            return SmtpTransport(self._destination, parse_smtp_url(url), self._context)
        except SmtpUrlFault as fault:
            return Disabled(f"SMTP_URL {fault}; then run `hookchain resume {self._destination}`")

    def _disabled(self, advice: str) -> Disabled:
        return Disabled(f"nothing to send mail with: {advice}; then run `hookchain resume {self._destination}`")


Recipients = tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]
"""To, Cc and Bcc."""


class MailWriter:
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
        self._attached = [AttachedFile(number, each) for number, each in enumerate(settings["attach"])]
        self._separate = settings["separate"]
        self._allowed = tuple(settings["allow_recipients"])
        is_fixed = bool(settings["to"]) and not any(
            map(is_template, (*settings["to"], *settings["cc"], *settings["bcc"]))
        )
        self._fixed_recipients = self._recipients({}) if is_fixed else None
        computes = not is_fixed or self._reply_to or self._text or self._html or self._attached
        self._is_bounded = bool(computes) or not self._subject.is_plain

    def write(
        self, delivery: Delivery, event: Event, sender: Address, key: str, person: "Person | None" = None
    ) -> Mail:
        """Return the mail. `event` is the delivery's, whole; the mail is for `person` where the destination's `to` is.

        Raises Permanent: `recipient_not_allowed`, `undefined_field`, `output_too_large`,
        `template_failed` or `invalid_time`.
        """
        view = view_of(event)
        view["route"] = delivery.route
        view["destination"] = delivery.destination
        view["count"] = delivery.merged or 1
        if person is not None:
            view["person"] = person.view
        with bounded_templates() if self._is_bounded else _UNBOUNDED:
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
                body = self._own_body(view) if self._text or self._html else default_body(delivery, event)
                subject = self._subject.render(view)
                attached = [each.attachment(view) for each in self._attached]
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

    def _recipients(self, view: JsonObject, person: "Person | None" = None) -> Recipients:
        to = (parse_address(person.email),) if person and person.email else self._addresses(self._to, view)
        if not to:
            rule = "nobody is left to send to: every template in `to` gave nothing"
            raise Permanent("recipient_not_allowed", rule)
        cc = self._addresses(self._cc, view, beside=to)
        return to, cc, self._addresses(self._bcc, view, beside=(*to, *cc))

    def _addresses(
        self, recipients: "list[_Recipient]", view: JsonObject, beside: Iterable[Address] = ()
    ) -> tuple[Address, ...]:
        addresses = (recipient.address(view, self._allowed) for recipient in recipients)
        return without_duplicates((address for address in addresses if address is not None), beside)

    def _reply_address(self, view: JsonObject) -> Address | None:
        assert self._reply_to is not None
        try:
            return parse_address(self._reply_to.render(view))
        except AddressFault:  # a sender's wrong reply address must not prevent the mail
            return None

    def _own_body(self, view: JsonObject) -> MailBody:
        html = without_unsafe_links(self._html.render(view)) if self._html else None
        text = self._text.render(view) if self._text else text_of(html or "")
        return MailBody(text or EMPTY, html or (EMPTY if self._html else None))


class _Recipient:
    """An address, or a template that gives one."""

    def __init__(self, field: str, entry: str) -> None:
        self._field = field
        self._template = one_line_template(field, entry) if is_template(entry) else None
        self._fixed = None if self._template else parse_address(entry)

    def address(self, view: JsonObject, allowed: tuple[str, ...]) -> Address | None:
        """Return the address; None if the template is empty. Raises Permanent (`recipient_not_allowed`)."""
        if self._template is None:
            return self._fixed
        text = self._template.render(view)
        if not text.strip(" "):
            return None
        try:
            address = parse_address(text)
        except AddressFault as error:
            raise Permanent("recipient_not_allowed", f"`{self._field}`: what its template gave {error}") from error
        if not is_allowed(address, allowed):
            rule = "its template gave an address that `allow_recipients` does not hold"
            raise Permanent("recipient_not_allowed", f"`{self._field}`: {rule}")
        return address


class AttachedFile:
    """One entry of `attach`, its template compiled once."""

    def __init__(self, number: int, entry: AttachmentEntry) -> None:
        self._name = f"attach[{number}]"
        self._filename: Template = one_line_template(f"{self._name}.filename", entry["filename"])
        self._extension = entry["filename"][entry["filename"].rfind(".") :]
        self._content = entry["content"]
        self._type = entry["type"] or _TYPES.get(self._extension.lower(), DEFAULT_TYPE)

    def attachment(self, view: JsonObject) -> Attachment:
        """Raises Permanent: `undefined_field` for a value that the event lacks, or as Template.render does."""
        value: Json = view
        for part in self._content.split("."):
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            rule = missing_path(self._content, view, "set it in a step, or correct the path")
            raise Permanent("undefined_field", f"{self._name}.content: {rule}")
        return Attachment(self._safe_filename(view), self._type, _content_bytes(value))

    def _safe_filename(self, view: JsonObject) -> str:
        stem = self._filename.render(view).removesuffix(self._extension)
        stem = _UNSAFE.sub("_", re.sub(UNFIT, "_", stem)).strip(" ._") or "attachment"
        return stem[: MAX_FILENAME_CHARACTERS - len(self._extension)] + self._extension


def _content_bytes(value: Json) -> bytes:
    if isinstance(value, dict) and isinstance(encoded := value.get("base64"), str):
        try:
            return decode_base64(encoded)
        except ValueError:  # an object of the sender that happens to have this key
            pass
    text = value if isinstance(value, str) else indented(value)
    return text.encode("utf-8", "replace")


def without_unsafe_links(document: str) -> str:
    """Remove attributes that lead to `javascript:`, `data:` and the like; pictures in `data:` stay."""
    return _ATTRIBUTE.sub(lambda found: found[0] if _is_safe(found) else "", document)


def _is_safe(attribute: re.Match[str]) -> bool:
    target = _IGNORED.sub("", html.unescape(attribute["double"] or attribute["single"] or attribute["bare"] or ""))
    scheme = _SCHEME.match(target)
    return scheme is None or scheme[1].lower() in _SAFE or _SAFE_IMAGE.match(target) is not None


class _Text(HTMLParser):
    BREAKS: Final = frozenset({"p", "br", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol", "hr"})
    SILENT: Final = frozenset({"style", "script", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0

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
    parser = _Text()
    parser.feed(document)
    parser.close()
    lines = [" ".join(line.split()) for line in "".join(parser.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() or " "
