"""The settings by which a destination gathers deliveries, as notify's slice has them."""

from pydantic import BaseModel

from deploy.config.models.destination import DestinationConfig
from deploy.config.models.gathering import CoalesceConfig, DigestConfig, QuietHoursConfig, minute_of
from functions.notify.digests.settings import DEFAULT_MAX_EVENTS
from shared.jsontext import Json, JsonObject
from shared.templating.template import TemplateFault, is_template, one_line_template

LINES = ("subject", "title", "text")
"""The settings of kinds whose first line serves as an event's line in a digest, in the order of preference."""
RECIPIENTS = ("to", "cc", "bcc", "topic", "token", "fid", "channel", "urls")
"""The settings of kinds that say who gets a message."""


def gather_settings(destination: DestinationConfig, settings: BaseModel) -> Json:
    """Return the settings as notify reads them; None for a destination that does not gather."""
    is_rated = destination.rate is not None and can_digest(type(settings)) and not event_recipients(settings)
    if not (destination.coalesce or destination.digest or destination.quiet_hours or is_rated):
        return None
    written: JsonObject = {
        "coalesce": _coalesce(destination.coalesce),
        "digest": _digest(destination.digest),
        "quiet_hours": quiet_hours(destination.quiet_hours),
        "is_rated": is_rated or None,
        "line": destination.digest.line if destination.digest and destination.digest.line else own_line(settings),
        "max_events": destination.digest.max if destination.digest else DEFAULT_MAX_EVENTS,
    }
    return {name: value for name, value in written.items() if value is not None}


def can_digest(model: type[BaseModel]) -> bool:
    """Return whether the kind can deliver a digest: it declares `digests`, as those for people do."""
    return getattr(model, "digests", False) is True


def event_recipients(settings: BaseModel) -> list[str]:
    """Return the settings by which an event names its recipients: the events of one digest might name several."""
    found: list[str] = []
    for name in RECIPIENTS:
        value = getattr(settings, name, None)
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(text, str) and is_template(text) for text in texts):
            found.append(name)
    return found


def own_line(settings: BaseModel) -> str | None:
    """Return the first line of the kind's own text, where the operator wrote one and it is a template by itself."""
    for name in LINES:
        text = getattr(settings, name, None)
        if name in settings.model_fields_set and isinstance(text, str) and (line := text.strip().partition("\n")[0]):
            try:
                one_line_template("line", line)
            except TemplateFault:
                continue
            return line
    return None


def _coalesce(config: CoalesceConfig | None) -> Json:
    if config is None:
        return None
    return {
        "by": config.by,
        "wait_seconds": config.wait,
        "max_wait_seconds": config.max_wait,
        "keep": config.keep,
    }


def _digest(config: DigestConfig | None) -> Json:
    return None if config is None else {"every_seconds": config.every, "by": config.by}


def quiet_hours(config: QuietHoursConfig | None) -> Json:
    if config is None:
        return None
    return {"begin": minute_of(config.from_), "end": minute_of(config.to), "timezone": config.tz}
