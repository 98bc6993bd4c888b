"""Notify with a destination that gathers, and what it was given."""

from dataclasses import replace

from functions.notify.digests.settings import GatherSettings
from functions.notify.notifier import Result
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from shared.times import rfc3339
from tests.fakes.destinations import Answer, FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import EVENT, FakeNotifier

START = 1_790_000_100.0  # a multiple of 900


def notifier_with(gather: GatherSettings, *answers: Answer, **options: object) -> FakeNotifier:
    crm = FakeDestination(*answers)
    own = Options(gather=gather)
    own.update(options)  # type: ignore[typeddict-item] # a test's own
    made = FakeNotifier(crm, FakeDestinations({"crm": crm}, options={"crm": own}))
    made.clock.time = START
    return made


def event(notifier: FakeNotifier, number: int, data: Json = None, route: str = "tell the list") -> Delivery:
    received = rfc3339(notifier.clock.now())
    own = replace(
        EVENT, id=f"{number:032x}", data={"number": 1} if data is None else data, receivedat=received, actor="ada"
    )
    return Delivery(own, route, "crm")


async def pass_time(notifier: FakeNotifier, seconds: float, step: float = 60.0) -> list[Result]:
    """Let that time pass, with a sweep each minute."""
    results: list[Result] = []
    end = notifier.clock.now() + seconds
    while notifier.clock.now() < end:
        notifier.clock.advance(step)
        results += await notifier.sweep_and_take()
    return results


def data_of(delivery: Delivery) -> JsonObject:
    assert isinstance(delivery.event.data, dict)
    return delivery.event.data
