"""Steps as they are written in the configuration, run over an event of a test's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from functions.transform.chain import Chain, ChainResult, OnError
from functions.transform.program import read_chain
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.steps import finished

WRITTEN_EVENT: Final = Event(
    "e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", actor="ada@example.com"
)


def chain(steps: Json, chains: Mapping[str, Json] | None = None, on_error: OnError = "dead_letter") -> Chain:
    named = {name: tuple(read_chain(raw, chain_name=name)[0]) for name, raw in (chains or {}).items()}
    found, faults = read_chain(steps)
    assert not faults, faults
    return Chain("r", tuple(found), named, on_error)


def run(step: Json, data: Json) -> ChainResult:
    return finished(chain([step]).run(replace(WRITTEN_EVENT, data=data)))


def written_data_after(step: Json, data: Json) -> Json:
    course = run(step, data)
    assert not course.faults, course.faults
    return course.events[0].data
