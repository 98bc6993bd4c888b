"""A delivery made into a mail, by a destination's settings: pure, its templates compiled once."""

from collections.abc import Iterable
from typing import Final

from functions.notify.mail.addresses import Address, AddressFault, is_allowed, parse_address, without_doubles
from functions.notify.mail.attachments import AttachedFile
from functions.notify.mail.default_body import default_body
from functions.notify.mail.links import text_of, without_unsafe_links
from functions.notify.mail.mail import Attachment, Mail, subject_line
from functions.notify.mail.settings import Settings
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import Event
from shared.event_view import view_of
from shared.jsontext import JsonObject
from shared.templates import Template, is_template, one_line_template
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded

EMPTY: Final = " "
NO_SUBJECT: Final = "(no subject)"
"""SendGrid takes neither a body nor a subject without a character."""


class MailWriter:
    def __init__(self, settings: Settings) -> None:
        text, html = settings.text, settings.html
        self._to = [_Recipient("to", entry) for entry in settings.to]
        self._cc = [_Recipient("cc", entry) for entry in settings.cc]
        self._bcc = [_Recipient("bcc", entry) for entry in settings.bcc]
        self._reply_to = one_line_template("reply_to", settings.reply_to) if settings.reply_to else None
        self._subject = one_line_template("subject", settings.subject)
        self._text = Template("text", text) if text is not None else None
        self._html = Template("html", html, html=True) if html is not None else None
        self._attached = [AttachedFile(number, each) for number, each in enumerate(settings.attach)]
        self._separate = settings.is_separate
        self._allowed = tuple(settings.allow_recipients)

    def write(self, delivery: Delivery, event: Event, sender: Address, key: str) -> Mail:
        """`event` is the delivery's, whole.

        Raises Permanent: `header`, `rcpt`, `undefined`, `output`, `template` or `time`.
        """
        try:
            with bounded():
                return self._written(delivery, event, sender, key)
        except OutOfTime:
            reason = f"its templates compute for more than {MAX_COMPUTING_SECONDS:g} s with this event"
            raise Permanent("time", reason) from None

    def _written(self, delivery: Delivery, event: Event, sender: Address, key: str) -> Mail:
        view: JsonObject = {**view_of(event), "route": delivery.route, "destination": delivery.destination}
        to = self._addresses(self._to, view)
        if not to:
            raise Permanent("rcpt", "nobody is left to send to: every template in `to` gave nothing")
        cc = self._addresses(self._cc, view, beside=to)
        text, html, attachments = self._body(delivery, event, view)
        return Mail(
            key=key,
            sender=sender,
            to=to,
            cc=cc,
            bcc=self._addresses(self._bcc, view, beside=(*to, *cc)),
            reply_to=self._reply_address(view),
            subject=subject_line(self._subject.render(view)) or NO_SUBJECT,
            text=text,
            html=html,
            attachments=(*attachments, *(each.attachment(view) for each in self._attached)),
            separate=self._separate,
        )

    def _addresses(
        self, recipients: "list[_Recipient]", view: JsonObject, beside: Iterable[Address] = ()
    ) -> tuple[Address, ...]:
        found = (recipient.address(view, self._allowed) for recipient in recipients)
        return without_doubles((address for address in found if address is not None), beside)

    def _reply_address(self, view: JsonObject) -> Address | None:
        """What a sender fills in wrongly here costs nobody the mail."""
        if self._reply_to is None:
            return None
        try:
            return parse_address(self._reply_to.render(view))
        except AddressFault:
            return None

    def _body(
        self, delivery: Delivery, event: Event, view: JsonObject
    ) -> tuple[str | None, str | None, tuple[Attachment, ...]]:
        if self._text is None and self._html is None:
            body = default_body(delivery, event)
            return body.text, body.html, body.attachments
        html = without_unsafe_links(self._html.render(view)) if self._html else None
        text = self._text.render(view) if self._text else text_of(html or "")
        return text or EMPTY, html or (EMPTY if self._html else None), ()


class _Recipient:
    """An address, or a template that gives one."""

    def __init__(self, field: str, entry: str) -> None:
        self._field = field
        self._template = one_line_template(field, entry) if is_template(entry) else None
        self._fixed = None if self._template else parse_address(entry)

    def address(self, view: JsonObject, allowed: tuple[str, ...]) -> Address | None:
        """None where the template gives nothing. Raises Permanent (`rcpt`)."""
        if self._template is None:
            return self._fixed
        text = self._template.render(view)
        if not text.strip(" "):
            return None
        try:
            address = parse_address(text)
        except AddressFault as error:
            raise Permanent("rcpt", f"`{self._field}`: what its template gave {error}") from error
        if not is_allowed(address, allowed):
            rule = "its template gave an address that `allow_recipients` does not hold"
            raise Permanent("rcpt", f"`{self._field}`: {rule}")
        return address
