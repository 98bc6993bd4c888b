"""Reading the destinations of notify's slice."""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Final

from functions.notify.destination import KINDS
from functions.notify.registry import Configured, Recipient
from shared.jsontext import Json, JsonObject
from shared.outgoing.gate import BreakerSettings
from shared.own_modules import OwnModuleFault, own_sources
from shared.settings import SliceFault

if TYPE_CHECKING:
    from functions.notify.digests.settings import GatherSettings

SUBSCRIBERS: Final = "subscribers"
FAN_OUT_SECONDS: Final = 60.0
"""The longest duration of a fan-out; the `timeout` of its destination is that of a request to an endpoint."""


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
    from functions.notify.registry import load_own_kinds  # few configurations have one

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


def _for_alerts(configured: Configured, written: Json) -> Configured | None:
    if not isinstance(written, dict):
        return None
    from functions.notify.digests.settings import read_gather_settings  # few destinations get alerts

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
    from functions.notify.digests.settings import read_gather_settings  # few destinations have them

    per = written.get("per")
    return read_gather_settings(written["gather"], per if isinstance(per, str) else None)
