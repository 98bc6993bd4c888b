"""Decide: whether an event goes on, and through which chain."""

import hashlib
import re
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from functions.transform.comparisons import number_hint
from functions.transform.expression_text import ExpressionText
from functions.transform.step import Example, Step, StepContext, StepResult, Through
from functions.transform.step import Stop as Stopped
from functions.transform.step import Switch as Switched
from shared.config.values import Name, listed
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import Expression, is_true

_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")

Reason = Annotated[str, Field(min_length=1, max_length=200)]


def _holds(condition: Expression, event: Event) -> bool:
    """Return whether the condition is true. Raises Permanent (`expression`) where it cannot be computed."""
    view = view_of(event)
    try:
        return is_true(condition.search(view))
    except Permanent as error:
        raise Permanent(error.code, f"{error.detail}{number_hint(condition, view)}") from error


class FilterSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: ExpressionText
    reason: Reason | None = None


def _keep(settings: object) -> object:
    return {"keep": settings} if isinstance(settings, str) else settings


class Filter(
    RootModel[Annotated[FilterSettings, BeforeValidator(_keep, json_schema_input_type=str | FilterSettings)]], Step
):
    """A JMESPath condition, or `{keep: condition, reason: words}`. What is false, null or empty stops here."""

    summary: ClassVar[str] = "Go on only with events for which a condition is true; say why not with the others."
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
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    when: ExpressionText | None = None


def _reason(settings: object) -> object:
    return {"reason": settings} if isinstance(settings, str) else settings


class Stop(
    RootModel[Annotated[StopSettings, BeforeValidator(_reason, json_schema_input_type=str | StopSettings)]], Step
):
    """The reason, or `{reason: words, when: JMESPath condition}`."""

    summary: ClassVar[str] = "End the route here on purpose, always or when a condition is true."
    example: ClassVar[Example] = Example(
        settings={"reason": "a test of the sender's", "when": "data.test"},
        before={"test": True},
        after=None,
        stops="a test of the sender's",
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
    """`when` may be left out: then it is always taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Name
    when: ExpressionText | None = None


class Switch(RootModel[Annotated[list[Case], BeforeValidator(listed), Field(min_length=1)]], Step):
    """`{to: chain, when: JMESPath condition}`, or a list of them: the first whose condition is true.

    The event goes on in that chain and not in this one's rest. Where none is true, it goes on here.
    """

    summary: ClassVar[str] = "Go on in another chain where a condition is true."
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

    summary: ClassVar[str] = "Go through a named chain, then on with the steps after this one."
    example: ClassVar[Example] = Example(settings="clean", before={"a": 1}, after={"a": 1}, leads_to="clean")
    model_config = ConfigDict(frozen=True)

    def chains(self) -> tuple[str, ...]:
        return (self.root,)

    def apply(self, event: Event, _: StepContext) -> StepResult:
        return Through(event, self.root)


def _share(value: object) -> object:
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < float(found[1]) < 100:
        raise ValueError("write a percentage over 0% and under 100%, such as `10%`")
    return value


class Sample(RootModel[Annotated[str, BeforeValidator(_share)]], Step):
    """A percentage. An event is always on the same side, however often it comes, and so are its parts after `split`."""

    summary: ClassVar[str] = "Go on with a share of the events, chosen by their ids."
    example: ClassVar[Example] = Example(settings="99.9%", before={"a": 1}, after={"a": 1})
    model_config = ConfigDict(frozen=True)
    _below: float = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._below = float(self.root.removesuffix("%")) / 100 * 2**64

    def apply(self, event: Event, context: StepContext) -> Event | Stopped:
        place = int.from_bytes(hashlib.sha256(f"sample {context.original.id}".encode()).digest()[:8], "big")
        return event if place < self._below else Stopped(f"not among the {self.root} that go on")
