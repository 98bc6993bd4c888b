"""A source: who may send to it, and how its requests become events.

What follows from its settings is computed here, once, and not for each request. sources.py reads the settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from functions.receive.facts import FactLocations, SignedFacts
from functions.receive.respond import Respond
from functions.receive.sender_address import AllowList
from shared import http
from shared.jsontext import Json
from shared.limits import Limits
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import Conditions, Location

if TYPE_CHECKING:
    from functions.receive.browser_form import BrowserForm
    from functions.receive.bus import BusInput
    from functions.receive.handshakes import Handshake

_PASSWORDS: Final = frozenset({"authorization", "proxy-authorization", "x-webhook-password"})
"""Headers of passwords and tokens that a request may have whatever its source's schemes are."""
_CREDENTIALS: Final = _PASSWORDS | {"cookie"}
"""Headers that an event never keeps."""
_ADDED_HEADERS: Final = frozenset({"function-execution-id"})
"""Headers that no sender sends: functions-framework adds them."""

RECOVERED_NAME: Final = "~recovered"
"""The name of the source that takes recovered events, which the bus pushes to this path. No source of a configuration
can have this name."""
RECOVERED_KIND: Final = "recovered"
"""The kind of the bus of that source."""

DataStep = Callable[[Json, Limits], Json]
"""A change of the parsed data that a source's settings ask for. Raises Rejected."""

DataCheck = Callable[[Json], Json]
"""A check of an authenticated request's data; returns the data that goes on. Raises Rejected."""


