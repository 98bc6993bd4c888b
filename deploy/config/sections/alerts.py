"""Alerts to the operator: `alerts` of the whole file and `silence` of a source, their faults and their compiling."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import BaseModel, Field

from deploy.config.config_file import ConfigFile, DocumentPath, Fault
from deploy.config.model_faults import fault_at, unknown_names
from deploy.config.sections.destination import DestinationConfig, can_digest, event_recipients
from deploy.config.sections.source import DestinationNames, SilenceConfig, SourceConfig
from functions.notify.waiting.schedule import DIGEST_RETRY_SECONDS
from shared.config.rules import Seconds
from shared.config.values import Model
from shared.jsontext import Json, JsonObject
from shared.times import duration_text

DEFAULT_EVERY_SECONDS: Final = 300.0


class AlertsConfig(Model):
    """Alerts about dead letters, paused and disabled destinations, and quiet sources.

    to     the destinations that get them
    every  the time from one message to the next: what happens meanwhile goes out together
    """

    to: DestinationNames
    every: Annotated[Seconds, Field(ge=1, le=86_400)] = DEFAULT_EVERY_SECONDS


def alert_faults(file: ConfigFile) -> Iterator[Fault]:
    """Yield the faults of `alerts`, and of each source's `silence`, that their types do not show."""
    yield from unknown_names(file, ("alerts", "to"), "destination")
    for name, source in file.mappings("sources").items():
        silence = source.get("silence")
        if isinstance(silence, dict):
            at: DocumentPath = ("sources", name, "silence")
            yield from unknown_names(file, (*at, "to"), "destination")
            if "to" not in silence and file.value("alerts") is None:
                rule = "must say who gets the alert, because the file has no `alerts`; got no `to`"
                yield fault_at(file, at, f"{rule}. Add `to`, or `alerts: {{to: NAME}}` to the file")


def alert_destination_faults(
    file: ConfigFile,
    alerts: AlertsConfig | None,
    sources: Mapping[str, SourceConfig],
    destinations: Mapping[str, DestinationConfig],
    settings: Mapping[str, BaseModel],
) -> Iterator[Fault]:
    """Yield the destinations that alerts go to and that cannot deliver one. `settings` are those that models accept."""
    every = alerts.every if alerts else DEFAULT_EVERY_SECONDS
    for name in alert_destinations(alerts, sources, destinations):
        at: DocumentPath = ("destinations", name)
        for setting in _settings_read_in_events(settings.get(name))[:1]:
            rule = "gets alerts, and must not take its recipients from each event, because an alert names none"
            advice = "Write the recipients out, or name another destination for alerts"
            yield fault_at(
                file,
                (*at, destinations[name].kind, setting),
                f"{rule}; got `{setting}` with a place in the event. {advice}",
            )
        expiry = destinations[name].expires_after
        if expiry is not None and expiry <= every:
            found = f"got {duration_text(expiry)}"
            rule = f"must be longer than the {duration_text(every)} for which alerts wait for each other; {found}"
            yield fault_at(file, (*at, "expires_after"), f"{rule}. Raise it, or lower `every` of `alerts`")


def _settings_read_in_events(settings: BaseModel | None) -> list[str]:
    """Return the settings of a destination by which each event names its recipients."""
    if settings is None:
        return []
    recipient = getattr(settings, "recipient", None)
    finds_person = isinstance(recipient, dict) and bool(recipient.get("path"))
    return ["to"] if finds_person else event_recipients(settings)


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
    silences = [source.silence for source in sources.values() if source.silence]
    waiting = [*(alerts.to if alerts else []), *(name for silence in silences for name in silence.to or [])]
    reached: dict[str, None] = {}
    for name in waiting:  # which grows
        if name in destinations and name not in reached:
            reached[name] = None
            following = destinations[name].otherwise
            waiting += [following] if following else []
    return list(reached)


def compiled_alert_delivery(destination: DestinationConfig, settings: BaseModel, every: float) -> JsonObject:
    """Return how the destination delivers alerts: those of `every` seconds together, with retries that end in days."""
    gathering: JsonObject = {"digest": {"every_seconds": every, "by": None}, "is_alerts": True}
    if not can_digest(type(settings)):
        gathering["keeps_all"] = True
    if destination.quiet_hours is not None:
        gathering["quiet_hours"] = destination.quiet_hours.compiled()
    retry = destination.retry if destination.retry is not None else list(DIGEST_RETRY_SECONDS)
    return {"gather": gathering, "retry_seconds": list[Json](retry)}
