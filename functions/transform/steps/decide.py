"""Decisions: choose whether an event continues, and through which chain.

Each class here is a step, as step.py describes: `prepare` runs once, and `apply` or `ask` for each event. A setting
named `whole` is the only one, and `short_form` is the one that a text sets. The results `step.Stop` and `step.Switch`
have the names of the steps that return them.
"""

import hashlib
import re
import sys
from typing import Annotated, ClassVar, Final, NotRequired

from functions.transform import comparisons, expression_paths, paths, step
from shared import errors, expressions, jsontext, times
from shared.config.rules import LISTED, Name, Seconds, limits, read_by
from shared.event import Event, view_of

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # the one that pydantic takes there
    from typing_extensions import TypedDict

_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_HASH_BYTES: Final = 8
"""This many bytes at the beginning of a hash decide whether an event is in the sample."""

Reason = Annotated[str, limits(min_length=1, max_length=200)]


def _is_true(condition: expressions.Expression, event: Event) -> bool:
    """Return whether the condition is true. Raises Permanent (`expression_failed`) if it cannot be computed."""
    return expressions.is_true(_compute(condition, event))


def _compute(condition: expressions.Expression, event: Event) -> jsontext.Json:
    """Return the value of the condition for the event. Raises Permanent (`expression_failed`) if it has none.

    The error also says what is likely wrong with the condition.
    """
    view = view_of(event)
    try:
        return condition.search(view)
    except errors.Permanent as error:
        hint = comparisons.false_hint(condition, view)
        raise errors.Permanent(error.code, f"{error.detail}{hint}") from error


class Filter(step.Settings, step.Step):
    """A JMESPath condition, or `{keep, reason}`. An event for which it is false, null or empty ends here.

    If the condition fails, for example because it compares a text with a number, the event becomes a dead letter.

    keep    a JMESPath condition over the event
    reason  why other events end here, for the journal and the log
    """

    summary: ClassVar[str] = "Continue only with events for which a condition is true, and say why the others end."
    example: ClassVar[step.Example] = step.Example(
        settings={"keep": "data.plan != 'free'", "reason": "a free plan"},
        before={"plan": "free"},
        after=None,
        stops="a free plan: data.plan != 'free' is not true",
    )

    short_form: ClassVar[str] = "keep"

    keep: paths.ExpressionText
    reason: Reason | None = None

    def prepare(self) -> None:
        self._keep = expressions.Expression(self.keep)

    def apply(self, event: Event, _: step.StepContext) -> Event | step.Noted | step.Stop:
        value = _compute(self._keep, event)
        if expressions.is_true(value):
            # A text such as "false" counts as true. That is seldom what the operator means.
            hint = comparisons.truth_hint(self._keep, value)
            return step.Noted(event, hint) if hint else event
        view = view_of(event)
        hint = comparisons.false_hint(self._keep, view)
        rule = f"{self._keep.text} is not true{hint}"
        reason = f"{self.reason}: {rule}" if self.reason else rule
        # `missing` is not logged, because it names fields of the sender.
        return step.Stop(reason, missing=expression_paths.missing_text(self._keep, view=view))


class Stop(step.Settings, step.Step):
    """A reason, or `{reason, when}`. The event ends here.

    reason  why the event ends here, for the journal and the log
    when    a JMESPath condition over the event (default: always)
    """

    summary: ClassVar[str] = "End the event here on purpose, always or if a condition is true."
    example: ClassVar[step.Example] = step.Example(
        settings={"reason": "a test event", "when": "data.test"},
        before={"test": True},
        after=None,
        stops="a test event",
    )

    short_form: ClassVar[str] = "reason"

    reason: Reason
    when: paths.ExpressionText | None = None

    def prepare(self) -> None:
        self._when = _expression(self.when)

    def apply(self, event: Event, _: step.StepContext) -> Event | step.Stop:
        if self._when is None or _is_true(self._when, event):
            return step.Stop(self.reason)
        return event


@step.closed
class Case(TypedDict):
    """
    to    the name of a chain
    when  a JMESPath condition over the event (default: always)
    """

    to: Name
    when: NotRequired[paths.ExpressionText | None]


def _expression(text: str | None) -> expressions.Expression | None:
    return None if text is None else expressions.Expression(text)