# A plain dataclass, because nothing changes, compares or prints it. This makes a start 2 ms shorter.
@dataclass(slots=True, eq=False, repr=False)
class Source:
    """A source, as its settings define it.

    auth                its schemes, of which any one must authenticate a request
    unwrap              the data is the content of the one element of an XML document
    body                the format of every body; empty if the content type decides it
    formats             the formats that its provider sends, of which a body's first bytes show one; empty if unknown
    repeats             conditions on the body; an event that meets one is identified by its delivery id, because
                        different events of that kind can have equal bodies
    batch               the path to the items of a body with several events; empty if a body is one event
    keep_raw            how much of a request an event keeps as it was sent: `no`, `body` or `all`
    dedupe              by which of `body`, `signed` and `delivery_id` an event is identified; empty for the usual rules
    fact_locations      where a request has the facts of an event
    unpacked            the field of a form that has the real body as JSON; empty if there is none
    content_types       the content types it accepts, such as `application/json`, `text/*` or `*+json`; empty for any
    trusted_proxies     the number of last addresses in X-Forwarded-For that our own proxies wrote
    public_url          the URL that its sender uses, as configured, without a query; empty if the request shows it
    handshake_methods   the methods of its provider's handshakes
    type_words          the most words that a log may show of an event's type that comes from a header
    data_steps          the changes that its settings make to the parsed data, in order
    data_checks         the checks of the data once its sender is authenticated, in order
    bus                 the bus that brings its messages; None if it takes requests
    recover             how its recovered events are authenticated: `signature` or `listed`; empty if it has none

    The fields from `answered_methods` on follow from these.
    """

    name: str
    auth: tuple[AuthScheme, ...]
    methods: tuple[str, ...] = ("POST",)
    max_body_bytes: int = 1_048_576
    unwrap: bool = False
    body: str = ""
    formats: tuple[str, ...] = ()
    repeats: tuple[Conditions, ...] = ()
    batch: tuple[str, ...] = ()
    keep_raw: str = "no"
    dedupe: str = ""
    fact_locations: FactLocations = field(default_factory=FactLocations)
    unpacked: str = ""
    content_types: tuple[str, ...] = ()
    trusted_proxies: int = 0
    public_url: str = ""
    handshake_methods: tuple[str, ...] = ()
    type_words: int = 1
    allow: AllowList | None = None
    respond: Respond | None = None
    form: "BrowserForm | None" = None
    handshakes: "tuple[Handshake, ...]" = ()
    data_steps: tuple[DataStep, ...] = ()
    data_checks: tuple[DataCheck, ...] = ()
    bus: "BusInput | None" = None
    recover: str = ""

    answered_methods: tuple[str, ...] = field(init=False)
    """Its methods, and the methods of preflights and handshakes, which make no event."""
    max_request_bytes: int = field(init=False)
    """The largest body of a request. A push of the bus has more in it than the message."""
    secret_names: tuple[str, ...] = field(init=False)
    password_headers: frozenset[str] = field(init=False)
    """The headers of passwords and tokens; empty where every scheme is a signature."""
    secret_headers: frozenset[str] = field(init=False)
    """The headers that `keep_raw` leaves out."""
    body_tokens: tuple[Location, ...] = field(init=False)
    """The locations in the body where its sender puts a token."""
    takes_links: bool = field(init=False)
    takes_path_token: bool = field(init=False)
    head_schemes: tuple[AuthScheme, ...] = field(init=False)
    body_schemes: tuple[AuthScheme, ...] = field(init=False)
    """The schemes that are verified once the body is there."""
    signed_facts: Mapping[AuthScheme, SignedFacts] = field(init=False)
    """What the signature of each scheme covers, unless that differs between requests."""
    needs_keys: bool = field(init=False)
    """Some of its schemes are verified with a key that has to be fetched."""
    has_early_outcomes: bool = field(init=False)
    """Some requests may end before the checks: handshakes, preflights of browsers, and pushes of a bus."""

    def __post_init__(self) -> None:
        schemes = {auth.scheme for auth in self.auth}
        answered = [*self.methods]
        if "GET" in self.methods:
            answered.append("HEAD")
        if self.form:
            answered.append("OPTIONS")
        answered.extend(self.handshake_methods)
        # The keys of a dict are these in their order, without repeats.
        self.answered_methods = tuple(dict.fromkeys(answered))
        self.secret_names = tuple(dict.fromkeys(auth.secret for auth in self.auth if auth.secret))
        passwords = [auth for auth in self.auth if not auth.signs_content and (auth.secret or auth.credentials)]
        self.password_headers = _PASSWORDS | _header_names(passwords) if passwords else frozenset()
        signature_headers = {header for auth in self.auth for header in auth.signature_headers}
        self.secret_headers = _CREDENTIALS | _ADDED_HEADERS | _header_names(self.auth) | signature_headers
        self.body_tokens = body_tokens(self.auth)
        self.takes_links = "link" in schemes
        self.takes_path_token = "path" in schemes
        self.head_schemes = tuple(auth for auth in self.auth if auth.is_in_head)
        self.body_schemes = tuple(auth for auth in self.auth if not auth.is_in_head)
        self.needs_keys = any(auth.needs_key for auth in self.auth)
        self.has_early_outcomes = bool(self.form or self.handshakes or self.bus)
        self.max_request_bytes = self.bus.max_push_bytes if self.bus else self.max_body_bytes
        any_request = http.Request("POST", "/")
        self.signed_facts = {
            auth: self.facts_signed_by(auth, any_request)
            for auth in self.auth
            if auth.signs_content and not auth.coverage_varies
        }

    def facts_signed_by(self, auth: AuthScheme, request: http.Request) -> SignedFacts:
        """Return which facts a signature of the scheme covers in this request."""
        return self.fact_locations.signed_by(auth.coverage(self.unpacked, request))


def body_tokens(schemes: Sequence[AuthScheme]) -> tuple[Location, ...]:
    """Return the locations in the body where a sender puts a token."""
    locations = [location for auth in schemes if auth.scheme == "token" for location in auth.credentials]
    return tuple(location for location in locations if location.kind in {"data", "form"})


def _header_names(schemes: Sequence[AuthScheme]) -> frozenset[str]:
    """Return the headers in which the schemes look for credentials."""
    locations = [location for auth in schemes for location in auth.credentials]
    return frozenset(location.name for location in locations if location.kind == "header")
