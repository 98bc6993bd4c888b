"""The destinations of the slice.

A kind's module is imported when the first of its destinations is used.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from functions.notify.destination import KINDS, Context, Destination, kind_module
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.own_modules import OwnModuleFault, own_sources
from shared.secrets import secret_names
from shared.slices import SliceFault

if TYPE_CHECKING:
    from functions.notify.gathering.settings import GatherSettings
    from functions.notify.http_engine import HttpKind
    from functions.notify.subscribers.health import EndpointHealth


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`failures` in a row open the circuit breaker, for `pause_seconds` at first and at most `max_pause_seconds`."""

    failures: int
    pause_seconds: float
    max_pause_seconds: float


SUBSCRIBERS: Final = "subscribers"
FAN_OUT_SECONDS: Final = 60.0
"""The longest duration of a fan-out; the `timeout` of its destination is that of a request to an endpoint."""
ACTOR: Final = "actor"
PAUSED_BY_OPERATOR: Final = "paused by an operator"
"""The reason with which `hookchain pause` or the page disables or pauses a destination."""
ALERT_SOURCE: Final = "/alerts/hookchain"
"""The source of Hookchain's own alerts, and of their digests. No sender's event has it."""


class Recipient(NamedTuple):
    """The person that a destination's `to` names: the one at `path` in each event, or the `person` of that name.

    address  the field of a person that the kind of destination needs, such as `email`
    path     `actor`, or another JMESPath expression over the event
    allowed  mail addresses and domains that an event may give although nobody is listed with them
    """

    address: str
    path: str | None = None
    person: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configured:
    """A destination as the slice has it. `settings` are the kind's.

    retry_seconds          the waits between attempts
    on_unknown             `resend` or `hold`
    expires_after_seconds  the age, from the event's `receivedat`, from which on it is not delivered any more
    otherwise              the name of the destination that gets what this one does not
    success_when           the JMESPath condition that makes a 2xx a success
    own                    the kind's module, where it is the operator's
    breaker                None where it is off
    rate                   the deliveries that may begin, and the seconds for so many
    in_flight              the deliveries that may be under way
    per                    the JMESPath expression for the key that each of the two holds for
    recipient              None where `to` names no person
    gather                 None where each delivery goes out by itself
    endpoints              how it delivers to each endpoint of subscribers, where it is of that kind
    health                 what notes the health of the endpoint that it is; None for a configured destination
    alerts                 how it delivers Hookchain's own alerts, which always gather; None where it gets none
    """

    name: str
    kind: str
    settings: Json
    retry_seconds: tuple[float, ...]
    timeout_seconds: float
    on_unknown: str
    expires_after_seconds: float | None = None
    otherwise: str | None = None
    success_when: str | None = None
    breaker: BreakerSettings | None = None
    own: ModuleType | None = None
    rate: tuple[int, float] | None = None
    in_flight: int | None = None
    per: str | None = None
    recipient: Recipient | None = None
    gather: "GatherSettings | None" = None
    alerts: "Configured | None" = None
    endpoints: "Configured | None" = None
    health: "EndpointHealth | None" = None

    def for_delivery(self, delivery: Delivery) -> "Configured":
        return self.alerts if self.alerts is not None and delivery.event.source == ALERT_SOURCE else self


def read_destinations(slice_: JsonObject) -> Mapping[str, Configured]:
    """Read the destinations. Raises SliceFault, also for a kind without a module."""
    written = slice_.get("destinations")
    if not isinstance(written, dict):
        raise SliceFault("invalid_slice", "notify's slice has no 'destinations'; compile it again")
    own = _own_kinds(slice_.get("own_kinds"))
    return {name: _configured(name, destination, own) for name, destination in written.items()}


def _own_kinds(written: Json) -> Mapping[str, ModuleType]:
    if not written:
        return {}
    from functions.notify.own_kinds import load_own_kinds  # few configurations have one

    try:
        return load_own_kinds(own_sources(written))
    except OwnModuleFault as fault:
        raise SliceFault("invalid_slice", str(fault)) from fault


def _configured(name: str, written: Json, own: Mapping[str, ModuleType]) -> Configured:
    if not isinstance(written, dict):
        raise SliceFault("invalid_slice", f"destination {name!r} is not an object; compile the slice again")
    kind, on_unknown = written.get("kind"), written.get("on_unknown")
    retry, timeout = written.get("retry_seconds"), written.get("timeout_seconds")
    if not isinstance(kind, str) or (kind not in own and not _is_built_in(kind)):
        raise SliceFault("invalid_slice", f"destination {name!r}: there is no kind {kind!r}")
    if not isinstance(retry, list) or not isinstance(timeout, int | float) or on_unknown not in ("resend", "hold"):
        raise SliceFault(
            "invalid_slice", f"destination {name!r} lacks its retries, timeout or on_unknown; compile it again"
        )
    waits = tuple(float(wait) for wait in retry if isinstance(wait, int | float))
    expires, otherwise, success = (written.get(key) for key in ("expires_after_seconds", "otherwise", "success_when"))
    configured = Configured(
        name,
        kind,
        written.get("settings"),
        waits,
        float(timeout),
        str(on_unknown),
        expires_after_seconds=float(expires) if isinstance(expires, int | float) else None,
        otherwise=otherwise if isinstance(otherwise, str) else None,
        success_when=success if isinstance(success, str) else None,
        breaker=_breaker(written.get("breaker")),
        own=own.get(kind),
        rate=_rate(written.get("rate")),
        in_flight=in_flight if isinstance(in_flight := written.get("in_flight"), int) else None,
        per=per if isinstance(per := written.get("per"), str) else None,
        recipient=_recipient(written.get("recipient")),
        gather=_gather(written),
    )
    if kind == SUBSCRIBERS:
        return _fan_out(configured)
    return replace(configured, alerts=_for_alerts(configured, written.get("alerts")))


