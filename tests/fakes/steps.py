"""What a test needs to run steps by themselves."""

import asyncio
import tracemalloc
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from functions.transform.step import AskingStep, Noted, Services, Step, StepContext, StepResult
from functions.transform.verifying import verified_step
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets

EVENT = Event("e1", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00")


T = TypeVar("T")


@contextmanager
def memory_below(mebibytes: int) -> Iterator[None]:
    """Fail where what is done meanwhile takes more memory at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * 1024 * 1024
    finally:
        tracemalloc.stop()


def finished(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine that never waits, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


def result_of(model: type[Step], settings: Json, event: Event, secrets: Mapping[str, str] | None = None) -> StepResult:
    step = verified_step(model, settings)
    context = StepContext(event)
    if not isinstance(step, AskingStep):
        return step.apply(event, context)
    services = Services(FakeSecrets(secrets or {}), lambda: FakeFetch(), FakeOwners(), None)
    return asyncio.run(step.ask(event, context, services))


def event_after(model: type[Step], settings: Json, event: Event, secrets: Mapping[str, str] | None = None) -> Event:
    after = result_of(model, settings, event, secrets)
    if isinstance(after, Noted):
        return after.event
    assert isinstance(after, Event)
    return after


def data_after(model: type[Step], settings: Json, data: Json, secrets: Mapping[str, str] | None = None) -> Json:
    return event_after(model, settings, replace(EVENT, data=data), secrets).data
