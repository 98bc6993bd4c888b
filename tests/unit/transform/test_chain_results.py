"""The ways of an event through a chain: split, stopped, and led to other chains."""

from functions.transform.chain import StepRecord
from functions.transform.step import Step, StepContext, Stop, Switch, Through
from shared.errors import HookchainError, Permanent
from shared.event import Event
from tests.fakes.steps import finished
from tests.unit.transform.chain_steps import START, Adding, Answering, Splitting, To, chain, letters, the_fault


def test_one_event_becomes_several_which_go_on_by_themselves() -> None:
    course = finished(chain(Splitting(2), Adding("b"), Splitting(2), Adding("c")).run(START))

    assert [(event.id, event.data) for event in course.events] == [
        ("e1-1-1", "0b0c"),
        ("e1-1-2", "0b1c"),
        ("e1-2-1", "1b0c"),
        ("e1-2-2", "1b1c"),
    ]


def test_what_fails_for_one_part_does_not_stop_the_others() -> None:
    class Fussy(Step):
        def apply(self, event: Event, context: StepContext) -> Event:
            if event.data == "1":
                raise Permanent("path_conflict", "not this one")
            return event

    course = finished(chain(Splitting(3), Fussy()).run(START))

    assert [event.id for event in course.events] == ["e1-1", "e1-3"]
    assert [fault.detail for fault in course.faults] == ["route 'tell the list': step 2 'fussy': not this one"]


def test_an_event_that_becomes_none_is_stopped() -> None:
    course = finished(chain(Splitting(0), Adding("b")).run(START))

    assert (course.events, course.stops) == ((), ("step 1 'splitting': there was nothing to make events of",))


def test_a_stop_ends_the_chain_and_says_why() -> None:
    course = finished(chain(Adding("a"), Answering(Stop("a free plan")), Adding("b")).run(START))

    assert (course.events, course.stops, course.faults) == ((), ("step 2 'answering': a free plan",), ())


def test_a_switch_goes_on_in_the_other_chain_instead_of_the_rest_of_its_own() -> None:
    assert letters(finished(chain(Adding("a"), To("other", Switch), Adding("b"), other=[Adding("x")]).run(START))) == [
        "ax"
    ]


def test_a_chain_that_is_gone_through_is_followed_by_the_rest() -> None:
    steps = [Adding("a"), To("outer", Through), Adding("b")]
    outer = [Adding("x"), To("inner", Switch), Adding("y")]

    assert letters(finished(chain(*steps, outer=outer, inner=[Splitting(2)]).run(START))) == ["ax0b", "ax1b"]


def test_a_step_leads_to_no_chain_that_it_does_not_name() -> None:
    sneaky = Answering(Switch(START, "other"), leads_to=[])

    assert the_fault(finished(chain(sneaky, other=[Adding("x")]).run(START))).code == "invalid_chain"


def test_where_an_error_is_no_end_the_event_goes_on_from_before_the_step() -> None:
    course = finished(
        chain(Adding("a"), Answering(Permanent("path_conflict", "no")), Adding("b"), on_error="continue").run(START)
    )

    assert letters(course) == ["ab"]
    assert course.skipped_faults == ("route 'tell the list': step 2 'answering': no",)
    assert course.faults == ()


def test_the_steps_are_recorded_on_request() -> None:
    records: list[StepRecord] = []
    finished(
        chain(Adding("a"), To("other", Through), Answering(Permanent("path_conflict", "no")), other=[Adding("x")]).run(
            START, records=records
        )
    )

    assert [(record.step.label, record.before.data) for record in records] == [
        ("step 1 'adding'", ""),
        ("step 2 'to'", "a"),
        ("chain 'other' step 1 'adding'", "a"),
        ("step 3 'answering'", "ax"),
    ]
    assert isinstance(records[0].result, Event)
    assert isinstance(records[3].result, HookchainError)
