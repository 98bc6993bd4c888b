"""Alerts to the operator: the model of `alerts`, its faults, and what transform and notify get of it.

An alert is an event about Hookchain itself, such as a dead letter, that goes to one of the file's own destinations. The
`silence` of a source asks for an alert when the source has sent nothing for a while:

    alerts: {to: ops, every: 10m}
    sources:
      shop: {secret: shop-key, silence: {after: 1d, to: [sales]}}    # `to` replaces that of `alerts`
"""

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

    to     the destinations that get the alerts
    every  the time from one message to the next; alerts of that time go out together
    """

    to: DestinationNames
    every: Annotated[Seconds, Field(ge=1, le=86_400)] = DEFAULT_EVERY_SECONDS


def alert_faults(file: ConfigFile) -> Iterator[Fault]:
    """Yield those faults of `alerts`, and of each source's `silence`, that the models do not report."""
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
    """Yield the faults of destinations that get alerts and cannot deliver them.

    `settings` are the valid settings by the name of the destination.
    """
    every = alerts.every if alerts else DEFAULT_EVERY_SECONDS
    for name in alert_destinations(alerts, sources, destinations):
        destination = destinations[name]
        at: DocumentPath = ("destinations", name)
        setting = _setting_with_event_recipients(settings[name]) if name in settings else None
        if setting is not None:
            rule = "gets alerts, and must not take its recipients from each event, because an alert names none"
            advice = "Write the recipients out, or name another destination for alerts"
            text = f"{rule}; got `{setting}` with a place in the event. {advice}"
            yield fault_at(file, (*at, destination.kind, setting), text)
        expiry = destination.expires_after
        if expiry is not None and expiry <= every:
            found = f"got {duration_text(expiry)}"
            rule = f"must be longer than the {duration_text(every)} for which alerts wait for each other; {found}"
            yield fault_at(file, (*at, "expires_after"), f"{rule}. Raise it, or lower `every` of `alerts`")


def _setting_with_event_recipients(settings: BaseModel) -> str | None:
    """Return the first setting that takes its recipients from each event; None if no setting does."""
    recipient = getattr(settings, "recipient", None)
    if isinstance(recipient, dict) and recipient.get("path"):  # `to` is the path of a person's name in the event
        return "to"
    return next(iter(event_recipients(settings)), None)


def compiled_seen(sources: Mapping[str, SourceConfig]) -> JsonObject:
    """Return the settings of transform: for each source with `silence`, how often it stores that the source has sent.

    Returns `{"seen": {"shop": 60.0}}`, in seconds, or nothing without such a source.
    """
    seen: JsonObject = {name: _interval_seconds(source.silence) for name, source in sources.items() if source.silence}
    return {"seen": seen} if seen else {}


def _interval_seconds(silence: SilenceConfig) -> float:
    """Return the least time between two writes of when a source was last seen.

    A minute is enough, because notify looks for quiet sources once a minute. A short silence needs a shorter interval,
    which is the most by which its alert is late.
    """
    return min(silence.after / 10, 60.0)


def compiled_alerts(alerts: AlertsConfig | None, sources: Mapping[str, SourceConfig]) -> JsonObject:
    """Return the settings of notify: the destinations of all alerts, and of those about each source's silence."""
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
    compiled: JsonObject = {"to": list[Json](to)}
    if silence:
        compiled["silence"] = silence
    return {"alerts": compiled}


def alert_destinations(
    alerts: AlertsConfig | None, sources: Mapping[str, SourceConfig], destinations: Mapping[str, DestinationConfig]
) -> list[str]:
    """Return the destinations that can get an alert: those named for alerts, and the `otherwise` of each of them."""
    named = [*alerts.to] if alerts else []
    for source in sources.values():
        if source.silence and source.silence.to:
            named += source.silence.to
    reached: list[str] = []
    for name in named:  # grows in the loop, because `otherwise` can name a destination that has another `otherwise`
        if name in destinations and name not in reached:
            reached.append(name)
            fallback = destinations[name].otherwise
            if fallback:
                named.append(fallback)
    return reached


def compiled_alert_delivery(destination: DestinationConfig, settings: BaseModel, every: float) -> JsonObject:
    """Return how the destination delivers alerts: those of `every` seconds together, with retries for days."""
    gathering: JsonObject = {"digest": {"every_seconds": every, "by": None}, "is_alerts": True}
    if not can_digest(type(settings)):
        gathering["keeps_all"] = True
    if destination.quiet_hours is not None:
        gathering["quiet_hours"] = destination.quiet_hours.compiled()
    retry = destination.retry if destination.retry is not None else list(DIGEST_RETRY_SECONDS)
    return {"gather": gathering, "retry_seconds": list[Json](retry)}
