"""Deduplicate: of events that tell the same, the first goes on."""

import hashlib
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from functions.transform.expression_text import ExpressionText
from functions.transform.step import AskingStep, Example, Services, StepContext, Stop
from shared.config.values import Seconds
from shared.event import Event, view_of
from shared.expressions import Expression
from shared.jsontext import canonical
from shared.times import unix_seconds


class DeduplicateSettings(BaseModel):
    """`key`: JMESPath over the event, a value or a list of several. `window` begins with the first event."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ExpressionText
    window: Annotated[Seconds, Field(gt=0, le=30 * 86_400)] = 86_400.0


def _key(settings: object) -> object:
    return {"key": settings} if isinstance(settings, str) else settings


class Deduplicate(
    RootModel[Annotated[DeduplicateSettings, BeforeValidator(_key, json_schema_input_type=str | DeduplicateSettings)]],
    AskingStep,
):
    """The key, or `{key, window}` (a day where it is not said). Of events of one key within the window the first goes
    on, and goes on again however often it comes. Where the key is null, nothing can be told, and the event goes on."""

    summary: ClassVar[str] = "Go on with the first event of a key within a window of time."
    example: ClassVar[Example] = Example(
        settings={"key": "data.order.id", "window": "1h"}, before={"order": {"id": 7}}, after={"order": {"id": 7}}
    )
    model_config = ConfigDict(frozen=True)
    _key: Expression = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._key = Expression(self.root.key)

    async def ask(self, event: Event, context: StepContext, services: Services) -> Event | Stop:
        value = self._key.search(view_of(event))
        if value is None:
            return event
        key = hashlib.sha256(canonical([context.route, self.root.key, value])).hexdigest()
        received_at = unix_seconds(context.original.receivedat)
        owner = await services.owners.owner(key, event.id, received_at, self.root.window)
        return event if owner == event.id else Stop(f"the event {owner} came first with this {self.root.key}")
