"""A configuration with steps of the operator's own, chains and routes, and what they decide."""

from pathlib import Path

from deploy.config.config_file import ConfigFile, parse_config
from functions.transform.program import read_program
from functions.transform.route_runs import Decision, decide
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.configurations import compile_text, faults_of_text

STEP = """\
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from functions.transform.step import Example, Step, StepContext
from shared.event import Event


class Loyalty(BaseModel, Step):
    \"\"\"`per_point`: the amount of money for one point.\"\"\"

    summary: ClassVar[str] = "Count loyalty points."
    example: ClassVar[Example] = Example(
        settings={"per_point": 10}, before={"total": 42}, after={"total": 42, "points": 4}
    )

    model_config = ConfigDict(extra="forbid")

    per_point: int

    def apply(self, event: Event, _: StepContext) -> Event:
        return event.with_data({**event.data, "points": event.data["total"] // self.per_point})
"""
CONFIG = """\
sources:
  shop: {auth: none}
  web: {auth: none}
steps_from: [my_steps/loyalty.py]
chains:
  points: [{loyalty: {per_point: 10}}]
  vip: [{set: {data.vip: true}}]
routes:
  - name: gold
    from: shop
    types: [order.*]
    steps: points
    to: list
  - name: asleep
    enabled: false
    to: list
  - name: rest
    else: true
    steps: [{switch: {to: vip, when: data.vip}}, {chain: points}]
    on_error: drop
    to: list
destinations:
  list: {email: {to: a@example.com, subject: x}}
"""
EVENT = Event("e1", "/sources/shop", "order.paid", "2026-03-01T12:00:00.000Z", "00", {"total": 42})


def config_file(folder: Path, text: str = CONFIG) -> ConfigFile:
    return parse_config(text, "hookchain.yaml", folder)


def faults(folder: Path, text: str) -> str:
    return faults_of_text(text, folder)


async def decided(folder: Path, event: Event, text: str = CONFIG) -> Decision:
    return await decide(event, read_program(compile_text(text, folder)["transform"]).routes, None)


def data_of(decision: Decision) -> list[Json]:
    return [owed.event.data for owed in decision.owed]
