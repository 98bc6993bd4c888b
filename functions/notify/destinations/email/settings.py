"""The settings of the destination `email`, validated when a configuration is compiled.

notify reads them from its slice as JSON (`MailSettings` in email.py) and does not import this module: pydantic and
these two models would take a fifth of its start, 70 ms of 350 ms CPU.
"""

import re
from functools import partial
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, field_serializer, model_validator

from functions.notify.destinations.email.mail import AddressFault, allowed_recipient, parse_address
from functions.notify.kind_settings import KindSettings, LineTemplate, TextTemplate, checked_by
from functions.notify.recipients import to_person
from shared.config.rules import listed
from shared.jsontext import JsonObject
from shared.templating.template import Template, is_template, one_line_template

MAX_TOGETHER: Final = 50
MAX_SEPARATE: Final = 1_000
MAX_ATTACHMENTS: Final = 10
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,10}")


def _entry(text: str) -> str:
    """Return an entry of `to`, `cc` or `bcc`: an address, a template of one, or the path of a person in the event.

    A path may only stand alone in `to`, which `_recipients_fit` verifies. Raises ValueError with the reason that fits
    what the text looks like: an address, or a path.
    """
    if is_template(text):
        one_line_template("to", text)
    elif not _is_address(text):
        if not to_person.is_person_path(text):
            parse_address(text)  # raises AddressFault
        _verify_path(text)
    return text


def _verify_path(text: str) -> None:
    """Raise ValueError if the path is not valid. Unless it begins with `data.`, it may be an address without its @."""
    try:
        to_person.person_path(text)
    except ValueError as error:
        if text.startswith("data."):
            raise
        raise ValueError(f"must be a mail address, which has an @, or an expression: {error}") from None


def _is_address(entry: object) -> bool:
    try:
        return isinstance(entry, str) and bool(parse_address(entry))
    except AddressFault:
        return False


Entries = Annotated[list[Annotated[str, AfterValidator(_entry)]], BeforeValidator(listed)]
Allowed = Annotated[str, AfterValidator(allowed_recipient)]
EntriesOfTo = Annotated[Entries, Field(min_length=1, max_length=MAX_SEPARATE)]

# `{person: NAME}`, or a text or a list. By the tags, pydantic reports the faults of the form that was written, and not
# those of both.
To = Annotated[
    Annotated[EntriesOfTo, to_person.A_TEXT] | Annotated[to_person.NamedPerson, to_person.A_PERSON],
    Discriminator(to_person.tag_of),
]


def _filename(text: str) -> str:
    one_line_template("filename", text)
    if not _EXTENSION.fullmatch(text[text.rfind(".") :]):
        raise ValueError("must end with an extension that is written out, such as `.xml`: an event must not choose it")
    return text


class AttachmentSettings(KindSettings):
    """A file attached to the mail.

    filename   a template; it ends with an extension that is written out, such as `order-{{ data.number }}.xml`
    content    the path of the value: `data` or `data.path.to.field`. Text is attached as UTF-8, bytes (as `convert`,
               `encode` and `encrypt` leave them) as they are, any other value as JSON
    type       the media type; default: by the filename's extension
    """

    filename: Annotated[str, Field(min_length=1), AfterValidator(_filename)]
    content: str = Field(default="data", pattern=r"^data(\.[^.\s]+)*$", examples=["data", "data.document"])
    type: str | None = Field(default=None, pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")


class Settings(KindSettings):
    """Mail to people, through SendGrid, an SMTP server or Amazon SES.

    to                 addresses, names of lists, or alone: a person in `people`, as `actor`, an expression such as
                       data.assignee.login, or `{person: NAME}`
    subject            a template over the event: `{{ data.name }}`, `{{ type }}`, `{{ source }}`, `{{ actor }}` …
    text, html         templates; without either, the mail shows every field and the body as received
    separate           each of `to` gets a mail of its own and sees no other; else all are in one. Left out: separate
                       where `to` has more than one and there is no `cc` nor `bcc`
    reply_to           may be a template; left out of the mail where it gives no address
    attach             files made of the event's values, each with a `filename` of yours
    allow_recipients   addresses and domains that a template in `to`, `cc` or `bcc` may give, and `actor` or an
                       expression where nobody in `people` is meant; without it none may be one
    """

    digests: ClassVar[bool] = True
    person_address: ClassVar[str] = "email"
    example: ClassVar[JsonObject] = {"to": ["list@example.com"], "subject": "New signup: {{ data.name }}"}

    to: To
    cc: Entries = Field(default_factory=list)
    bcc: Entries = Field(default_factory=list)
    reply_to: LineTemplate | None = None
    from_: Annotated[str, checked_by(parse_address)] | None = Field(default=None, alias="from")
    subject: LineTemplate = "{{ type }} from {{ source }}"
    text: TextTemplate | None = None
    html: Annotated[str, checked_by(partial(Template, "html", html=True))] | None = None
    via: Literal["auto", "sendgrid", "smtp", "ses"] = "auto"
    separate: bool | None = None
    attach: Annotated[list[AttachmentSettings], Field(max_length=MAX_ATTACHMENTS)] = Field(default_factory=list)
    allow_recipients: Annotated[list[Allowed], BeforeValidator(listed)] = Field(default_factory=list)

    @property
    def is_separate(self) -> bool:
        """Return `separate`; if it is left out, whether `to` has several addresses, and there is no `cc` nor `bcc`."""
        if self.separate is not None:
            return self.separate
        return len(self.addresses) > 1 and not self.cc and not self.bcc

    @property
    def addresses(self) -> list[str]:
        """Return `to` if it has addresses and templates; nothing if it names a person."""
        return self.to if isinstance(self.to, list) and self.recipient is None else []

    @property
    def recipient(self) -> JsonObject | None:
        """Return the part of the slice that says which person a delivery is for; None if `to` names no person."""
        to = self.to[0] if isinstance(self.to, list) and len(self.to) == 1 else self.to
        if _is_address(to):
            return None
        recipient = to_person.written_recipient(to, self.person_address)
        if recipient and self.allow_recipients:
            recipient["allowed"] = list(self.allow_recipients)
        return recipient

    @field_serializer("to")
    def _write_addresses(self, _: object) -> list[str]:
        """Write the addresses into the slice; none if the recipient is a person."""
        return self.addresses

    @field_serializer("separate")
    def _write_decision(self, _: bool | None) -> bool:
        """Write the decision into the slice, so that notify does not make it again."""
        return self.is_separate

    @model_validator(mode="after")
    def _recipients_fit(self) -> "Settings":
        everyone = [*self.addresses, *self.cc, *self.bcc]
        if person := next((each for each in everyone if not is_template(each) and not _is_address(each)), None):
            raise ValueError(f"{person!r} must stand alone in `to`; put fixed addresses in `cc` or `bcc`")
        if any(map(is_template, everyone)) and not self.allow_recipients:
            raise ValueError("a recipient that the event names needs `allow_recipients`: the addresses and domains")
        if self.separate and (self.cc or self.bcc):
            raise ValueError("with `separate` there is no `cc` nor `bcc`: put everyone in `to`")
        if not self.is_separate and len(everyone) > MAX_TOGETHER:
            raise ValueError(f"one mail goes to at most {MAX_TOGETHER} people; put them in `to` alone")
        return self
