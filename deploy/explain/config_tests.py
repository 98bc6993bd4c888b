"""Configuration tests: each test case goes offline through receive, the routes and the destinations' templates."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.config.compiler import compile_config, read_config
from deploy.config.models.case import CaseAnswer, CaseConfig
from deploy.config.models.configuration import Configuration
from deploy.explain.case_inputs import AT, InputError, case_services, input_events
from deploy.explain.deliveries import rendered_mail, rendered_request, rendered_row
from deploy.explain.destinations import example_faults
from deploy.explain.differences import differences
from deploy.explain.expectations import ActualDelivery, mismatches
from deploy.explain.recipients import previewed_recipient, unread_recipient
from deploy.explain.steps import fault_text
from deploy.terminal.command_line import CommandError
from functions.notify.recipient import NoRecipient
from functions.notify.registry import load_own_kinds
from functions.transform.chain import Chain, ChainResult
from functions.transform.decision import Decision, decide
from functions.transform.read_chains import read_chain
from functions.transform.read_routes import Program, read_program
from functions.transform.step import Example, Step
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.own_modules import own_sources
from shared.times import rfc3339


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a test case. `lines` are the differences from what is expected; none if it passed."""

    name: str
    lines: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.lines


def run_config_tests(document: Json, slices: Mapping[str, JsonObject], folder: Path) -> list[CaseResult]:
    """Run the test cases of a configuration without faults, and the examples of the operator's own steps and kinds.

    `document` is the configuration as it is written. Names of files in it are relative to `folder`.
    """
    cases = Configuration.model_validate(document).tests
    program = read_program(slices["transform"])
    examples = [
        CaseResult(f"the example of the step {name!r}", tuple(asyncio.run(example_lines(name, model))))
        for name, model in program.own.items()
    ]
    kinds = load_own_kinds(own_sources(slices["notify"].get("own_kinds")))
    examples += [
        CaseResult(f"example {number} of the kind {kind!r}", tuple(example_faults(module, example)))
        for kind, module in kinds.items()
        for number, example in enumerate(module.EXAMPLES, 1)
    ]
    return [
        *examples,
        *(CaseResult(case.name, tuple(asyncio.run(_lines(case, program, slices, folder)))) for case in cases),
    ]


async def _lines(case: CaseConfig, program: Program, slices: Mapping[str, JsonObject], folder: Path) -> Sequence[str]:
    try:
        events = await input_events(case, slices["receive"], folder)
        decisions = [await decide(event, program.routes, case_services(case.answers)) for event in events]
    except (InputError, Permanent) as error:
        return [error.detail if isinstance(error, Permanent) else str(error)]
    actual = [each for decision in decisions for each in await _actual(decision, slices["notify"])]
    lines = [*_failures(case.fails, decisions, actual), *mismatches(case.expect, actual)]
    return [*lines, *_route_lines(decisions)] if lines else []


def _failures(expected: str | None, decisions: Sequence[Decision], actual: Sequence[ActualDelivery]) -> list[str]:
    """Return a line for each failure of a chain or a template that is not expected, and for a missing one that is."""
    found: list[tuple[str, str]] = [
        (failed.code, failed.reason) for decision in decisions for failed in decision.failed
    ]
    found += [(each.unfinished.code, each.unfinished.detail) for each in decisions if each.unfinished]
    found += [(why.code, why.detail) for each in decisions for _, why in each.waiting]
    found += [(each.code, f"to {each.delivery.destination!r}: {each.fault}") for each in actual if each.code]
    lines = [f"failed: {code}: {reason}" for code, reason in found if code != expected]
    if expected and all(code != expected for code, _ in found):
        lines.append(f"nothing failed with the code {expected!r} that `fails` expects")
    return lines


async def _actual(decision: Decision, notify: JsonObject) -> list[ActualDelivery]:
    deliveries = [Delivery(owed.event, owed.route, name) for owed in decision.owed for name in owed.destinations]
    return [await _rendered(delivery, notify) for delivery in deliveries]


async def _rendered(delivery: Delivery, notify: JsonObject) -> ActualDelivery:
    if unread_recipient(delivery, notify):
        return ActualDelivery(delivery)
    try:
        person = await previewed_recipient(delivery, notify)
        if isinstance(person, NoRecipient):
            return ActualDelivery(delivery, fault=person.reason, code="unknown_person")
        mail, request = rendered_mail(delivery, notify, person), rendered_request(delivery, notify, person)
        return ActualDelivery(delivery, mail, request, rendered_row(delivery, notify))
    except (Permanent, Temporary) as error:
        return ActualDelivery(delivery, fault=error.detail, code=error.code)


def _route_lines(decisions: Sequence[Decision]) -> list[str]:
    routes = [route for decision in decisions for route in decision.routes]
    return ["the decisions of the routes:"] + [f"  {route.route}: {route.outcome}: {route.reason}" for route in routes]


async def example_lines(name: str, step: type[Step]) -> list[str]:
    """Return the differences between a step's example and what the step does; none if it is correct."""
    example = step.example
    steps, faults = read_chain([{name: example.settings}], {name: step})
    if faults:
        return [f"its settings: {fault.reason}" for fault in faults]
    event = replace(
        Event(f"example-of-{name}".replace("-", ""), "/sources/example", "example", rfc3339(AT), "00"),
        data=copy.deepcopy(example.before),
    )
    answers = {url: CaseAnswer(body=body) for url, body in example.answers.items()}
    try:
        course = await Chain("", tuple(steps)).run(event, case_services(answers))
    except Temporary as error:
        return [error.detail]
    return _mismatches(example, course, event)


def _mismatches(example: Example, course: ChainResult, before: Event) -> list[str]:
    if course.faults:
        return [fault_text(fault).removeprefix("route '': ") for fault in course.faults]
    if example.stops is not None:
        reasons = [reason.partition(": ")[2] for reason in course.stops]
        return (
            [] if reasons == [example.stops] else [f"expected to stop: {example.stops}; found {reasons or 'no stop'}"]
        )
    if not course.events:
        return [f"filtered: {'; '.join(course.stops)}"]
    found: Json = [event.data for event in course.events]
    if isinstance(found, list) and len(found) == 1 and course.events[0].id == before.id:
        found = found[0]
    return [] if example.varies else differences(example.after, found, "data")


def require_passing_tests(config: Path | None, environ: Mapping[str, str]) -> int:
    """Run the configuration's tests before a deployment, and return their number. Raises CommandError if one fails, and
    ConfigFaults."""
    file = read_config(config, environ)
    results = run_config_tests(file.document, compile_config(file), file.folder)
    failed = [each for each in results if not each.passed]
    if failed:
        lines = [line for each in failed for line in (f"{each.name}:", *(f"  {line}" for line in each.lines))]
        how = f"nothing is deployed: {len(failed)} of the configuration's {len(results)} tests fail"
        raise CommandError("\n".join([f"{how} (`hookchain test`)", *lines]))
    return len(results)
