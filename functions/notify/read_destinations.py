"""The destinations of notify's slice, as the compiler wrote them: validated then, and not again."""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

from functions.notify.destination import KINDS
from functions.notify.registry import Configured, Recipient, load_own_kinds
from shared import own_modules, settings
from shared.jsontext import Json, JsonObject
from shared.outgoing.circuit import BreakerSettings

if TYPE_CHECKING:
    from functions.notify.digests.settings import GatherSettings

SUBSCRIBERS: Final = "subscribers"
FAN_OUT_SECONDS: Final = 60.0
"""The longest duration of a fan-out. The `timeout` of its destination applies to each request to an endpoint."""


def read_destinations(slice_: JsonObject) -> Mapping[str, Configured]:
    """Read the destinations. Raises SliceFault, also for a kind without a module."""
    written = slice_.get("destinations")
    if not isinstance(written, dict):
        raise settings.SliceFault("invalid_slice", "notify's slice has no 'destinations'; compile it again")
    own = _own_kinds(slice_.get("own_kinds"))
    return {name: _configured(name, destination, own) for name, destination in written.items()}


def _own_kinds(written: Json) -> Mapping[str, ModuleType]:
    if not written:
        return {}
    try:
        return load_own_kinds(own_modules.own_sources(written))
    except own_modules.OwnModuleFault as fault:
        raise settings.SliceFault("invalid_slice", str(fault)) from fault


def _configured(name: str, written: Json, own: Mapping[str, ModuleType]) -> Configured:
    try:
        fields = cast("JsonObject", written)
        kind = fields["kind"]
        if kind not in own and not _is_built_in(str(kind)):
            raise settings.SliceFault("invalid_slice", f"destination {name!r}: there is no kind {kind!r}")
        read = {field: _read(field, fields) for field in fields if field != "alerts"}
        configured = Configured(name=name, own=own.get(str(kind)), **read)  # type: ignore[arg-type] # the compiler's
        if kind == SUBSCRIBERS:
            return _fan_out(configured)
        return (
            replace(configured, alerts=_for_alerts(configured, fields["alerts"])) if "alerts" in fields else configured
        )
    except (AttributeError, KeyError, TypeError) as fault:
        detail = f"destination {name!r} is not as the compiler writes it; compile the slice again"
        raise settings.SliceFault("invalid_slice", detail) from fault


def _read(field: str, fields: JsonObject) -> object:
    """Return the value of a field of Configured. Raises TypeError."""
    value = fields[field]
    match field:
        case "retry_seconds" | "rate":
            return tuple(cast("list[float]", value))
        case "breaker":
            return BreakerSettings(**cast("Mapping[str, float]", value))  # type: ignore[arg-type] # `failures` is whole
        case "recipient":
            recipient = cast("JsonObject", value)
            allowed = tuple(cast("list[str]", recipient.get("allowed", [])))
            return Recipient(**{**recipient, "allowed": allowed})  # type: ignore[arg-type] # the compiler's
        case "gather":
            return _gather_settings(value, fields.get("per"))
    return value


def _fan_out(configured: Configured) -> Configured:
    """Return the destination as a fan-out, in whose `endpoints` are the settings that apply to each endpoint."""
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


def _for_alerts(configured: Configured, written: Json) -> Configured:
    """Return the destination as it delivers alerts: together, and by a schedule of their own."""
    fields = cast("JsonObject", written)
    retry_seconds = tuple(cast("list[float]", fields["retry_seconds"]))
    return replace(configured, gather=_gather_settings(fields["gather"], None), retry_seconds=retry_seconds)


def _gather_settings(written: Json, per: Json) -> "GatherSettings":
    # Imported here, because few destinations gather.
    from functions.notify.digests.settings import read_gather_settings

    return read_gather_settings(cast("JsonObject", written), cast("str | None", per))


def _is_built_in(kind: str) -> bool:
    return kind.isidentifier() and importlib.util.find_spec(f"{KINDS}.{kind}") is not None
