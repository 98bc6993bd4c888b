"""Alerts and silence, as the slices of transform and notify have them. Nothing where nobody gets any."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from deploy.config.compiling.gathering import can_digest, quiet_hours
from deploy.config.models.alerts import AlertsConfig
from deploy.config.models.destination import DestinationConfig
from deploy.config.models.source import SilenceConfig, SourceConfig
from functions.notify.waiting.schedule import DIGEST_RETRY_SECONDS
from shared.jsontext import Json, JsonObject


def compiled_seen(sources: Mapping[str, SourceConfig]) -> JsonObject:
    """Return the part of transform's slice: how often it notes when a source was last seen."""
    seen: JsonObject = {name: _interval_seconds(source.silence) for name, source in sources.items() if source.silence}
    return {"seen": seen} if seen else {}


def _interval_seconds(silence: SilenceConfig) -> float:
    """Return the time from one note to the next: a source that sends all the time is written once a minute at most."""
    return min(silence.after / 10, 60.0)


def compiled_alerts(alerts: AlertsConfig | None, sources: Mapping[str, SourceConfig]) -> JsonObject:
    """Return the part of notify's slice: who gets which alerts."""
    to = list(alerts.to) if alerts else []
    silence: JsonObject = {
        name: {
            "after_seconds": source.silence.after,
            "lag_seconds": _interval_seconds(source.silence),
            "to": list[Json](source.silence.to or to),
        }
        for name, source in sources.items()
        if source.silence
    }
    if not to and not silence:
        return {}
    compiled: JsonObject = {"to": list[Json](to), **({"silence": silence} if silence else {})}
    return {"alerts": compiled}


def alert_destinations(
    alerts: AlertsConfig | None, sources: Mapping[str, SourceConfig], destinations: Mapping[str, DestinationConfig]
) -> list[str]:
    """Return the destinations that alerts may come to, those named by `otherwise` included."""
    names = list(alerts.to) if alerts else []
    for source in sources.values():
        names += (source.silence.to if source.silence else None) or []
    found: dict[str, None] = {}
    while names:
        name = names.pop(0)
        if name in destinations and name not in found:
            found[name] = None
            names += [following] if (following := destinations[name].otherwise) else []
    return list(found)


def alert_settings(
    names: Sequence[str],
    every: float,
    destinations: Mapping[str, DestinationConfig],
    settings: Mapping[str, BaseModel],
) -> dict[str, JsonObject]:
    """Return for each of the named destinations how it delivers alerts: together, with retries that end within days."""
    found: dict[str, JsonObject] = {}
    for name in names:
        destination = destinations[name]
        gather: JsonObject = {"digest": {"every_seconds": every, "by": None}, "is_alerts": True}
        if not can_digest(type(settings[name])):
            gather["keeps_all"] = True
        if (hours := quiet_hours(destination.quiet_hours)) is not None:
            gather["quiet_hours"] = hours
        retry = destination.retry if destination.retry is not None else list(DIGEST_RETRY_SECONDS)
        found[name] = {"gather": gather, "retry_seconds": list[Json](retry)}
    return found