def _fan_out(configured: Configured) -> Configured:
    """Return the destination as a fan-out, in whose `endpoints` are the settings that hold for each endpoint."""
    return Configured(
        configured.name,
        configured.kind,
        configured.settings,
        configured.retry_seconds,
        FAN_OUT_SECONDS,
        "resend",
        expires_after_seconds=configured.expires_after_seconds,
        otherwise=configured.otherwise,
        endpoints=replace(configured, otherwise=None, per=None, gather=None),
    )


def _for_alerts(configured: Configured, written: Json) -> Configured | None:
    if not isinstance(written, dict):
        return None
    from functions.notify.gathering.settings import read_gather_settings  # few destinations get alerts

    retry = written.get("retry_seconds")
    waits = tuple(float(wait) for wait in retry if isinstance(wait, int | float)) if isinstance(retry, list) else ()
    gather = read_gather_settings(written.get("gather"))
    return replace(configured, gather=gather, retry_seconds=waits or configured.retry_seconds)


def _breaker(written: Json) -> BreakerSettings | None:
    if not isinstance(written, dict):
        return None
    numbers = [written.get(key) for key in ("failures", "pause_seconds", "max_pause_seconds")]
    failures, pause, max_pause = (float(each) if isinstance(each, int | float) else 0.0 for each in numbers)
    return BreakerSettings(int(failures), pause, max_pause) if failures and pause and max_pause else None


def _is_built_in(kind: str) -> bool:
    return kind.isidentifier() and importlib.util.find_spec(f"{KINDS}.{kind}") is not None


def _rate(written: Json) -> tuple[int, float] | None:
    if not isinstance(written, list) or len(written) != 2:
        return None
    count, seconds = written
    return (int(count), float(seconds)) if isinstance(count, int) and isinstance(seconds, int | float) else None


def _recipient(written: Json) -> Recipient | None:
    if not isinstance(written, dict):
        return None
    path, person, allowed = written.get("path"), written.get("person"), written.get("allowed")
    return Recipient(
        str(written.get("address")),
        path if isinstance(path, str) else None,
        person if isinstance(person, str) else None,
        tuple(map(str, allowed)) if isinstance(allowed, list) else (),
    )


def _gather(written: JsonObject) -> "GatherSettings | None":
    if "gather" not in written:
        return None
    from functions.notify.gathering.settings import read_gather_settings  # few destinations have them

    per = written.get("per")
    return read_gather_settings(written["gather"], per if isinstance(per, str) else None)


class Destinations:
    def __init__(self, configured: Mapping[str, Configured], context: Context) -> None:
        self.configured = configured
        self._context = context
        self._connected: dict[str, Destination] = {}

    def connected(self, configured: Configured) -> Destination:
        """Return the connected destination. Raises Temporary if it cannot start: its deliveries wait for a fix."""
        destination = self._connected.get(configured.name)
        if destination is None:
            destination = _connect(configured, self._context)
            self._connected[configured.name] = destination
        return destination


def dedupes_repeats(destination: Destination) -> bool:
    """Return whether the receiver recognises a repeat; False for a kind that does not declare it."""
    return getattr(destination, "dedupes_repeats", False) is True


def module_of(configured: Configured) -> ModuleType:
    """Return the module of the destination's kind. Raises ImportError."""
    return configured.own or importlib.import_module(kind_module(configured.kind))


def _connect(configured: Configured, context: Context) -> Destination:
    try:
        module = module_of(configured)
        model = getattr(module, "Settings", None)
        settings = model.model_validate(configured.settings) if model else configured.settings
        if hasattr(module, "connect"):
            destination: Destination = module.connect(configured.name, settings, context)
            return destination
        from functions.notify.http_engine import HttpDestination  # it brings an HTTP client, which not all kinds need

        names = sorted(set(secret_names(configured.settings)))
        return HttpDestination(cast("HttpKind", module), settings, names, context, configured.success_when)
    except (ImportError, KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        where = f"destination {configured.name!r} of kind {configured.kind!r}"
        raise Temporary(
            "destination_not_loaded", f"{where} cannot start: {type(error).__name__}; bundle it again"
        ) from error
