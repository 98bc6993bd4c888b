"""A source: who may send to it, and how its requests become events.

It is read from receive's slice, whose shape the compiler has checked. What follows from its settings is computed here,
once, and not for each request.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from functions.receive.facts import FactLocations, SignedFacts, read_fact_locations
from functions.receive.respond import Respond, read_respond
from shared import errors, http
from shared.formats.parse import parse_as
from shared.jsontext import Json, JsonObject, list_at, objects_at, texts_at
from shared.limits import Limits
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import Conditions, Location, first_value_at, read_conditions

if TYPE_CHECKING:
    from functions.receive.browser_form import BrowserForm
    from functions.receive.bus import BusInput
    from functions.receive.handshakes import Handshake

_PASSWORD_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "x-webhook-password"})
"""Headers of passwords and tokens that a request may have whatever its source's schemes are."""
_ADDED_HEADERS: Final = frozenset({"function-execution-id"})
"""Headers that no sender sends: functions-framework adds them."""
# Proxies write `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
_PORT: Final = re.compile(r":[0-9]+$")
_BRACKETED_IPV6: Final = re.compile(r"\[(?P<address>[^\]]*)\](?::[0-9]+)?")

RECOVERED_NAME: Final = "~recovered"
"""The name of the source that takes recovered events, which the bus pushes to this path. No source of a configuration
can have this name."""
RECOVERED_KIND: Final = "recovered"
"""The kind of the bus of that source."""

DataStep = Callable[[Json, Limits], Json]
"""A change of the parsed data that a source's settings ask for. Raises Rejected."""

DataCheck = Callable[[Json], Json]
"""A check of an authenticated request's data. Returns the data, or without what serves the checks alone, such as a
token: no event keeps that. Raises Rejected."""


class AllowList:
    """The addresses that a source takes requests from."""

    def __init__(self, blocks: Sequence[str]) -> None:
        self._networks = tuple(ip_network(block) for block in blocks)

    def verify(self, address: str) -> None:
        """Raise Rejected (`address_not_allowed`) if the address is in none of the blocks, or is not an address."""
        parsed = _parsed(address)
        if parsed is None or not any(parsed in network for network in self._networks):
            raise errors.Rejected("address_not_allowed", "the sender's address is not in the source's `allow` list")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address. `::ffff:192.0.2.1`, an IPv4 address in the form of IPv6, is parsed as 192.0.2.1."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def sender_address(request: http.Request, trusted_proxies: int) -> str:
    """Return the sender's address without a port; empty if it cannot be known.

    Only the last `trusted_proxies` addresses in X-Forwarded-For are trusted: the sender may have written the others.
    """
    if trusted_proxies == 0:
        return request.peer
    hops = [hop.strip() for hop in (request.header("x-forwarded-for") or "").split(",") if hop.strip()]
    if not hops:  # the request bypassed the proxies, or there are none here
        return request.peer
    if len(hops) < trusted_proxies:  # a proxy is missing, so nobody trusted wrote the sender's address
        return ""
    return _without_port(hops[-trusted_proxies])


def _without_port(hop: str) -> str:
    """Return the address of a hop as a proxy writes it."""
    bracketed = _BRACKETED_IPV6.fullmatch(hop)
    if bracketed:
        return bracketed["address"]
    if hop.count(":") > 1:  # IPv6 without brackets has no port: its last part only looks like one
        return hop
    return _PORT.sub("", hop)


