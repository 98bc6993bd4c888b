"""The endpoints of subscribers as destinations, found by the name in a delivery."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from functions.notify.destination import Context, Destination
from functions.notify.registry import Configured
from functions.notify.subscribers.cache import TimedCache
from functions.notify.subscribers.endpoint_destination import EndpointDestination, MakeOpener, Seals
from functions.notify.subscribers.endpoint_health import EndpointHealth
from functions.notify.subscribers.subscribers import MAX_ENDPOINTS, Subscribers
from shared.config.rules import rate_of
from shared.delivery import Delivery
from shared.errors import PermanentCode
from shared.subscribers.model import Endpoint
from shared.subscribers.names import SUBSCRIBERS_SOURCE, endpoint_name
from shared.subscribers.payload import PayloadStyle

KEEP_SECONDS: Final = 600.0
"""How long what was made of an endpoint is used again, as long as its document stays the same."""


class ResolvedEndpoint(NamedTuple):
    """The endpoint of a delivery. Without a destination the delivery is final, for the reason in `rejection`."""

    configured: Configured | None
    destination: Destination | None
    rejection: tuple[PermanentCode, str] = ("unknown_destination", "")


class Endpoints:
    """`configured` are all destinations; those that have `endpoints` are of the kind `subscribers`."""

    def __init__(
        self,
        configured: Mapping[str, Configured],
        subscribers: Subscribers,
        context: Context,
        make_opener: MakeOpener,
    ) -> None:
        self._configured = configured
        self._subscribers = subscribers
        self._context = context
        self._seals = Seals(context.secrets, subscribers.settings.secret, make_opener)
        self._made: TimedCache[tuple[Endpoint, ResolvedEndpoint]] = TimedCache(
            context.clock, MAX_ENDPOINTS, KEEP_SECONDS
        )

    async def resolve(self, delivery: Delivery) -> ResolvedEndpoint:
        """Return the endpoint that the delivery is for. A test event also finds a disabled one. Raises Temporary."""
        name = delivery.destination
        parts = endpoint_name(name)
        base = self._configured.get(parts.destination) if parts else None
        if parts is None or base is None or base.endpoints is None:
            destination = parts.destination if parts else name
            return _rejected("unknown_destination", f"the configuration has no destination {destination!r}")
        endpoint = await self._subscribers.endpoint(parts.tenant, parts.endpoint)
        if endpoint is not None and not self._subscribers.is_ready(endpoint):
            # A rejection is final, and the endpoint may have been enabled since, to recover what it missed.
            endpoint = await self._subscribers.endpoint(parts.tenant, parts.endpoint, is_fresh=True)
        if endpoint is None:
            return _rejected("endpoint_deleted", "the endpoint was deleted")
        if self._subscribers.settings.is_verified_first and not endpoint.is_verified:
            return _rejected("endpoint_disabled", "the endpoint has not proven yet that it wants events")
        if not endpoint.is_enabled:
            if delivery.event.source == SUBSCRIBERS_SOURCE:  # a test event: no others of this source go to endpoints
                return self._make(name, endpoint, replace(base.endpoints, retry_seconds=()))
            why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
            return _rejected("endpoint_disabled", f"the endpoint is disabled{why}")
        made = self._made.get(name)
        if made is None or made[0] is not endpoint:
            made = endpoint, self._make(name, endpoint, base.endpoints)
            self._made.put(name, made)
        return made[1]

    def _make(self, name: str, endpoint: Endpoint, options: Configured) -> ResolvedEndpoint:
        health = EndpointHealth(endpoint, self._subscribers)
        configured = replace(options, name=name, rate=_slower(endpoint.rate, options.rate), health=health)
        settings = self._subscribers.settings
        destination = EndpointDestination(endpoint, _style(options), settings, self._context, self._seals)
        return ResolvedEndpoint(configured, destination)


def _rejected(code: PermanentCode, reason: str) -> ResolvedEndpoint:
    return ResolvedEndpoint(None, None, (code, reason))


def _style(options: Configured) -> PayloadStyle:
    settings = options.settings
    return "data" if isinstance(settings, dict) and settings.get("payload") == "data" else "standard"


def _slower(own: str, configured: tuple[int, float] | None) -> tuple[int, float] | None:
    """Return the endpoint's own rate, where it is no faster than the destination's."""
    try:
        wanted = rate_of(own) if own else None
    except ValueError:  # it was saved under another rule
        wanted = None
    if wanted is None or configured is None:
        return wanted or configured
    return min(wanted, configured, key=lambda rate: rate[0] / rate[1])
