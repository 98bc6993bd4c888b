"""Decisions: choose whether an event continues, and through which chain."""

import hashlib
import re
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from functions.transform.comparisons import number_hint
from functions.transform.fields import ExpressionText
from functions.transform.step import AskingStep, Example, Services, Step, StepContext, StepResult, Through
from functions.transform.step import Stop as Stopped
from functions.transform.step import Switch as Switched
from shared.config.values import Name, Seconds, listed
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import Expression, is_true
from shared.jsontext import canonical
from shared.times import unix_seconds

_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")

Reason = Annotated[str, Field(min_length=1, max_length=200)]


def _holds(condition: Expression, event: Event) -> bool:
    """Return whether the condition is true. Raises Permanent (`expression_failed`) if it cannot be computed."""
    view = view_of(event)
    try:
        return is_true(condition.search(view))
    except Permanent as error:
        raise Permanent(error.code, f"{error.detail}{number_hint(condition, view)}") from error


class FilterSettings(BaseModel):
    """
    keep    a JMESPath condition over the event
    reason  why other events end here, for the journal and the log
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: ExpressionText
    reason: Reason | None = None


def _with_keep(settings: object) -> object:
    return {"keep": settings} if isinstance(settings, str) else settings


class Filter(
    RootModel[Annotated[FilterSettings, BeforeValidator(_with_keep, json_schema_input_type=str | FilterSettings)]], Step
):
    """A JMESPath condition, or `{keep, reason}`. An event for which it is false, null or empty ends here."""

    summary: ClassVar[str] = "Continue only with events for which a condition is true, and say why the others end."
    example: ClassVar[Example] = Example(
        settings={"keep": "data.plan != 'free'", "reason": "a free plan"},
        before={"plan": "free"},
        after=None,
        stops="a free plan: data.plan != 'free' is not true",
    )
    model_config = ConfigDict(frozen=True)
    _keep: Expression = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._keep = Expression(self.root.keep)

    def apply(self, event: Event, _: StepContext) -> Event | Stopped:
        if _holds(self._keep, event):
            return event
        rule = f"{self._keep.text} is not true{number_hint(self._keep, view_of(event))}"
        return Stopped(f"{self.root.reason}: {rule}" if self.root.reason else rule)


class StopSettings(BaseModel):
    """
    reason  why the event ends here, for the journal and the log
    when    a JMESPath condition over the event (default: always)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    when: ExpressionText | None = None


def _with_reason(settings: object) -> object:
    return {"reason": settings} if isinstance(settings, str) else settings


class Stop(
    RootModel[Annotated[StopSettings, BeforeValidator(_with_reason, json_schema_input_type=str | StopSettings)]], Step
):
    """A reason, or `{reason, when}`. The event ends here."""

    summary: ClassVar[str] = "End the event here on purpose, always or if a condition is true."
    example: ClassVar[Example] = Example(
        settings={"reason": "a test event", "when": "data.test"},
        before={"test": True},
        after=None,
        stops="a test event",
    )
    model_config = ConfigDict(frozen=True)
    _when: Expression | None = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._when = None if self.root.when is None else Expression(self.root.when)

    def apply(self, event: Event, _: StepContext) -> Event | Stopped:
        if self._when is None or _holds(self._when, event):
            return Stopped(self.root.reason)
        return event


class Case(BaseModel):
    """
    to    the name of a chain
    when  a JMESPath condition over the event (default: always)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Name
    when: ExpressionText | None = None


class Switch(RootModel[Annotated[list[Case], BeforeValidator(listed), Field(min_length=1)]], Step):
    """`{to: chain, when: JMESPath condition}`, or a list of them. The first whose condition is true counts.

    The event continues in that chain instead of the rest of this one. If none is true, it continues here.
    """

    summary: ClassVar[str] = "Continue in another chain if a condition is true."
    example: ClassVar[Example] = Example(
        settings=[{"to": "vip", "when": "data.plan == 'gold'"}, {"to": "trial", "when": "data.plan == 'trial'"}],
        before={"plan": "trial"},
        after={"plan": "trial"},
        leads_to="trial",
    )
    model_config = ConfigDict(frozen=True)
    _cases: list[tuple[Expression | None, str]] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._cases = [(None if case.when is None else Expression(case.when), case.to) for case in self.root]

    def chains(self) -> tuple[str, ...]:
        return tuple(case.to for case in self.root)

    def apply(self, event: Event, _: StepContext) -> Event | Switched:
        for when, chain in self._cases:
            if when is None or _holds(when, event):
                return Switched(event, chain)
        return event


class Chain(RootModel[Name], Step):
    """The name of a chain. `steps: name` is short for `steps: [chain: name]`."""

    summary: ClassVar[str] = "Go through a named chain, then through the rest of this one."
    example: ClassVar[Example] = Example(settings="clean", before={"a": 1}, after={"a": 1}, leads_to="clean")
    model_config = ConfigDict(frozen=True)

    def chains(self) -> tuple[str, ...]:
        return (self.root,)

    def apply(self, event: Event, _: StepContext) -> StepResult:
        return Through(event, self.root)


def _percentage(value: object) -> object:
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < float(found[1]) < 100:
        raise ValueError("must be a percentage over 0% and under 100%, such as `10%`")
    return value


class Sample(RootModel[Annotated[str, BeforeValidator(_percentage)]], Step):
    """A percentage, such as `10%`. The choice is the same each time an event comes, and for its parts after `split`."""

    summary: ClassVar[str] = "Continue with a share of the events, chosen by their ids."
    example: ClassVar[Example] = Example(settings="99.9%", before={"a": 1}, after={"a": 1})
    model_config = ConfigDict(frozen=True)
    _below: float = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._below = float(self.root.removesuffix("%")) / 100 * 2**64

    def apply(self, event: Event, context: StepContext) -> Event | Stopped:
        place = int.from_bytes(hashlib.sha256(f"sample {context.original.id}".encode()).digest()[:8], "big")
        return event if place < self._below else Stopped(f"not among the {self.root} that continue")


class DeduplicateSettings(BaseModel):
    """
    key     JMESPath over the event, a value or a list of several
    window  begins with the first event (default: 1d)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: ExpressionText
    window: Annotated[Seconds, Field(gt=0, le=30 * 86_400)] = 86_400.0


def _with_key(settings: object) -> object:
    return {"key": settings} if isinstance(settings, str) else settings


class Deduplicate(
    RootModel[
        Annotated[DeduplicateSettings, BeforeValidator(_with_key, json_schema_input_type=str | DeduplicateSettings)]
    ],
    AskingStep,
):
    """A key, or `{key, window}`. Of the events with one key within the window, only the first continues.

    The first event continues each time it comes. An event whose key is null always continues.
    """

    summary: ClassVar[str] = "Continue only with the first event of a key within a time window."
    example: ClassVar[Example] = Example(
        settings={"key": "data.order.id", "window": "1h"}, before={"order": {"id": 7}}, after={"order": {"id": 7}}
    )
    model_config = ConfigDict(frozen=True)
    _key: Expression = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._key = Expression(self.root.key)

    async def ask(self, event: Event, context: StepContext, services: Services) -> Event | Stopped:
        value = self._key.search(view_of(event))
        if value is None:
            return event
        key = hashlib.sha256(canonical([context.route, self.root.key, value])).hexdigest()
        received_at = unix_seconds(context.original.receivedat)
        owner = await services.owners.owner(key, event.id, received_at, self.root.window)
        return event if owner == event.id else Stopped(f"the event {owner} came first with this {self.root.key}")
