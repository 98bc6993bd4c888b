"""The example of a step of the operator's own, run: what it says has to be true."""

import copy
from dataclasses import replace

from pydantic import BaseModel

from deploy.config.models.case import CaseAnswer
from deploy.explain.case_inputs import AT
from deploy.explain.case_world import services_of
from deploy.explain.differences import differences
from functions.transform.chain import Chain
from functions.transform.registry import read_chain
from functions.transform.run_chain import run_alone
from functions.transform.step import Example, Step
from functions.transform.walk import Course
from shared.errors import Temporary
from shared.event import Event
from shared.jsontext import Json
from shared.times import rfc3339


async def example_lines(name: str, model: type[BaseModel]) -> list[str]:
    """What is otherwise than the example says; none where it is true."""
    assert issubclass(model, Step)
    example = model.example
    steps, faults = read_chain([{name: example.settings}], {name: model})
    if faults:
        return [f"its settings: {fault.reason}" for fault in faults]
    event = replace(
        Event(f"example-of-{name}".replace("-", ""), "/sources/example", "example", rfc3339(AT), "00"),
        data=copy.deepcopy(example.before),
    )
    answers = {url: CaseAnswer(body=body) for url, body in example.answers.items()}
    try:
        course = await run_alone(Chain("", tuple(steps)), event, services_of(answers))
    except Temporary as error:
        return [error.detail]
    return _otherwise(example, course, event)


def _otherwise(example: Example, course: Course, before: Event) -> list[str]:
    if course.faults:
        return [fault.detail.removeprefix("route '': ") for fault in course.faults]
    if example.stops is not None:
        said = [reason.partition(": ")[2] for reason in course.stopped]
        return [] if said == [example.stops] else [f"expected to stop: {example.stops}; found {said or 'no stop'}"]
    if not course.arrived:
        return [f"stopped: {'; '.join(course.stopped)}"]
    found: Json = [event.data for event in course.arrived]
    if isinstance(found, list) and len(found) == 1 and course.arrived[0].id == before.id:
        found = found[0]
    return [] if example.varies else differences(example.after, found, "data")
