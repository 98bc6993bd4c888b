"""The configuration's own tests: each one's input through receive, the routes and the mails' templates, offline."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.config.models.case import CaseConfig
from deploy.config.models.configuration import BundleConfig
from deploy.explain.case_inputs import BadInput, events_of
from deploy.explain.case_world import services_of
from deploy.explain.example_test import example_lines
from deploy.explain.expectations import Actual, verdict
from deploy.explain.mails import mail_of
from functions.transform.read_routes import Program, read_program
from functions.transform.transform import Decision, decide
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class CaseResult:
    """`lines` say what is otherwise than expected, for people; none where it passed."""

    name: str
    lines: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.lines


def run_config_tests(document: Json, slices: Mapping[str, JsonObject], folder: Path) -> list[CaseResult]:
    """`document` is the configuration as it is written, without faults; files in it are relative to `folder`.

    The examples of steps of the operator's own are tests too.
    """
    cases = BundleConfig.model_validate(document).tests
    program = read_program(slices["transform"])
    examples = [
        CaseResult(f"the example of the step {name!r}", tuple(asyncio.run(example_lines(name, model))))
        for name, model in program.own.items()
    ]
    return [
        *examples,
        *(CaseResult(case.name, tuple(asyncio.run(_lines(case, program, slices, folder)))) for case in cases),
    ]


async def _lines(case: CaseConfig, program: Program, slices: Mapping[str, JsonObject], folder: Path) -> Sequence[str]:
    try:
        events = await events_of(case, slices["receive"], folder)
        decisions = [await decide(event, program.routes, services_of(case.answers)) for event in events]
    except (BadInput, Permanent) as error:
        return [error.detail if isinstance(error, Permanent) else str(error)]
    actual = [each for decision in decisions for each in _actual(decision, slices["notify"])]
    lines = [*_failures(case.fails, decisions, actual), *verdict(case.expect, actual)]
    return [*lines, *_why(decisions)] if lines else []


def _failures(expected: str | None, decisions: Sequence[Decision], actual: Sequence[Actual]) -> list[str]:
    """Return a line for each failure of a chain or a mail that is not expected, and for a missing one that is."""
    found = [(failed.code, failed.reason) for decision in decisions for failed in decision.failed]
    found += [(each.unfinished.code, each.unfinished.detail) for each in decisions if each.unfinished]
    found += [(each.code, f"to {each.delivery.destination!r}: {each.fault}") for each in actual if each.code]
    lines = [f"failed: {code}: {reason}" for code, reason in found if code != expected]
    if expected and all(code != expected for code, _ in found):
        lines.append(f"nothing failed with the code {expected!r}, which `fails` expects")
    return lines


def _actual(decision: Decision, notify: JsonObject) -> list[Actual]:
    deliveries = [Delivery(owed.event, owed.route, name) for owed in decision.owed for name in owed.destinations]
    return [_one(delivery, notify) for delivery in deliveries]


def _one(delivery: Delivery, notify: JsonObject) -> Actual:
    try:
        return Actual(delivery, mail_of(delivery, notify))
    except Permanent as error:
        return Actual(delivery, None, error.detail, error.code)


def _why(decisions: Sequence[Decision]) -> list[str]:
    routes = [route for decision in decisions for route in decision.routes]
    return ["what the routes decided:"] + [f"  {route.route}: {route.word}: {route.reason}" for route in routes]
