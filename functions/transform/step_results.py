"""Verification of the results of steps. An operator's own step can return anything."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from functions.transform.output import verify_change, verify_events, verify_output
from functions.transform.step import Many, NamedStep, Noted, StepResult, Stop, Switch, Through
from shared import errors, jsontext
from shared.event import Event, from_cloudevent, to_cloudevent


@dataclass(slots=True)
class ResultVerifier:
    """The verifier of all results in one event's run through a chain.

    To count the characters of an event takes long. So the verifier remembers the count of the last event, and of an
    event that was made of it only the change is counted.

    chain_names          the chains that a step may lead to
    measured_event       the event that was verified last, or the one that entered the chain
    measured_characters  an upper bound of the characters in its data; None if none is known
    event_count          how many events the one event has become
    split_characters     the characters in the data of all events that came of splitting
    """

    chain_names: Collection[str]
    measured_event: Event
    measured_characters: int | None
    event_count: int = 1
    split_characters: int = 0

    def verify(self, result: StepResult, before: Event, step: NamedStep) -> StepResult:
        """Return the result of a step that took the event `before`. The events of Many get ids of their own.

        Raises Permanent for what a step must not return.
        """
        if isinstance(result, Event):
            if result is not before:
                self._verify_event(result, before, step)
        elif isinstance(result, Noted):
            self._verify_event(result.event, before, step)
        elif isinstance(result, Switch | Through):
            self._verify_event(result.event, before, step)
            if result.chain not in step.step.chains() or result.chain not in self.chain_names:
                raise errors.Permanent("invalid_chain", "it leads to a chain that its `chains` method does not return")
        elif isinstance(result, Many):
            return self._verify_and_number(result, before, step)
        elif not isinstance(result, Stop):
            raise errors.Permanent("step_failed", f"it returned {type(result).__name__}, not an event")
        return result

    def _verify_event(self, event: Event, before: Event, step: NamedStep) -> None:
        """Verify an event that takes the place of `before`, and remember its size for the next step."""
        _verify_identity(event, before, step)
        characters = self.measured_characters if self.measured_event is before else None
        if _may_be_larger(event, before, step):
            if characters is None:
                characters = verify_output(event.data)
            else:
                characters = verify_change(event.data, before.data, characters)
        self.measured_event = event
        self.measured_characters = characters

    def _verify_and_number(self, result: Many, before: Event, step: NamedStep) -> Many | Stop:
        """Return the events with the ids `<id>-1`, `<id>-2` …; Stop if there are none.

        Each is counted whole, because what they share is written once for each.
        """
        if not result.events:
            return Stop("the list is empty, so there is nothing to make events of")
        self.event_count += len(result.events) - 1
        verify_events(self.event_count)
        for event in result.events:
            _verify_identity(event, before, step)
            if _may_be_larger(event, before, step):
                self.split_characters += verify_output(event.data)
            verify_events(self.event_count, self.split_characters)
        return Many(tuple(replace(event, id=f"{before.id}-{n}") for n, event in enumerate(result.events, 1)))


def _may_be_larger(event: Event, before: Event, step: NamedStep) -> bool:
    return event.data is not before.data and not step.only_removes


def _verify_identity(event: Event, before: Event, step: NamedStep) -> None:
    """Verify that it is an event, and the same one. Raises Permanent."""
    if not isinstance(event, Event):
        raise errors.Permanent("step_failed", f"it returned {type(event).__name__}, not an event")
    if event.id != before.id:
        raise errors.Permanent("step_failed", "it changed the event's id")
    if step.is_own:
        _verify_attributes(event)


def _verify_attributes(event: Event) -> None:
    """Verify that the event's attributes can be written and read again. Raises Permanent (`invalid_output`)."""
    try:
        from_cloudevent(jsontext.from_json(jsontext.texts_json(to_cloudevent(replace(event, data=None)))))
    except errors.Permanent as error:
        raise errors.Permanent("invalid_output", f"it returned an event that cannot be read: {error.detail}") from error
    except (TypeError, ValueError) as error:  # half a surrogate pair, too
        reason = "it returned an event with an attribute that JSON cannot hold"
        raise errors.Permanent("invalid_output", reason) from error
