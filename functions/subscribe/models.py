"""The models of what the API takes and shows, and the rules of single values.

Models are built at first use. A request's body is read strictly: a number is no text, and an unknown field is a fault.
"""

import re
from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from shared import event, times
from shared.jsontext import Json, JsonObject, texts_json
from shared.subscribers import event_types, model, names

MAX_PAGE: Final = 100
MAX_CURSOR_CHARACTERS: Final = 2_000
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_LATEST_SECONDS: Final = 10_000_000_000.0
TypeName = Annotated[str, StringConstraints(pattern=f"^{names.TYPE_PATTERN}$")]
Item = TypeVar("Item")
MAX_METADATA: Final = 20
MAX_HEADERS_BYTES: Final = 8_192
MAX_FIELDS_BYTES: Final = 8_192
FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
RATE: Final = re.compile(r"[1-9][0-9]{0,5}/(s|m|h|d)")
_GLOB: Final = r"^[A-Za-z0-9_.*-]{1,128}$"
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$", max_length=2_000)]
Types = Annotated[list[Annotated[str, Field(pattern=_GLOB)]], Field(max_length=1_000)]
OwnSecret = Annotated[str, Field(pattern=r"^[\x21-\x7e]{8,500}$")]
Rate = Annotated[str, Field(pattern=rf"^({RATE.pattern})?$")]
State = Literal["pending", "waiting", "delivered", "failed"]
"""pending: an attempt is made now, or is about to be. waiting: for the next attempt, or for its time. failed: for good,
until it is sent again."""
MIN_TOKEN_SECONDS: Final = 60
MAX_TOKEN_SECONDS: Final = 7 * 86_400


