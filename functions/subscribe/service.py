"""The parts that handlers need: the settings of the slice, the keys, the rate of requests, and the platform's ports."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import ceil
from time import monotonic
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from functions.subscribe import credentials, problems
from shared import ports, store_ports
from shared.fetch import Fetch
from shared.jsontext import JsonObject, list_at, mapping_at, mappings_at, value_at
from shared.ledger import Ledger
from shared.retention import Retention, retention_of
from shared.settings import SliceFault
from shared.subscribers import model, sealing
from shared.subscribers.directory import Directory
from shared.subscribers.payload import PayloadStyle

Verification: TypeAlias = Literal["none", "challenge", "cloudevents"]
VERIFICATIONS: Final[tuple[Verification, ...]] = get_args(Verification)
_DEFAULT_NAME: Final = "Webhooks"
MAX_REQUESTS: Final = 60
"""The most requests of a tenant at once, after a minute without any. One more is possible each INTERVAL_SECONDS."""
INTERVAL_SECONDS: Final = 60 / MAX_REQUESTS
AHEAD_SECONDS: Final = INTERVAL_SECONDS * (MAX_REQUESTS - 1)
"""A request takes the next free slot, at most so far ahead, and does not wait for it. Without one, it is rejected."""
CURSOR: Final = "cursor"
"""The purpose of the keys that sign cursors."""
AT_ONCE: Final = 20
"""The most reads of a request that run at the same time."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """The limits of a tenant (endpoints) and of an endpoint (all others)."""

    endpoints: int = 20
    headers: int = 10
    fields: int = 20
    types: int = 50
    filter_characters: int = 500


@dataclass(frozen=True, slots=True)
class SubscribersDestination:
    """A configured destination that sends to endpoints. `rate` is the highest rate that an endpoint may set."""

    payload: PayloadStyle = "standard"
    rate: str = ""


@dataclass(slots=True)
class PublishedCatalogue:
    """The page of the catalogue, which is used again until `until` (Unix seconds).

    Anybody may request the page, and it costs a read of all event types to make it.
    """

    page: bytes = b""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class SubscribeSettings:
    """The settings of the slice.

    destinations  those of the kind `subscribers`, by name
    event_types   those of the configuration, by name
    public_url    the URL before `/v1` and `/portal` in links; if it is empty, links have the host of the request
    tell          the destination that gets operational events; empty if none does
    """

    destinations: Mapping[str, SubscribersDestination]
    event_types: Mapping[str, model.EventType] = field(default_factory=dict)
    limits: TenantLimits = field(default_factory=TenantLimits)
    retention: Retention = field(default_factory=Retention)
    public_url: str = ""
    portal_name: str = _DEFAULT_NAME
    portal_logo: str = ""
    portal_origins: tuple[str, ...] = ()
    allow_http: bool = False
    allow_private: bool = False
    verify: Verification = "none"
    tell: str = ""

    @property
    def payload(self) -> PayloadStyle:
        """Return the form of the bodies that endpoints get; `standard` if the destinations differ."""
        styles = {each.payload for each in self.destinations.values()}
        return "data" if styles == {"data"} else "standard"


def read_settings(compiled: JsonObject) -> SubscribeSettings:
    """Read the slice. Fields that a newer version added are ignored. Raises SliceFault."""
    try:
        return _read(compiled)
    except (KeyError, TypeError, ValueError) as error:
        fault = f"the slice of 'subscribe' does not read ({type(error).__name__}: {error}); compile it again"
        raise SliceFault("invalid_slice", fault) from error


def _read(compiled: JsonObject) -> SubscribeSettings:
    written = mapping_at(compiled, "subscribers")
    portal = mapping_at(written, "portal")
    limits = mapping_at(written, "limits")
    # A limit that a newer version added is not in TenantLimits.
    known_limits = {
        name: limit for name, limit in limits.items() if name in TenantLimits.__slots__ and isinstance(limit, int)
    }
    return SubscribeSettings(
        destinations={name: _destination(each) for name, each in sorted(mappings_at(compiled, "destinations").items())},
        event_types={name: _event_type(name, each) for name, each in mappings_at(compiled, "event_types").items()},
        limits=TenantLimits(**known_limits),
        retention=retention_of(compiled),
        public_url=_text(written, "public_url").rstrip("/"),
        portal_name=_text(portal, "name") or _DEFAULT_NAME,
        portal_logo=_text(portal, "logo"),
        portal_origins=tuple(map(str, list_at(portal, "origins"))),
        allow_http=written.get("allow_http") is True,
        allow_private=written.get("allow_private") is True,
        verify=_verification(_text(written, "verify") or "none"),
        tell=_text(mapping_at(written, "tell"), "operator"),
    )


def _verification(text: str) -> Verification:
    for kind in VERIFICATIONS:
        if kind == text:
            return kind
    raise ValueError(f"verify is one of {', '.join(VERIFICATIONS)}")


def _destination(written: JsonObject) -> SubscribersDestination:
    """Return a destination of the slice, whose settings may be under the name of its kind."""
    payload = value_at(written.get("subscribers", written), "payload")
    return SubscribersDestination("data" if payload == "data" else "standard", _text(written, "rate"))


def _event_type(name: str, written: JsonObject) -> model.EventType:
    return model.EventType(
        name=name,
        description=_text(written, "description"),
        group=_text(written, "group"),
        schema_=mapping_at(written, "schema"),
        examples=tuple(list_at(written, "examples")),
        is_deprecated=written.get("deprecated") is True,
    )


def _text(written: JsonObject, name: str) -> str:
    return str(written.get(name) or "")


class RequestRate:
    """The rate of a tenant's requests, which all instances keep together. `grants` is called at the first request."""

    def __init__(self, grants: Callable[[], store_ports.Grants], clock: ports.Clock) -> None:
        self._grants = cache(grants)
        self._clock = clock

    async def verify(self, tenant: str) -> None:
        """Count a request of the tenant. Raises ApiProblem (`too_many_requests`), and Temporary."""
        now = self._clock.now()
        bucket = f"api:{tenant}:requests"
        first_slot_at, _, reserved_count = await self._grants().reserve(bucket, 1, INTERVAL_SECONDS, now, AHEAD_SECONDS)
        if reserved_count:
            return
        seconds = max(1, ceil(first_slot_at - now - AHEAD_SECONDS))
        limit = f"{MAX_REQUESTS} requests at once, and then one a second, may verify, test or send again"
        rule = f"at most {limit}; try again in {seconds} s"
        raise problems.ApiProblem("too_many_requests", rule, retry_after_seconds=seconds)


