"""Alerts to the operator: `alerts` of the whole file, and `silence` of a source."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from shared.config.rules import Name, Seconds, listed
from shared.config.values import Model

DEFAULT_EVERY_SECONDS: Final = 300.0
Names = Annotated[list[Name], BeforeValidator(listed), Field(min_length=1)]


class AlertsConfig(Model):
    """Alerts about dead letters, paused and disabled destinations, and quiet sources.

    to     the destinations that get them
    every  the time from one message to the next: what happens meanwhile goes out together
    """

    to: Names
    every: Annotated[Seconds, Field(ge=1, le=86_400)] = DEFAULT_EVERY_SECONDS


class SilenceConfig(Model):
    """Alerts when no event of the source was accepted for so long, and when it sends again.

    after  how long
    to     the destinations that get them; default: those of `alerts`
    """

    after: Annotated[Seconds, Field(ge=60, le=90 * 86_400)]
    to: Names | None = None
