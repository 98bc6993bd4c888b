"""The models of endpoints and their secrets."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from functions.subscribe.models.values import Input, Line, Output, verify_bytes
from shared.jsontext import JsonObject
from shared.subscribers import model

MAX_HEADERS_BYTES: Final = 8_192
MAX_FIELDS_BYTES: Final = 8_192
FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
RATE: Final = re.compile(r"[1-9][0-9]{0,5}/(s|m|h|d)")
Url = Annotated[Line, Field(min_length=1, max_length=2_000)]
Filter = Annotated[Line, Field(max_length=4_096)]
Description = Annotated[Line, Field(max_length=500)]
Glob = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*-]{1,128}$")]
"""A pattern of event types, such as `order.*`."""
Types = Annotated[list[Glob], Field(max_length=1_000)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", max_length=2_000)]
OwnSecret = Annotated[str, Field(pattern=r"^[\x21-\x7e]{8,500}$")]
Rate = Annotated[str, Field(pattern=rf"^({RATE.pattern})?$")]


class AuthInput(Input):
    """The authentication of requests to the endpoint.

    standard  Standard Webhooks; the secret is `whsec_…` (HMAC) or `whsk_…` (Ed25519)
    basic     the user name `username`, and the secret as password
    bearer    the secret as token
    hmac      `header` has `prefix` and the HMAC-SHA256 of the body, written as `encoding` says
    """

    kind: model.AuthKind = "standard"
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


def _verify_fields(fields: JsonObject) -> JsonObject:
    for name in fields:
        if not FIELD_NAME.fullmatch(name):
            raise ValueError("must have names of at most 64 letters, digits, `_`, `.` and `-`, beginning with a letter")
    verify_bytes(fields, MAX_FIELDS_BYTES)
    return fields


def _verify_headers(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("must have each header once, in whatever case its name is written")
    verify_bytes({**headers}, MAX_HEADERS_BYTES)
    return headers


Headers = Annotated[dict[HeaderName, HeaderValue], AfterValidator(_verify_headers)]
Fields = Annotated[dict[str, JsonValue], AfterValidator(_verify_fields)]


class EndpointInput(Input):
    """A new endpoint.

    types    globs of event types, such as `order.*`; an empty list for all types
    filter   a JMESPath condition over `{id, type, timestamp, data}`
    headers  additional headers of each request
    fields   additional fields of each body
    rate     the most deliveries that begin in a time, such as `10/s`
    secret   a secret of your own; without it, one is generated and shown in the response
    """

    url: Url
    description: Description = ""
    types: Types = []
    filter: Filter = ""
    headers: Headers = {}
    fields: Fields = {}
    auth: AuthInput = AuthInput()
    rate: Rate = ""
    enabled: bool = True
    secret: OwnSecret | None = None


class EndpointChange(Input):
    """A change of an endpoint. Each field replaces the stored one. A new `secret` replaces the old one at once."""

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    filter: Filter | None = None
    headers: Headers | None = None
    fields: Fields | None = None
    auth: AuthInput | None = None
    rate: Rate | None = None
    enabled: bool | None = None
    secret: OwnSecret | None = None


class AuthView(Output):
    kind: model.AuthKind
    username: str
    header: str
    prefix: str
    encoding: Literal["hex", "base64"]


class DisabledView(Output):
    """The reason why the endpoint is disabled, with who did it and when."""

    by: model.DisabledBy
    reason: str
    at: str | None


class EndpointView(Output):
    """An endpoint.

    enabled        false: it gets nothing, and `disabled` says why; `recover` later sends the messages that it missed
    verified       false: it gets nothing until it has proven that it wants events: see `verify`
    failing_since  the time since which all deliveries to it have failed
    filter_fault   the error of the filter when it was last used
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
    """The secret, and the previous secrets with the times until which they are used too."""

    secret: str
    previous: list[PreviousSecret]
    created_at: str


class SecretRotation(Input):
    """A new secret: your own, or a generated one. The previous secret is used beside it for 24 hours."""

    secret: OwnSecret | None = None