class Keyring:
    """The keys that are derived from the secret of subscribe.

    Each method raises Temporary if the secret does not exist or cannot be used.
    """

    def __init__(self, secrets: ports.Secrets) -> None:
        self._secrets = secrets

    async def portal_keys(self) -> tuple[bytes, ...]:
        """Return the keys of portal tokens, newest first: the first signs, and all of them verify."""
        return _derived(await self._secrets.values(sealing.KEY_SECRET), credentials.PORTAL)

    async def cursor_keys(self) -> tuple[bytes, ...]:
        """Return the keys of cursors, in the same order."""
        return _derived(await self._secrets.values(sealing.KEY_SECRET), CURSOR)

    async def sealer(self) -> sealing.Sealer:
        """Return what seals and opens the secrets of endpoints."""
        return sealing.sealer_of(await self._secrets.values(sealing.KEY_SECRET))


@lru_cache(maxsize=8)
def _derived(values: tuple[str, ...], purpose: str) -> tuple[bytes, ...]:
    return tuple([sealing.derived_key(value, purpose) for value in values])


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that handlers need.

    random_bytes  returns this number of bytes that nobody can guess
    elapsed       a clock in seconds that is never set back, to measure how long a request takes
    request_rate  the rate of a tenant's requests; None if only the operator makes requests
    """

    settings: SubscribeSettings
    directory: Directory
    keyring: Keyring
    ledger: Ledger
    bus: ports.Bus
    blobs: ports.Blobs | None
    fetch: Callable[[], Fetch]
    clock: ports.Clock
    random_bytes: Callable[[int], bytes]
    elapsed: Callable[[], float] = field(default=monotonic)
    catalogue: PublishedCatalogue = field(default_factory=PublishedCatalogue)
    request_rate: RequestRate | None = None

    @property
    def documents(self) -> store_ports.Documents:
        return self.directory.documents


async def await_all(awaitables: Iterable[Awaitable[Result]]) -> list[Result]:
    """Await all of them, AT_ONCE at a time, and return their results in the same order. Raises what one raises."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(awaitable: Awaitable[Result]) -> Result:
        async with turns:
            return await awaitable

    return await asyncio.gather(*map(in_turn, awaitables))
