"""The configured destinations, and the connections to them.

Each destination has a kind, such as `email`, which is a module that delivers. The compiler validates the destinations'
settings and writes them into notify's slice: the part of the configuration that this function gets. So they are not
validated again here. The module of a kind is imported when the first of its destinations is used.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from functions.notify.alerts.alert import ALERT_SOURCE
from functions.notify.destination import KINDS, Context, Destination, kind_module, read_settings
from functions.notify.own_kinds import OwnKinds, own_kinds_of
from shared import errors, jsontext, secrets, times
from shared.delivery import Delivery
from shared.event import Event
from shared.outgoing.circuit import BreakerSettings
from shared.own_modules import OwnModuleFault
from shared.settings import SliceFault

if TYPE_CHECKING:
    from functions.notify.digests.settings import GatherSettings
    from functions.notify.http_engine import HttpKind
    from functions.notify.subscribers.health import EndpointHealth

ACTOR: Final = "actor"
SUBSCRIBERS: Final = "subscribers"
FAN_OUT_SECONDS: Final = 60.0
"""The longest duration of a fan-out. The `timeout` of its destination applies to each request to an endpoint."""


class RecipientRule(NamedTuple):
    """The rule by which `to` names a person: the one at `path` in each event, or the `person` of that name.

    address  the field of a person that the kind of destination needs, such as `email`
    path     `actor`, or a JMESPath expression over the event
    person   the name of one person in `people`, in place of a path
    allowed  mail addresses and domains that an event may give although no listed person has them
    """

    address: str
    path: str | None = None
    person: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """The options with which deliveries to one receiver are attempted. They come in four forms:

    a destination      as the configuration has it
    its alerts         `alert_options`: Hookchain's own alerts are always gathered, and have their own retry schedule
    a fan-out          a destination of the kind `subscribers`, which publishes a delivery to each matching endpoint.
                       `endpoint_options` are what the operator set for those
    an endpoint        the fan-out's `endpoint_options`, with the name and the rate of the endpoint (`is_endpoint`)

    settings               the settings of its kind, as JSON
    retry_seconds          the waits between attempts
    on_unknown             `resend` or `hold`
    expires_after_seconds  the age, from the event's `receivedat`, from which on it is not delivered any more
    otherwise              the name of the destination that gets what this one does not
    success_when           the JMESPath condition that makes a 2xx a success
    own_module             the module of the kind, if it is the operator's own kind
    breaker                None if it is off
    rate                   the number of attempts that may begin in a time, and that time in seconds
    in_flight              the number of attempts that may be under way
    per                    the JMESPath expression for a key; `rate` and `in_flight` then apply to each key
    recipient              None if `to` names no person
    gather                 the settings of its digests; None if each delivery is sent separately
    alert_options          None if it gets no alerts
    endpoint_options       None if it is not a fan-out
    """

    name: str
    kind: str
    settings: jsontext.Json
    retry_seconds: tuple[float, ...]
    timeout_seconds: float
    on_unknown: str
    expires_after_seconds: float | None = None
    otherwise: str | None = None
    success_when: str | None = None
    breaker: BreakerSettings | None = None
    own_module: ModuleType | None = None
    rate: tuple[int, float] | None = None
    in_flight: int | None = None
    per: str | None = None
    recipient: RecipientRule | None = None
    gather: "GatherSettings | None" = None
    alert_options: "DeliveryOptions | None" = None
    endpoint_options: "DeliveryOptions | None" = None
    is_endpoint: bool = False

    @property
    def is_fan_out(self) -> bool:
        return self.endpoint_options is not None

    def has_expired(self, event: Event, at: float) -> bool:
        """Return whether the event is no longer delivered at `at`, in Unix seconds."""
        if self.expires_after_seconds is None:
            return False
        try:
            return at >= times.unix_seconds(event.receivedat) + self.expires_after_seconds
        except ValueError:  # `receive` did not write this time, so the event does not expire
            return False

    def for_delivery(self, delivery: Delivery) -> "DeliveryOptions":
        """Return the options for alerts if the delivery is an alert of Hookchain; otherwise these."""
        is_alert = delivery.event.source == ALERT_SOURCE
        return self.alert_options if self.alert_options is not None and is_alert else self


class Target(NamedTuple):
    """The receiver of a delivery: a destination of the configuration, or a subscriber's endpoint.

    destination  the connection to it
    health       records the health of an endpoint; None for a destination
    """

    configured: DeliveryOptions
    destination: Destination
    health: "EndpointHealth | None" = None


def read_destinations(slice_: jsontext.JsonObject) -> Mapping[str, DeliveryOptions]:
    """Read the destinations. Raises SliceFault, also for a kind without a module."""
    written = slice_.get("destinations")
    if not isinstance(written, dict):
        raise SliceFault("invalid_slice", "notify's slice has no 'destinations'; compile it again")
    try:
        own = own_kinds_of(slice_)
    except OwnModuleFault as fault:
        raise SliceFault("invalid_slice", str(fault)) from fault
    return {name: _configured(name, destination, own) for name, destination in written.items()}


def _configured(name: str, written: jsontext.Json, own: OwnKinds) -> DeliveryOptions:
    """Return the destination that the slice describes. Raises SliceFault."""
    try:
        fields = cast("jsontext.JsonObject", written)
        kind = fields["kind"]
        if kind not in own and not _is_built_in(str(kind)):
            raise SliceFault("invalid_slice", f"destination {name!r}: there is no kind {kind!r}")
        options = {option: _read(option, fields) for option in fields if option != "alerts"}
        # The compiler wrote these fields, and no others, with these types.
        configured = DeliveryOptions(name=name, own_module=own.get(str(kind)), **options)  # type: ignore[arg-type]
        if kind == SUBSCRIBERS:
            return _fan_out(configured)
        if "alerts" in fields:
            return replace(configured, alert_options=_for_alerts(configured, fields["alerts"]))
        return configured
    except (AttributeError, KeyError, TypeError) as fault:  # a member is missing, or has another type
        detail = f"destination {name!r} is not as the compiler writes it; compile the slice again"
        raise SliceFault("invalid_slice", detail) from fault


def _read(option: str, fields: jsontext.JsonObject) -> object:
    """Return the value of an option of DeliveryOptions. Raises TypeError."""
    value = fields[option]
    match option:
        case "retry_seconds" | "rate":
            return tuple(cast("list[float]", value))
        case "breaker":
            return BreakerSettings(**cast("Mapping[str, float]", value))  # type: ignore[arg-type] # `failures` is whole
        case "recipient":
            recipient = cast("jsontext.JsonObject", value)
            allowed = tuple(cast("list[str]", recipient.get("allowed", [])))
            return RecipientRule(**{**recipient, "allowed": allowed})  # type: ignore[arg-type] # the compiler's
        case "gather":
            return _gather_settings(value, fields.get("per"))
    return value


def _fan_out(configured: DeliveryOptions) -> DeliveryOptions:
    """Return a destination of the kind `subscribers` as a fan-out, which publishes one delivery for each endpoint.

    Its options apply to each endpoint, so they become `endpoint_options`. The fan-out itself calls no receiver, and can
    be repeated.
    """
    return DeliveryOptions(
        name=configured.name,
        kind=configured.kind,
        settings=configured.settings,
        retry_seconds=configured.retry_seconds,
        timeout_seconds=FAN_OUT_SECONDS,
        on_unknown="resend",
        expires_after_seconds=configured.expires_after_seconds,
        otherwise=configured.otherwise,
        endpoint_options=replace(configured, otherwise=None, per=None, gather=None),
    )


def _for_alerts(configured: DeliveryOptions, written: jsontext.Json) -> DeliveryOptions:
    """Return the destination with its options for alerts: they are gathered, and have a retry schedule of their own."""
    fields = cast("jsontext.JsonObject", written)
    retry_seconds = tuple(cast("list[float]", fields["retry_seconds"]))
    return replace(configured, gather=_gather_settings(fields["gather"], None), retry_seconds=retry_seconds)


def _gather_settings(written: jsontext.Json, per: jsontext.Json) -> "GatherSettings":
    # Imported here, because few destinations gather.
    from functions.notify.digests.settings import read_gather_settings

    return read_gather_settings(cast("jsontext.JsonObject", written), cast("str | None", per))


def _is_built_in(kind: str) -> bool:
    """Return whether Hookchain has the kind. It is only looked for, because an import would slow down the start."""
    return kind.isidentifier() and find_spec(f"{KINDS}.{kind}") is not None


class Destinations:
    """The destinations of the slice. Each is connected when it is first used."""

    def __init__(self, configured: Mapping[str, DeliveryOptions], context: Context) -> None:
        self.configured = configured
        self._context = context
        self._connected: dict[str, Destination] = {}

    def target_of(self, delivery: Delivery) -> Target | None:
        """Return the delivery's destination; None if no destination of that name is configured.

        Raises Temporary as `connected` does.
        """
        configured = self.configured.get(delivery.destination)
        if configured is None:
            return None
        options = configured.for_delivery(delivery)
        return Target(options, self.connected(options))

    def connected(self, configured: DeliveryOptions) -> Destination:
        """Return the connected destination. Raises Temporary if it cannot start: its deliveries wait for a fix.

        Its options for alerts use the same connection, because they have the same settings.
        """
        destination = self._connected.get(configured.name)
        if destination is None:
            destination = _connect(configured, self._context)
            self._connected[configured.name] = destination
        return destination


def dedupes_repeats(destination: Destination) -> bool:
    """Return whether the receiver recognises a repeated delivery.

    A destination says so by this attribute, which a kind of HTTP requests takes from its `DEDUPES_REPEATS`.
    """
    return getattr(destination, "dedupes_repeats", False) is True


def module_of(configured: DeliveryOptions) -> ModuleType:
    """Return the module of the destination's kind. Raises ImportError."""
    return configured.own_module or importlib.import_module(kind_module(configured.kind))


def _connect(configured: DeliveryOptions, context: Context) -> Destination:
    """Return a new connection to the destination, by the module of its kind. Raises Temporary."""
    try:
        module = module_of(configured)
        settings = read_settings(module, configured.settings)
        if hasattr(module, "connect"):
            destination: Destination = module.connect(configured.name, settings, context)
            return destination
        # Imported here, because it imports an HTTP client, which not all kinds need.
        from functions.notify.http_engine import HttpDestination

        names = sorted(set(secrets.secret_names(configured.settings)))
        kind = cast("HttpKind", module)
        return HttpDestination(kind, settings, names, context, configured.success_when, name=configured.name)
    except (ImportError, KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        where = f"destination {configured.name!r} of kind {configured.kind!r}"
        raise errors.Temporary(
            "destination_not_loaded", f"{where} cannot start: {type(error).__name__}; bundle it again"
        ) from error
