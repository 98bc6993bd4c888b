"""The mails of `hookchain dev`, which emulates SendGrid's API: the rules of a request, and what is kept of it.

A request has up to 1000 personalizations: SendGrid's word for the recipients of one mail, and what only they get. It is
verified as a `SentRequest` and stored as a `MailRequest`. When somebody reads it, it is a `StoredRequest`, and each
personalization is a `Mail`. Anybody may have written the text of a mail, so it can contain anything.
https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from shared.jsontext import to_json

_EMAIL: Final = r"^[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\\]{1,255}$"
_RESERVED_HEADERS: Final = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-transfer-encoding", "content-type"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
_CONFIG: Final = ConfigDict(strict=True, extra="ignore")


def _decoded(value: object) -> bytes:
    """Return the bytes of a base64 text. Raises ValueError for any other value."""
    return base64.b64decode(str(value), validate=True)


def _verified_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    if reserved := {name.lower() for name in headers} & _RESERVED_HEADERS:
        raise ValueError(f"must not be reserved headers; got {min(reserved)}")
    return headers


NonEmpty = Annotated[str, Field(min_length=1)]
Headers = Annotated[dict[str, str], AfterValidator(_verified_headers)]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Address:
    email: Annotated[str, Field(pattern=_EMAIL)]
    name: Annotated[str, BeforeValidator(lambda value: "" if value is None else value)] = ""


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Attachment:
    """An attachment. If it is `inline`, it is shown where the HTML says `cid:<content_id>`.

    `size_bytes` is set in a stored request only: see `mail_request`.
    """

    filename: NonEmpty
    type: str = ""
    disposition: Literal["attachment", "inline"] = "attachment"
    content_id: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, config=_CONFIG, kw_only=True)
class SentAttachment(Attachment):
    content: Annotated[bytes, BeforeValidator(_decoded), Field(min_length=1)]


class Content(BaseModel):
    model_config = _CONFIG

    type: NonEmpty
    value: NonEmpty


class Personalization(BaseModel):
    """The recipients of one mail, and the fields in which it differs from the request's other mails."""

    model_config = _CONFIG

    to: Annotated[tuple[Address, ...], Field(min_length=1)]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    sender: Annotated[Address | None, Field(alias="from")] = None
    subject: str | None = None
    headers: Headers = {}

    @model_validator(mode="after")
    def _has_each_address_once(self) -> Self:
        emails = [each.email.lower() for each in (*self.to, *self.cc, *self.bcc)]
        if len({*emails}) < len(emails):
            raise ValueError("must have each address once in to, cc and bcc")
        return self


class StoredRequest(BaseModel):
    """A request as it is stored: without the contents of its attachments."""

    model_config = _CONFIG

    personalizations: Annotated[tuple[Personalization, ...], Field(min_length=1, max_length=1000)]
    sender: Annotated[Address, Field(alias="from")]
    reply_to: Address | None = None
    reply_to_list: tuple[Address, ...] = ()
    subject: str | None = None
    content: tuple[Content, ...] = ()
    template_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: Headers = {}

    def text_of(self, content_type: str) -> str:
        return next((part.value for part in self.content if part.type == content_type), "")

    @field_validator("content")
    @classmethod
    def _begins_with_plain_text(cls, content: tuple[Content, ...]) -> tuple[Content, ...]:
        if "text/plain" in [part.type for part in content[1:]]:
            raise ValueError("must have text/plain once, as the first part")
        return content

    @model_validator(mode="after")
    def _has_subject_and_content(self) -> Self:
        has_subject = self.subject or all(each.subject for each in self.personalizations)
        if not self.template_id and not (has_subject and self.content):
            raise ValueError("must have a subject and content, or a template_id")
        return self


class SentRequest(StoredRequest):
    """A request as it is sent. `model_validate_json` raises pydantic's ValidationError for what SendGrid rejects."""

    attachments: tuple[SentAttachment, ...] = ()


@dataclass(frozen=True, slots=True)
class MailRequest:
    """An accepted request. `text` is its JSON, with each attachment's content replaced by its `size_bytes`."""

    message_id: str
    received_at: float
    text: str
    mail_count: int
    attachments: tuple[bytes, ...] = ()


def mail_request(text: str, request: SentRequest, message_id: str, received_at: float) -> MailRequest:
    """Return what to store of a request, whose JSON is `text`. Attachments are stored as bytes, not as base64 in it."""
    contents = tuple(each.content for each in request.attachments)
    if contents:
        document = json.loads(text)
        for attachment, content in zip(document["attachments"], contents, strict=True):
            del attachment["content"]
            attachment["size_bytes"] = len(content)
        text = to_json(document)
    return MailRequest(message_id, received_at, text, len(request.personalizations), contents)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as one personalization's recipients see it. `received_at` is Unix seconds.

    `message_id` is the response's X-Message-Id, which all mails of a request share.
    """

    id: int
    message_id: str
    received_at: float
    request: StoredRequest
    personalization: Personalization

    @property
    def to(self) -> tuple[Address, ...]:
        return self.personalization.to

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        return self.request.attachments

    @property
    def sender(self) -> Address:
        return self.personalization.sender or self.request.sender

    @property
    def reply_to(self) -> tuple[Address, ...]:
        return self.request.reply_to_list + ((self.request.reply_to,) if self.request.reply_to else ())

    @property
    def subject(self) -> str:
        return self.personalization.subject or self.request.subject or ""

    @property
    def text(self) -> str:
        return self.request.text_of("text/plain")

    @property
    def html(self) -> str:
        return self.request.text_of("text/html")


def mail_of(mail_id: int, message_id: str, received_at: float, text: str, personalization_number: int) -> Mail:
    """Return the mail of a stored request's personalization, counted from 0. `text` is `MailRequest.text`."""
    request = StoredRequest.model_validate_json(text)
    return Mail(mail_id, message_id, received_at, request, request.personalizations[personalization_number])
