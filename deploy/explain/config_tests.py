"""Configuration tests: each case goes offline through receive, the routes and the destinations' templates."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deploy.config import compiler, configuration
from deploy.config.sections.cases import CaseAnswer, CaseConfig
from deploy.explain import case_input, offline, reference
from deploy.explain.differences import differences
from deploy.explain.expectations import ActualDelivery, indented, mismatches
from deploy.explain.rendering import OfflineDelivery
from deploy.terminal.command_line import CommandError
from functions.notify import own_kinds
from functions.notify.recipients.recipient import NoRecipient
from functions.transform.chain import Chain, ChainResult
from functions.transform.program import Program, read_chain, read_program
from functions.transform.route_runs import Decision, decide
from functions.transform.step import Example, Step
from shared import errors, times
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a test case. `lines` are the differences from what is expected; none if it passed."""

    name: str
    lines: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.lines


def require_passing_tests(config: Path | None, environ: Mapping[str, str]) -> int:
    """Run the configuration's tests before a deployment, and return their number. Raises CommandError if one fails, and
    ConfigFaults."""
    file = compiler.read_config(config, environ)
    results = run_config_tests(file.document, compiler.compile_config(file), file.folder)
    failed = [result for result in results if not result.passed]
    if failed:
        rule = f"nothing is deployed: {len(failed)} of the configuration's {len(results)} tests fail"
        lines = [f"{rule} (`hookchain test`)"]
        for result in failed:
            lines += [f"{result.name}:", *indented(result.lines)]
        raise CommandError("\n".join(lines))
    return len(results)


def run_config_tests(document: Json, slices: Mapping[str, JsonObject], folder: Path) -> list[CaseResult]:
    """Run the test cases of a configuration without faults, and the examples of the operator's own steps and kinds.

    `document` is the configuration as it is written. Names of files in it are relative to `folder`.
    """
    program = read_program(slices["transform"])
    results: list[CaseResult] = []
    for name, step in program.own.items():
        lines = asyncio.run(example_lines(name, step))
        results.append(CaseResult(f"the example of the step {name!r}", tuple(lines)))
    for kind, module in own_kinds.own_kinds_of(slices["notify"]).items():
        for number, example in enumerate(module.EXAMPLES, 1):
            lines = reference.example_faults(module, example)
            results.append(CaseResult(f"example {number} of the kind {kind!r}", tuple(lines)))
    for case in configuration.Configuration.model_validate(document).tests:
        lines = asyncio.run(_case_lines(case, program, slices, folder))
        results.append(CaseResult(case.name, tuple(lines)))
    return results


async def _case_lines(case: CaseConfig, program: Program, slices: Mapping[str, JsonObject], folder: Path) -> list[str]:
    try:
        events = await case_input.input_events(case, slices["receive"], folder)
        decisions = [await decide(event, program.routes, case_input.case_services(case.answers)) for event in events]
    except case_input.InputError as error:
        return [str(error)]
    except errors.Permanent as error:
        return [error.detail]
    actual = [await _actual_delivery(delivery, slices["notify"]) for delivery in deliveries_of(decisions)]
    lines = _failure_lines(case.fails, _failures(decisions, actual)) + mismatches(case.expect, actual)
    if not lines:
        return []
    lines.append("the decisions of the routes:")
    for decision in decisions:
        lines += indented(f"{route.route}: {route.outcome}: {route.reason}" for route in decision.routes)
    return lines


def deliveries_of(decisions: Sequence[Decision]) -> list[Delivery]:
    owed = [each for decision in decisions for each in decision.owed]
    return [Delivery(each.event, each.route, name) for each in owed for name in each.destinations]


class _Failure(NamedTuple):
    code: str
    reason: str


def _failures(decisions: Sequence[Decision], actual: Sequence[ActualDelivery]) -> list[_Failure]:
    """Return the failures of the chains and of the destinations' templates."""
    failures: list[_Failure] = []
    for decision in decisions:
        failures += [_Failure(failed.code, failed.reason) for failed in decision.failed]
        if decision.redelivery_error:
            failures.append(_Failure(decision.redelivery_error.code, decision.redelivery_error.detail))
        # A route waits if a system that one of its steps calls did not answer.
        failures += [_Failure(error.code, error.detail) for _, error in decision.waiting]
    failures += [_Failure(each.code, f"to {each.delivery.destination!r}: {each.fault}") for each in actual if each.code]
    return failures


def _failure_lines(expected_code: str | None, failures: Sequence[_Failure]) -> list[str]:
    """Return a line for each failure that is not expected, and one if the expected one is missing."""
    lines = [f"failed: {each.code}: {each.reason}" for each in failures if each.code != expected_code]
    if expected_code and all(each.code != expected_code for each in failures):
        lines.append(f"nothing failed with the code {expected_code!r} that `fails` expects")
    return lines


async def _actual_delivery(delivery: Delivery, notify: JsonObject) -> ActualDelivery:
    rendering = OfflineDelivery(delivery, notify)
    if rendering.unread_recipient():
        return ActualDelivery(delivery)
    try:
        person = await rendering.recipient()
        if isinstance(person, NoRecipient):
            return ActualDelivery(delivery, fault=person.reason, code="unknown_person")
        return ActualDelivery(delivery, rendering.mail(person), rendering.request(person), rendering.row())
    except (errors.Permanent, errors.Temporary) as error:
        return ActualDelivery(delivery, fault=error.detail, code=error.code)


async def example_lines(name: str, step: type[Step]) -> list[str]:
    """Return the differences between a step's example and what the step does; none if it is correct."""
    example = step.example
    steps, faults = read_chain([{name: example.settings}], {name: step})
    if faults:
        return [f"its settings: {fault.reason}" for fault in faults]
    event = Event(
        id=f"example-of-{name}".replace("-", ""),
        source="/sources/example",
        type="example",
        receivedat=times.rfc3339(case_input.AT),
        payloadhash="00",
        data=copy.deepcopy(example.before),
    )
    answers = {url: CaseAnswer(body=body) for url, body in example.answers.items()}
    try:
        result = await Chain("", tuple(steps)).run(event, case_input.case_services(answers))
    except errors.Temporary as error:
        return [error.detail]
    return _example_mismatches(example, result, event)


def _example_mismatches(example: Example, result: ChainResult, before: Event) -> list[str]:
    if result.faults:
        # The chain ran by a route without a name, which its texts begin with.
        return [offline.fault_text(fault).removeprefix("route '': ") for fault in result.faults]
    if example.stops is not None:
        # A reason begins with its step: `step 1 'filter': not paid yet`.
        reasons = [reason.partition(": ")[2] for reason in result.stops]
        if reasons == [example.stops]:
            return []
        return [f"expected to stop: {example.stops}; found {reasons or 'no stop'}"]
    if not result.events:
        return [f"filtered: {'; '.join(result.stops)}"]
    is_split = len(result.events) > 1 or result.events[0].id != before.id
    after: Json = [event.data for event in result.events] if is_split else result.events[0].data
    return [] if example.varies else differences(example.after, after, "data")
