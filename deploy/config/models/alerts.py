"""Alerts to the operator: `alerts` of the whole file, and `silence` of a source."""

from typing import Annotated, Final

from pydantic import Field

from deploy.config.models.source import DestinationNames
from shared.config.rules import Seconds
from shared.config.values import Model

DEFAULT_EVERY_SECONDS: Final = 300.0


class AlertsConfig(Model):
    """Alerts about dead letters, paused and disabled destinations, and quiet sources.

    to     the destinations that get them
    every  the time from one message to the next: what happens meanwhile goes out together
    """

    to: DestinationNames
    every: Annotated[Seconds, Field(ge=1, le=86_400)] = DEFAULT_EVERY_SECONDS