# A plain dataclass, because nothing changes, compares or prints it. This makes a start 2 ms shorter.
@dataclass(slots=True, eq=False, repr=False)
class Source:
    """A source, as its settings define it.

    name                its name in the configuration, which is the path of its URL
    auth                its schemes, of which any one must authenticate a request
    methods             the methods of requests that make events
    max_body_bytes      the largest body, or the largest message of its bus
    unwrap              the data is the content of the one element of an XML document
    body                the format of every body; empty if the content type decides it
    formats             the formats that its provider sends, of which a body's first bytes show one; empty if unknown
    repeats             conditions on the body; an event that meets one is identified by its delivery id, because
                        different events of that kind can have equal bodies
    batch               the path to the items of a body with several events; empty if a body is one event
    keep_raw            how much of a request an event keeps as it was sent: `no`, `body` or `all`
    dedupe              by which of `body`, `signed` and `delivery_id` an event is identified; empty for the usual rules
    fact_locations      where a request has the facts of an event
    unpacked_field      the field of a form that has the real body as JSON; empty if there is none
    content_types       the content types it accepts, such as `application/json`, `text/*` or `*+json`; empty for any
    trusted_proxies     the number of last addresses in X-Forwarded-For that our own proxies wrote
    public_url          the URL that its sender uses, as configured, without a query; empty if the request shows it
    type_words          the most words that a log may show of an event's type that comes from a header
    allow               the addresses that may send; None for all
    respond             its own reply to an accepted request; None for the usual one
    form                what browsers need that post a form to it; None if it takes no browser's form
    handshakes          the handshakes of its provider
    data_steps          the changes that `unpack` and `cast` make to the parsed data, in order
    data_checks         the checks of the data once its sender is authenticated, in order
    bus                 the bus that brings its messages, some by a push, which is a request of the platform; None if
                        its senders post to it themselves
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
    unpacked_field: str = ""
    content_types: tuple[str, ...] = ()
    trusted_proxies: int = 0
    public_url: str = ""
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
    """The largest body of a request. A push of its bus has more in it than the message."""
    secret_names: tuple[str, ...] = field(init=False)
    password_headers: frozenset[str] = field(init=False)
    """The headers of passwords and tokens; empty where every scheme is a signature."""
    left_out_headers: frozenset[str] = field(init=False)
    """The headers that `keep_raw` leaves out: all that may have a credential, the signature, and added ones."""
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
        answered.extend(handshake.method for handshake in self.handshakes)
        # The keys of a dict are these in their order, without repeats.
        self.answered_methods = tuple(dict.fromkeys(answered))
        self.secret_names = tuple(dict.fromkeys(auth.secret for auth in self.auth if auth.secret))
        passwords = [auth for auth in self.auth if not auth.signs_content and (auth.secret or auth.credentials)]
        self.password_headers = _PASSWORD_HEADERS | _header_names(passwords) if passwords else frozenset()
        signature_headers = {header for auth in self.auth for header in auth.signature_headers}
        scheme_headers = _header_names(self.auth) | signature_headers
        self.left_out_headers = _PASSWORD_HEADERS | {"cookie"} | _ADDED_HEADERS | scheme_headers
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
        return self.fact_locations.signed_by(auth.coverage(self.unpacked_field, request))


def body_tokens(schemes: Sequence[AuthScheme]) -> tuple[Location, ...]:
    """Return the locations in the body where a sender puts a token."""
    locations = [location for auth in schemes if auth.scheme == "token" for location in auth.credentials]
    return tuple(location for location in locations if location.kind in {"data", "form"})


def _header_names(schemes: Sequence[AuthScheme]) -> frozenset[str]:
    """Return the headers in which the schemes look for credentials."""
    locations = [location for auth in schemes for location in auth.credentials]
    return frozenset(location.name for location in locations if location.kind == "header")


class Sources(Mapping[str, Source]):
    """The sources by name, each read from its settings at its first request.

    With a source for every provider of the catalogue, this makes a start 11 ms shorter, of 210 ms.
    """

    def __init__(self, settings: JsonObject, read: Callable[[str, Json], Source]) -> None:
        self._settings = settings
        self._read = read
        self._sources: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Source:
        if name not in self._sources:
            self._sources[name] = self._read(name, self._settings[name])
        return self._sources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def has(self, setting: str) -> bool:
        """Return whether a source has the setting."""
        return any(isinstance(settings, dict) and setting in settings for settings in self._settings.values())


def read_sources(document: JsonObject) -> Sources:
    """Return the sources of receive's slice. Each is read at its first use."""
    sources = document["sources"]
    assert isinstance(sources, dict)
    if "recovered" in document:
        sources = {**sources, RECOVERED_NAME: document["recovered"]}
    return Sources(sources, _read_source)


def source_of(sources: Mapping[str, Source], queue_arn: str, prefix: str) -> Source:
    """Return the source whose messages come from the queue.

    `prefix` is the prefix of the deployment's own names. Raises Temporary if no source has the queue. Then the messages
    stay in it until a source has it.
    """
    queue_name = queue_arn.rpartition(":")[2].removeprefix(prefix)
    for source in sources.values():
        if source.bus is None:
            continue
        # The operator's own queue has an ARN in the source's settings. Any other was made by the deployment.
        is_its_queue = source.bus.queue_arn == queue_arn if source.bus.queue_arn else source.bus.name == queue_name
        if is_its_queue:
            return source
    raise errors.Temporary("bus_unavailable", "no source takes messages from the queue that invoked the function")


