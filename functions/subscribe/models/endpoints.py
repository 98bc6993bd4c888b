"""Endpoints and their secrets, as the API takes and shows them."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from functions.subscribe.models.base import Input, Line, Output, within_bytes
from shared.jsontext import JsonObject
from shared.subscribers.model import AuthKind, DisabledBy

MAX_HEADERS_BYTES: Final = 8_192
MAX_FIELDS_BYTES: Final = 8_192
FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
RATE: Final = re.compile(r"[1-9][0-9]{0,5}/(s|m|h|d)")
_GLOB: Final = r"^[A-Za-z0-9_.*-]{1,128}$"

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", max_length=2_000)]
Url = Annotated[Line, Field(min_length=1, max_length=2_000)]
Types = Annotated[list[Annotated[str, Field(pattern=_GLOB)]], Field(max_length=1_000)]
Filter = Annotated[Line, Field(max_length=4_096)]
OwnSecret = Annotated[str, Field(pattern=r"^[\x21-\x7e]{8,500}$")]
Rate = Annotated[str, Field(pattern=rf"^({RATE.pattern})?$")]
Description = Annotated[Line, Field(max_length=500)]


class AuthInput(Input):
    """The authentication of requests to the endpoint.

    standard  Standard Webhooks; the secret is `whsec_…` (HMAC) or `whsk_…` (Ed25519)
    basic     the user name `username`, and the secret as password
    bearer    the secret as token
    hmac      `header` has `prefix` and the HMAC-SHA256 of the body, written as `encoding` says
    """

    kind: AuthKind = "standard"
    username: Annotated[str, Field(pattern=r"^[\x20-\x39\x3b-\x7e]*$", max_length=200)] = ""
    header: Annotated[str, Field(pattern=r"^([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100})?$")] = ""
    prefix: Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", max_length=50)] = ""
    encoding: Literal["hex", "base64"] = "hex"

    @model_validator(mode="after")
    def _verify_kind(self) -> "AuthInput":
        if self.kind == "basic" and not self.username:
            raise ValueError("username: is missing; basic authentication has one")
        if self.kind == "hmac" and not self.header:
            raise ValueError("header: is missing; it is the header that has the signature")
        if self.kind != "basic" and self.username:
            raise ValueError(f"username: is for the kind basic; got the kind {self.kind}")
        if self.kind != "hmac" and (self.header or self.prefix or self.encoding != "hex"):
            raise ValueError(f"header, prefix and encoding: are for the kind hmac; got the kind {self.kind}")
        return self


def _fields_of(fields: JsonObject | None) -> JsonObject | None:
    for name in fields or ():
        if not FIELD_NAME.fullmatch(name):
            raise ValueError("must have names of at most 64 letters, digits, `_`, `.` and `-`, beginning with a letter")
    within_bytes(fields, MAX_FIELDS_BYTES)
    return fields


def _headers_of(headers: dict[str, str] | None) -> dict[str, str] | None:
    if headers and len({name.lower() for name in headers}) != len(headers):
        raise ValueError("must have each header once, in whatever case its name is written")
    within_bytes({**headers} if headers else None, MAX_HEADERS_BYTES)
    return headers


class EndpointInput(Input):
    """A new endpoint.

    types    globs of event types, such as `order.*`; none: all types
    filter   a JMESPath condition over `{id, type, timestamp, data}`
    headers  further headers of each request
    fields   extra fields that are added to each body
    rate     the most deliveries that begin in a time, such as `10/s`
    secret   a secret of your own; without it, one is made, and shown in the answer
    """

    url: Url
    description: Description = ""
    types: Types = []
    filter: Filter = ""
    headers: dict[HeaderName, HeaderValue] = {}
    fields: dict[str, JsonValue] = {}
    auth: AuthInput = AuthInput()
    rate: Rate = ""
    enabled: bool = True
    secret: OwnSecret | None = None

    _fields = field_validator("fields")(_fields_of)
    _headers = field_validator("headers")(_headers_of)


class EndpointChange(Input):
    """A change of an endpoint: what is given replaces what was there. A new `secret` replaces the old one at once."""

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    filter: Filter | None = None
    headers: dict[HeaderName, HeaderValue] | None = None
    fields: dict[str, JsonValue] | None = None
    auth: AuthInput | None = None
    rate: Rate | None = None
    enabled: bool | None = None
    secret: OwnSecret | None = None

    _fields = field_validator("fields")(_fields_of)
    _headers = field_validator("headers")(_headers_of)


class AuthView(Output):
    kind: AuthKind
    username: str
    header: str
    prefix: str
    encoding: Literal["hex", "base64"]


class DisabledView(Output):
    """The reason why the endpoint is disabled, with who did it and when."""

    by: DisabledBy
    reason: str
    at: str | None


class EndpointView(Output):
    """An endpoint.

    enabled        false: it gets nothing, and `disabled` says why; `recover` sends later what it missed
    verified       false: it gets nothing until it has proven that it wants events: see `verify`
    failing_since  when deliveries to it began to fail, with none that went well since
    filter_fault   what went wrong when the filter was last used
    """

    id: str
    url: str
    description: str
    types: list[str]
    filter: str
    headers: dict[str, str]
    fields: dict[str, JsonValue]
    auth: AuthView
    rate: str
    enabled: bool
    verified: bool
    disabled: DisabledView | None
    failing_since: str | None
    filter_fault: str
    created_at: str
    updated_at: str


class EndpointCreated(EndpointView):
    """The new endpoint with its secret, which is shown once."""

    secret: str


class PreviousSecret(Output):
    valid_until: str


class SecretView(Output):
    """The secret, and until when those before it are used beside it."""

    secret: str
    previous: list[PreviousSecret]
    created_at: str


class SecretRotation(Input):
    """A new secret: your own, or one that is made. The one before is used beside it for 24 hours."""

    secret: OwnSecret | None = None


class TestInput(Input):
    """The type of the event to send: its first example, or one that is made from its schema."""

    __test__ = False
    type: Annotated[Line, Field(min_length=1, max_length=128)]


class TestSent(Output):
    """The message that was published, and the delivery to look for.

    endpoint_enabled  false: the endpoint gets this test, which is tried once, and stays disabled
    """

    __test__ = False
    message_id: str
    delivery_id: str
    endpoint_enabled: bool
