"""The documents of subscribers, as the store keeps them. functions/subscribe translates them for its API.

A tenant is a customer of the operator, and an endpoint is a URL at which the tenant receives the operator's events.
Times are Unix seconds. An older version ignores the fields of a newer version, because both run side by side for a
while during an update.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from shared.subscribers.names import SEPARATOR

Capability = Literal["view", "manage", "reveal_secret", "resend"]
"""A right of a portal token. `manage` and `resend` include `view`."""
Scope = Literal["read", "write", "portal", "admin"]
"""A right of an API key. `write` changes tenants, endpoints and event types, `portal` makes portal tokens, and `admin`
includes all others and manages API keys."""
AuthKind = Literal["standard", "basic", "bearer", "hmac"]
"""See EndpointAuth."""
DisabledBy = Literal["tenant", "operator", "failures", "receiver"]
"""Who disabled an endpoint: a person, or notify because deliveries kept failing or the receiver asked for it."""


class Stored(BaseModel):
    """The base class of all documents."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    def text(self) -> str:
        """Return the JSON that the store keeps. It lacks the fields that have their default values."""
        return self.model_dump_json(exclude_defaults=True)


class EndpointCount(Stored):
    """The number of a tenant's endpoints.

    An endpoint is counted before it is created. If a request dies in between, the number is too high until all
    endpoints are counted again. `changed_at` is the last change of the number, `counted_at` the last full count.
    """

    number: int
    changed_at: float
    counted_at: float


class Tenant(Stored):
    """A customer of the operator. A mail to `email` tells when an endpoint is disabled.

    `endpoints` is None until the first endpoint is created.
    """

    id: str
    name: str = ""
    email: str = ""
    metadata: dict[str, str] = {}
    created_at: float = 0.0
    tokens_valid_from: float = 0.0
    """Portal tokens that were made before this time are revoked."""
    endpoints: EndpointCount | None = None


class SealedText(Stored):
    """A text that is encrypted with AES-256-GCM, with the key whose id is `key_id` (see sealing.py)."""

    key_id: str
    nonce: str
    content: str


class EndpointSecret(Stored):
    """A secret of an endpoint. After a rotation, the previous secret is used beside the new secret until
    `valid_until`."""

    sealed: SealedText
    created_at: float
    valid_until: float | None = None

    def is_valid(self, now: float) -> bool:
        return self.valid_until is None or now < self.valid_until


class EndpointAuth(Stored):
    """The authentication of requests to an endpoint.

    standard  Standard Webhooks; the secret is `whsec_…` (v1) or `whsk_…` (v1a)
    basic     the user name `username` and the secret as password
    bearer    the secret as token
    hmac      `header` has `prefix` and the HMAC-SHA256 of the body in hex or base64, as `encoding` says
    """

    kind: AuthKind = "standard"
    username: str = ""
    header: str = ""
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"


class Endpoint(Stored):
    """A URL at which a tenant receives events.

    Set by the tenant or the operator:

    types            globs of event types; if empty, all types
    filter           a JMESPath condition over `{id, type, timestamp, data}`, or empty
    headers          further headers of each request
    fields           extra fields that are added to each body
    secrets          newest first. The newest signs; if `auth` is `standard`, all that are still valid sign
    rate             how many deliveries may begin in a period, such as `10/s`; if empty, any number

    Set by the API and by notify:

    is_verified      the endpoint has proven that it wants events, or the operator asks for no proof
    disabled_by      None while it is enabled
    failing_since    the time of the first failure since the last delivery that succeeded; None if there is none
    filter_fault     what went wrong when the filter was last used
    notices          changes of state that the operator or the tenant has not been told yet, each as the kind of its
                     operational event (such as `disabled`), the time and the reason
    """

    id: str
    tenant: str
    url: str
    description: str = ""
    types: tuple[str, ...] = ()
    filter: str = ""
    headers: dict[str, str] = {}
    fields: dict[str, JsonValue] = {}
    auth: EndpointAuth = EndpointAuth()
    secrets: tuple[EndpointSecret, ...] = ()
    rate: str = ""
    is_verified: bool = False
    disabled_by: DisabledBy | None = None
    disabled_reason: str = ""
    disabled_at: float | None = None
    failing_since: float | None = None
    filter_fault: str = ""
    notices: tuple[tuple[str, float, str], ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def is_enabled(self) -> bool:
        return self.disabled_by is None

    @property
    def changed_ms(self) -> int:
        """Return when the API last changed it, in milliseconds."""
        return int(self.updated_at * 1_000)

    @property
    def full_name(self) -> str:
        """Return `<tenant>:<id>`, as logs and commands name an endpoint."""
        return f"{self.tenant}{SEPARATOR}{self.id}"


class EventType(Stored):
    """A type of events that tenants can subscribe to. `schema_` is the JSON Schema of an event's data."""

    name: str
    description: str = ""
    group: str = ""
    schema_: dict[str, JsonValue] = {}
    examples: tuple[JsonValue, ...] = ()
    is_deprecated: bool = False
    updated_at: float = 0.0


class ApiKey(Stored):
    """A key with which the operator's programs call the API.

    `digests` are its secrets, newest first: each as its SHA-256 in hex, and the time when it becomes invalid.
    """

    id: str
    description: str = ""
    scopes: tuple[Scope, ...] = ()
    digests: tuple[tuple[str, float | None], ...] = ()
    created_at: float = 0.0


class Session(Stored):
    """A portal session: the tokens made with one call. It ends when it expires or is revoked."""

    id: str
    tenant: str
    capabilities: tuple[Capability, ...] = ()
    created_at: float = 0.0
    expires_at: float = 0.0
    is_revoked: bool = False


class Message(Stored):
    """An event for a tenant, kept so that it can be sent again.

    type                the event type that is compared with the endpoints' globs
    route, destination  their names in the configuration, from which the ids of the deliveries are built
    event               the event's CloudEvent as JSON. A large event has `dataref`, the name of a blob, instead of data
    is_test             the tenant requested it to try an endpoint
    kept_at             when it was last kept. A message that is older than its tenant belongs to an earlier tenant with
                        the same id, which was deleted
    """

    id: str
    event_id: str
    type: str
    route: str
    destination: str
    received_at: float
    event: str
    is_test: bool = False
    kept_at: float = 0.0

    def is_of(self, tenant: Tenant) -> bool:
        """Return whether the message belongs to this tenant, and not to an earlier tenant with the same id."""
        return self.kept_at >= tenant.created_at


class MessageEntry(Stored):
    """An index entry that finds a message by its event and route, because a delivery in the ledger has only these."""

    id: str
    type: str
    is_test: bool = False