class Input(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Query(BaseModel):
    """The query of a request. Its values are texts, which are converted to the types of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Output(BaseModel):
    """The body of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NoQuery(Query):
    """No query."""


class NoBody(Input):
    """An empty object, or no body at all."""


def _line(text: str) -> str:
    if re.search(event.UNFIT, text):
        raise ValueError("must have no line breaks, control characters or lone surrogates")
    return text


def _time(text: str) -> str:
    try:
        seconds = times.unix_seconds(text)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a time in RFC 3339, such as 2026-03-01T12:00:00Z") from error
    if not 0 <= seconds <= _LATEST_SECONDS:
        raise ValueError("must be a time between 1970 and 2286")
    return text


def _email(text: str) -> str:
    if text and (len(text) > 254 or not _EMAIL.fullmatch(text)):
        raise ValueError("must be an email address, such as ops@example.com")
    return text


def within_bytes(value: Json, most: int) -> None:
    """Raises ValueError for a value that takes more bytes as JSON."""
    size = len(texts_json(value))
    if size > most:
        raise ValueError(f"must have at most {most} bytes as JSON; got {size}")


Line = Annotated[str, AfterValidator(_line)]
"""Text of one line."""


Time = Annotated[str, AfterValidator(_time), Field(json_schema_extra={"format": "date-time"}, max_length=40)]


Email = Annotated[str, AfterValidator(_email), Field(max_length=254)]


class ListQuery(Query):
    """A page of a list: at most `limit` items, those after the page whose `next` is `cursor`."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARACTERS)] = ""


class Page(Output, Generic[Item]):
    """A page of a list. `next` is the cursor of the page after it; null after the last one."""

    items: list[Item]
    next: str | None = None


class Fault(Output):
    """A value of the request that breaks a rule. `path` is a JSON pointer to it, or `?name` for one of the query."""

    path: str
    rule: str


class Problem(Output):
    """A request that was not done (RFC 9457). `code` is stable, `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[Fault] = []


class TenantInput(Input):
    """A tenant: a customer of the operator. `email` is told when an endpoint of the tenant is disabled."""

    name: Annotated[Line, Field(max_length=200)] = ""
    email: Email = ""
    metadata: dict[str, Annotated[Line, Field(max_length=500)]] = {}

    @field_validator("metadata")
    @classmethod
    def _few(cls, metadata: dict[str, str]) -> dict[str, str]:
        if len(metadata) > MAX_METADATA:
            raise ValueError(f"must have at most {MAX_METADATA} keys; got {len(metadata)}")
        if any(not 0 < len(key) <= 40 or not key.isprintable() for key in metadata):
            raise ValueError("must have keys of 1 to 40 printable characters")
        return metadata


class TenantView(Output):
    id: str
    name: str
    email: str
    metadata: dict[str, str]
    created_at: str


Url = Annotated[Line, Field(min_length=1, max_length=2_000)]


Filter = Annotated[Line, Field(max_length=4_096)]


Description = Annotated[Line, Field(max_length=500)]


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


class DeliveryQuery(ListQuery):
    """Filters of deliveries.

    state         as shown
    type          a type of events
    since, until  when the deliveries were made
    search        what an event's id, a message's id or a type begins with
    """

    state: State | None = None
    type: TypeName | None = None
    since: Time | None = None
    until: Time | None = None
    search: Annotated[Line, Field(max_length=200)] = ""


class DeliveryView(Output):
    """A message at one endpoint. `message_id` is null once the message is no longer kept, and `type` is empty then.

    `webhook_id` is what the endpoint gets as the header `webhook-id`.
    """

    id: str
    message_id: str | None
    webhook_id: str
    event_id: str
    type: str
    endpoint: str
    state: State
    attempt_number: int
    reason: str
    created_at: str
    updated_at: str
    next_attempt_at: str | None
    test: bool = False


class RequestView(Output):
    """The request as it is made now. Secrets and signatures are left out."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class AttemptView(Output):
    """An attempt. `answer` is the beginning of what the endpoint answered."""

    number: int
    started_at: str
    duration_ms: int
    outcome: str
    reason: str
    answer: str


class DeliveryDetail(DeliveryView):
    """A delivery with its request (null once the message is gone) and its attempts, oldest first."""

    request: RequestView | None
    attempts: list[AttemptView]


class MessageView(Output):
    """An event that the tenant was to get. `data` is null in lists, and where `truncated` says that it is too large."""

    id: str
    event_id: str
    type: str
    received_at: str
    data: JsonValue = None
    truncated: bool = False
    test: bool = False


class MessageQuery(ListQuery):
    type: TypeName | None = None
    since: Time | None = None
    until: Time | None = None


class RecoverInput(Input):
    """A time since which all that failed or was never sent is sent again.

    dry_run  only count
    cursor   of the answer before, to go on where it ended
    """

    since: Time
    until: Time | None = None
    dry_run: bool = False
    cursor: Annotated[str, Field(max_length=2_000)] = ""


class ReplayInput(RecoverInput):
    """A time of which all that was received is sent again; with `types` and `state`, only such."""

    types: Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*-]{1,128}$")]], Field(max_length=100)] = []
    state: State | None = None


class Replayed(Output):
    """The number of deliveries that were published, or with `dry_run` would be.

    count    of this answer alone
    is_more  the time of a request was over: ask again with `next` as `cursor`
    id       of the whole replay: a delivery is sent again once by it, however often a part of it is repeated
    """

    count: int
    is_more: bool
    id: str
    next: str | None = None


class Resent(Output):
    """The delivery that is sent again."""

    id: str
    replay_id: str


class EventTypeInput(Input):
    """An event type. `schema` is the JSON Schema of an event's data, and the first example is sent as a test."""

    model_config = ConfigDict(populate_by_name=True)

    description: Annotated[str, Field(max_length=event_types.MAX_DESCRIPTION)] = ""
    group: Annotated[Line, Field(max_length=event_types.MAX_GROUP)] = ""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")] = {}
    examples: Annotated[list[JsonValue], Field(max_length=event_types.MAX_EXAMPLES)] = []
    deprecated: bool = False


class EventTypeView(Output):
    """An event type. Those of the `source` configuration are changed there."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    description: str
    group: str
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    examples: list[JsonValue]
    deprecated: bool
    source: Literal["configuration", "api"]


class EventTypeQuery(ListQuery):
    group: Annotated[Line, Field(max_length=event_types.MAX_GROUP)] = ""


class ExportQuery(Query):
    """With a `group`, the event types of that one."""

    group: Annotated[Line, Field(max_length=event_types.MAX_GROUP)] = ""


class ImportInput(Input):
    """A catalogue to take over: an OpenAPI document with `webhooks`, a JSON Schema, or event types by name."""

    document: dict[str, JsonValue]
    dry_run: bool = False


class Imported(Output):
    """The names of the types that were written, or with `dry_run` would be, and of those that stay as they are."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]


class Exported(Output):
    """An OpenAPI 3.1 document whose `webhooks` are the event types."""

    model_config = ConfigDict(extra="allow")

    openapi: str


class ApiKeyInput(Input):
    """A new API key. `write` includes `read`, and `admin` includes all."""

    description: Annotated[Line, Field(max_length=200)] = ""
    scopes: Annotated[list[model.Scope], Field(min_length=1, max_length=4)]


class ApiKeyView(Output):
    """An API key without its secret. `rotated` is true while the secret before is still valid."""

    id: str
    description: str
    scopes: list[model.Scope]
    created_at: str
    rotated: bool


class ApiKeyCreated(ApiKeyView):
    """The key, which is shown once. After a rotation the one before is valid for 24 hours more."""

    key: str


class PortalTokenInput(Input):
    """A portal token. Without `reveal_secret`, its holder sees a secret only when it is made."""

    capabilities: Annotated[list[model.Capability], Field(min_length=1, max_length=4)] = ["view", "manage", "resend"]
    expires_in: Annotated[int, Field(ge=MIN_TOKEN_SECONDS, le=MAX_TOKEN_SECONDS)] = 3_600


class PortalTokenCreated(Output):
    """The token, and the URL that opens the portal with it."""

    token: str
    url: str
    session: str
    expires_at: str


class PortalLimits(Output):
    endpoints: int
    headers: int
    fields: int
    types: int
    filter_characters: int


class PortalInfo(Output):
    """The facts that the page shows, and what its token allows."""

    name: str
    logo: str
    capabilities: list[model.Capability]
    tenant: str
    limits: PortalLimits
    verify: str
    expires_at: str
