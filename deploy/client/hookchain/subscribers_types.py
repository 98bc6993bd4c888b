"""The JSON documents of the subscribers' API. Times are RFC 3339 texts. A newer API may add fields."""

from typing import Literal, NotRequired, TypeAlias, TypedDict

from .formats import Json

Capability: TypeAlias = Literal["view", "manage", "reveal_secret", "resend"]
Scope: TypeAlias = Literal["read", "write", "portal", "admin"]
State: TypeAlias = Literal["pending", "waiting", "delivered", "failed"]


class Tenant(TypedDict):
    """A customer of the operator."""

    id: str
    name: str
    email: str
    metadata: dict[str, str]
    created_at: str


class Auth(TypedDict, total=False):
    """The authentication of requests to an endpoint. `kind`: standard, basic, bearer or hmac."""

    kind: Literal["standard", "basic", "bearer", "hmac"]
    username: str
    header: str
    prefix: str
    encoding: Literal["hex", "base64"]


class Disabled(TypedDict):
    """The end of an endpoint's deliveries: `by` is tenant, operator, failures or receiver."""

    by: str
    reason: str
    at: str | None


class Endpoint(TypedDict):
    """A place where a tenant takes events. `etag` goes into `if_match` of a change that must not undo another."""

    id: str
    url: str
    description: str
    types: list[str]
    filter: str
    headers: dict[str, str]
    fields: dict[str, Json]
    auth: Auth
    rate: str
    enabled: bool
    verified: bool
    disabled: Disabled | None
    failing_since: str | None
    filter_fault: str
    created_at: str
    updated_at: str
    etag: NotRequired[str]


class EndpointCreated(Endpoint):
    """A new endpoint. Its secret is shown here, and later to those who may reveal it."""

    secret: str


class PreviousSecret(TypedDict):
    """A former secret of an endpoint, with which requests are signed too until then."""

    valid_until: str


class Secret(TypedDict):
    """The secret of an endpoint, and until when those before it are used beside it."""

    secret: str
    previous: list[PreviousSecret]
    created_at: str


class Delivery(TypedDict):
    """A message at one endpoint. `webhook_id` is what the endpoint gets as the header `webhook-id`."""

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
    test: bool


class RequestView(TypedDict):
    """The request of a delivery, without secrets and signatures."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class Attempt(TypedDict):
    """An attempt of a delivery. `answer` is the beginning of the endpoint's response."""

    number: int
    started_at: str
    duration_ms: int
    outcome: str
    reason: str
    answer: str


class DeliveryDetail(Delivery):
    """A delivery with its request (None once the message is gone) and its attempts, oldest first."""

    request: RequestView | None
    attempts: list[Attempt]


class Message(TypedDict):
    """An event that a tenant was to get. `data` is None in lists, and where `truncated` says that it is too large."""

    id: str
    event_id: str
    type: str
    received_at: str
    data: Json
    truncated: bool
    test: bool


class EventType(TypedDict):
    """A type of events. Those of the `source` configuration are changed there."""

    name: str
    description: str
    group: str
    schema: dict[str, Json]
    examples: list[Json]
    deprecated: bool
    source: Literal["configuration", "api"]


class Imported(TypedDict):
    """The names of the event types that were written, or with `dry_run` would be, and of those that stay."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]


class Replayed(TypedDict):
    """The number of deliveries that were published. If `is_more`, ask again with `next` as `cursor`."""

    count: int
    is_more: bool
    id: str
    next: str | None


class Resent(TypedDict):
    """The delivery that is sent again, and the replay that sends it."""

    id: str
    replay_id: str


class TestSent(TypedDict):
    """The message that was published, and the delivery to look for. A disabled endpoint gets it, and stays disabled."""

    message_id: str
    delivery_id: str
    endpoint_enabled: bool


class PortalToken(TypedDict):
    """A portal token, and the URL that opens the portal with it."""

    token: str
    url: str
    session: str
    expires_at: str


class PortalLimits(TypedDict):
    """The most endpoints of a tenant, and the most of each other thing that one endpoint may have."""

    endpoints: int
    headers: int
    fields: int
    types: int
    filter_characters: int


class PortalInfo(TypedDict):
    """The facts that the portal's page shows, and what its token allows."""

    name: str
    logo: str
    capabilities: list[Capability]
    tenant: str
    limits: PortalLimits
    verify: str
    expires_at: str


class ApiKey(TypedDict):
    """An API key without its secret. `rotated` is true while the secret before is still valid."""

    id: str
    description: str
    scopes: list[Scope]
    created_at: str
    rotated: bool


class ApiKeyCreated(ApiKey):
    """A new key, which is shown once."""

    key: str
