"""What comes behind receive: each stage takes an event that the one before made, and says what it would do with it."""

from collections.abc import Callable, Mapping
from typing import Final

from deploy.explain.report import Stage
from shared.event import Event
from shared.jsontext import JsonObject

LaterStage = Callable[[Event, Mapping[str, JsonObject]], Stage]
"""Of one event and all the slices. Pure but for what it reads of the configuration: nothing is sent anywhere."""

LATER_STAGES: Final[tuple[LaterStage, ...]] = ()


def stages_of(event: Event, slices: Mapping[str, JsonObject]) -> tuple[Stage, ...]:
    return tuple(stage(event, slices) for stage in LATER_STAGES)
