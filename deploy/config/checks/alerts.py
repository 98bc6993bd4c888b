"""Faults of `alerts` and `silence`, as far as their types do not show them."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from deploy.config.checks.model_faults import fault_at, names_in, unknown_names
from deploy.config.compiling.alerts import alert_destinations
from deploy.config.compiling.gathering import event_recipients
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from deploy.config.models.alerts import DEFAULT_EVERY_SECONDS, AlertsConfig
from deploy.config.models.destination import DestinationConfig
from deploy.config.models.source import SourceConfig
from shared.jsontext import JsonObject
from shared.times import duration_text


def alert_faults(file: ConfigFile, document: JsonObject) -> Iterator[Fault]:
    destinations, alerts, sources = names_in(document, "destinations"), document.get("alerts"), document.get("sources")
    if isinstance(alerts, dict):
        yield from unknown_names(file, ("alerts", "to"), alerts.get("to"), destinations, "destination")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        silence = source.get("silence") if isinstance(source, dict) else None
        if isinstance(silence, dict):
            at: DocumentPath = ("sources", name, "silence")
            yield from unknown_names(file, (*at, "to"), silence.get("to"), destinations, "destination")
            if "to" not in silence and alerts is None:
                rule = "must say who gets the alert, because the file has no `alerts`; got no `to`"
                yield fault_at(file, at, f"{rule}. Add `to`, or `alerts: {{to: NAME}}` to the file")


def unfit_for_alerts(
    file: ConfigFile,
    alerts: AlertsConfig | None,
    sources: Mapping[str, SourceConfig],
    destinations: Mapping[str, DestinationConfig],
    settings: Mapping[str, BaseModel],
) -> Iterator[Fault]:
    """Yield the destinations that alerts go to and that cannot deliver one. `settings` are those without faults."""
    every = alerts.every if alerts else DEFAULT_EVERY_SECONDS
    for name in alert_destinations(alerts, sources, destinations):
        at: DocumentPath = ("destinations", name)
        [kind] = destinations[name].kinds
        recipient = getattr(settings.get(name), "recipient", None)
        by_event = "to" if isinstance(recipient, dict) and recipient.get("path") else None
        if name in settings and (named := by_event or next(iter(event_recipients(settings[name])), None)):
            rule = "gets alerts, and must not take its recipients from each event, because an alert names none"
            act = "Write the recipients out, or name another destination for alerts"
            yield fault_at(file, (*at, kind, named), f"{rule}; got `{named}` with a place in the event. {act}")
        expiry = destinations[name].expires_after
        if expiry is not None and expiry <= every:
            found = f"got {duration_text(expiry)}"
            rule = f"must be longer than the {duration_text(every)} for which alerts wait for each other; {found}"
            yield fault_at(file, (*at, "expires_after"), f"{rule}. Raise it, or lower `every` of `alerts`")