class Switch(step.Settings, step.Step):
    """`{to: chain, when: JMESPath condition}`, or a list of them. The first whose condition is true counts.

    The event continues in that chain instead of the rest of this one. If none is true, it continues here.
    """

    summary: ClassVar[str] = "Continue in another chain if a condition is true."
    example: ClassVar[step.Example] = step.Example(
        settings=[{"to": "vip", "when": "data.plan == 'gold'"}, {"to": "trial", "when": "data.plan == 'trial'"}],
        before={"plan": "trial"},
        after={"plan": "trial"},
        leads_to="trial",
    )

    whole: Annotated[list[Case], LISTED, limits(min_length=1)]

    def prepare(self) -> None:
        self._cases = [(_expression(case.get("when")), case["to"]) for case in self.whole]

    def chains(self) -> tuple[str, ...]:
        return tuple(case["to"] for case in self.whole)

    def apply(self, event: Event, _: step.StepContext) -> step.Noted | step.Switch:
        for when, chain in self._cases:
            if when is None or _is_true(when, event):
                return step.Switch(event, chain)
        view = view_of(event)
        conditions = [when for when, _ in self._cases if when]
        hints = (comparisons.false_hint(condition, view) for condition in conditions)
        first_hint = next(filter(None, hints), "")
        missing_fields = expression_paths.missing_text(*conditions, view=view)
        return step.Noted(event, f"no case is true, so the event continues here{first_hint}{missing_fields}")


class Chain(step.Settings, step.Step):
    """The name of a chain. `steps: name` is short for `steps: [chain: name]`."""

    summary: ClassVar[str] = "Go through a named chain, then through the rest of this one."
    example: ClassVar[step.Example] = step.Example(settings="clean", before={"a": 1}, after={"a": 1}, leads_to="clean")

    whole: Name

    def chains(self) -> tuple[str, ...]:
        return (self.whole,)

    def apply(self, event: Event, _: step.StepContext) -> step.StepResult:
        return step.Through(event, self.whole)


def _percentage(value: object) -> object:
    """Return a percentage as it is written. Raises ValueError for any other value."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) < 100:
        raise ValueError("must be a percentage over 0% and under 100%, such as `10%`")
    return value


class Sample(step.Settings, step.Step):
    """A percentage, such as `10%`. The event's id decides whether it continues.

    So the choice is the same when the event is repeated or replayed, and for all events that `split` made of it.
    """

    summary: ClassVar[str] = "Continue with a share of the events, chosen by their ids."
    example: ClassVar[step.Example] = step.Example(settings="99.9%", before={"a": 1}, after={"a": 1})

    whole: Annotated[str, read_by(_percentage)]

    def prepare(self) -> None:
        self._below = float(self.whole.removesuffix("%")) / 100 * 256**_HASH_BYTES

    def apply(self, event: Event, context: step.StepContext) -> Event | step.Stop:
        digest = hashlib.sha256(f"sample {context.original.id}".encode()).digest()
        event_number = int.from_bytes(digest[:_HASH_BYTES], "big")
        if event_number < self._below:
            return event
        return step.Stop(f"not among the {self.whole} that continue")


def _is_without_value(key: jsontext.Json) -> bool:
    """Return whether the key is null, an empty text as a form has it, or a list of such keys only."""
    return key in (None, "") or (isinstance(key, list) and all(map(_is_without_value, key)))


class Deduplicate(step.Settings, step.AskingStep):
    """A key, or `{key, window}`. Of the events with one key within the window, only the first continues.

    If the first event is repeated or replayed, it continues again. An event whose key is null, an empty text, or a
    list with nothing else in it always continues.

    key     JMESPath over the event: a value, or a list such as `[data.shop, data.order]`
    window  begins with the first event (default: 1d)
    """

    summary: ClassVar[str] = "Continue only with the first event of a key within a time window."
    example: ClassVar[step.Example] = step.Example(
        settings={"key": "data.order.id", "window": "1h"}, before={"order": {"id": 7}}, after={"order": {"id": 7}}
    )

    short_form: ClassVar[str] = "key"

    key: paths.ExpressionText
    window: Annotated[Seconds, limits(gt=0, le=30 * 86_400)] = 86_400.0

    def prepare(self) -> None:
        self._key = expressions.Expression(self.key)
        tree = self._key.tree
        values = tree["children"] if tree["type"] == "multi_select_list" else [tree]
        self._paths = [path for value in values if (path := paths.path_of(value))]
        self._missing = paths.MissingPaths()

    async def ask(
        self, event: Event, context: step.StepContext, services: step.Services
    ) -> Event | step.Noted | step.Stop:
        value = self._key.search(view_of(event))
        if _is_without_value(value):
            note = self._missing.note(event.data, self._paths, "the event continues without a key")
            return step.Noted(event, note) if note else event
        key = hashlib.sha256(jsontext.canonical([context.route, self.key, value])).hexdigest()
        received_at = times.unix_seconds(context.original.receivedat)
        owner = await services.owners.owner(key, event.id, received_at, self.window)
        if owner == event.id:
            return event
        return step.Stop(f"the event {owner} came first with this {self.key}")
