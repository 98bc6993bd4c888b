"""What comes behind receive: stages that take an event which receive made, and say what they would do with it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from deploy.explain.report import Stage
from deploy.explain.transform_stage import transform_stages
from shared.event import Event
from shared.jsontext import JsonObject

LaterStages = Callable[[Event, Mapping[str, JsonObject], Mapping[str, str]], Sequence[Stage]]
"""Of one event, all the slices and the environment, for secrets. Nothing is sent anywhere."""

LATER_STAGES: Final[tuple[LaterStages, ...]] = (transform_stages,)


def stages_of(event: Event, slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> tuple[Stage, ...]:
    return tuple(stage for stages in LATER_STAGES for stage in stages(event, slices, environ))