def _read_source(name: str, settings: Json) -> Source:
    """Read a source from its settings."""
    assert isinstance(settings, dict)
    assert settings.keys() >= {"auth", "methods", "max_body_bytes"}  # a KeyError would look like an unknown source
    auth = settings["auth"]
    assert isinstance(auth, list)
    schemes = tuple(map(read_scheme, auth))
    batch = settings.get("batch")
    respond = settings.get("respond")
    form = _form(settings.get("form"))
    packed = settings.get("unpack")
    packed_path = path_in_data(packed) if isinstance(packed, str) else ()
    cast = settings.get("cast")
    data_steps = [unpack(packed_path)] if packed_path else []
    if isinstance(cast, dict):
        data_steps.append(cast_values(cast))
    return Source(
        name=name,
        auth=schemes,
        methods=tuple(texts_at(settings, "methods")),
        max_body_bytes=_integer(settings["max_body_bytes"]),
        unwrap=settings.get("unwrap") is True,
        body=str(settings.get("body", "")),
        formats=tuple(texts_at(settings, "formats")),
        repeats=tuple(read_conditions(each.get("when")) for each in objects_at(settings, "repeats")),
        batch=path_in_data(batch) if isinstance(batch, str) else (),
        keep_raw=str(settings.get("keep_raw", "no")),
        dedupe=str(settings.get("dedupe", "")),
        fact_locations=read_fact_locations(settings),
        unpacked_field=packed_path[0] if len(packed_path) == 1 else "",  # a form has no fields in fields
        content_types=tuple(texts_at(settings, "content_types")),
        trusted_proxies=_integer(settings.get("trusted_proxies", 0)),
        public_url=str(settings.get("public_url", "")),
        type_words=_integer(settings.get("type_words", 1)),
        allow=AllowList(texts_at(settings, "allow")) if settings.get("allow") is not None else None,
        respond=read_respond(respond) if isinstance(respond, dict) else None,
        form=form,
        handshakes=_handshakes(list_at(settings, "handshakes")),
        data_steps=tuple(data_steps),
        data_checks=tuple(_data_checks(form, settings, schemes)),
        bus=_bus(settings),
        recover=str(settings.get("recover", "")),
    )


def path_in_data(text: str) -> tuple[str, ...]:
    """Return the names that lead to a place in the data, without the first one, which is always `data`."""
    return tuple(text.split(".")[1:])


def unpack(path: Sequence[str]) -> DataStep:
    """Return the step that replaces the data by the object or list that the text at the path contains as JSON.

    A text that only begins like JSON is data like any other.
    """

    def apply(data: Json, limits: Limits) -> Json:
        packed = first_value_at(path, data)
        if isinstance(packed, str) and packed.lstrip()[:1] in {"{", "["}:
            try:
                return parse_as("json", packed.encode(), None, limits).data
            except errors.Rejected as error:
                if error.code != "malformed_body":  # JSON that passes a limit
                    raise
        return data

    return apply


def cast_values(settings: JsonObject) -> DataStep:
    """Return the step that converts values to the kinds of a source's `cast`: dotted paths, each with its kind.

    A path through a list applies to each item. A value that cannot be converted stays as it is.
    """
    # Imported here, because few sources cast.
    from shared.casting import CASTS

    conversions = {str(kind): convert for kind, convert in CASTS.items()}
    casts = [(path_in_data(path), str(kind)) for path, kind in settings.items()]

    def apply(data: Json, _: Limits) -> Json:
        for path, kind in casts:
            data = _converted(data, path, conversions[kind], to_list=kind == "list")
        return data

    return apply


def _converted(value: Json, path: Sequence[str], convert: Callable[[Json], Json], *, to_list: bool) -> Json:
    """Return the value with the values at the path converted. `to_list` says that `convert` makes lists."""
    # A list along the path, or at its end, stands for its items, unless the value there is to be a list itself.
    is_list_wanted_here = to_list and not path
    if isinstance(value, list) and not is_list_wanted_here:
        return [_converted(item, path, convert, to_list=to_list) for item in value]
    if path:
        key, *rest = path
        if not isinstance(value, dict) or key not in value:
            return value
        return {**value, key: _converted(value[key], rest, convert, to_list=to_list)}
    try:
        return convert(value)
    except ValueError:
        return value


def _integer(value: Json) -> int:
    assert isinstance(value, int)
    return value


# Few sources use the settings below, so each module is imported only where it is needed: senders wait for a cold start.


def _data_checks(form: "BrowserForm | None", settings: JsonObject, schemes: tuple[AuthScheme, ...]) -> list[DataCheck]:
    """Return the checks in the order in which they run: the last ones get what the first ones leave."""
    checks: list[DataCheck] = [form.without_honeypot] if form else []
    if "schema" in settings:
        from functions.receive.body_schema import SchemaCheck

        checks.append(SchemaCheck(settings["schema"]).verify)
    if tokens := body_tokens(schemes):
        from shared.signatures.locations import without

        def without_tokens(data: Json) -> Json:
            for place in tokens:
                data = without(data, place.path)
            return data

        checks.append(without_tokens)
    return checks


def _bus(settings: JsonObject) -> "BusInput | None":
    if "bus" not in settings:
        return None
    from functions.receive.bus import read_bus

    return read_bus(settings["bus"], _integer(settings["max_body_bytes"]))


def _form(settings: Json) -> "BrowserForm | None":
    if not isinstance(settings, dict):
        return None
    from functions.receive.browser_form import read_form

    return read_form(settings)


def _handshakes(entries: list[Json]) -> "tuple[Handshake, ...]":
    if not entries:
        return ()
    from functions.receive.handshakes import read_handshake

    return tuple(map(read_handshake, entries))
