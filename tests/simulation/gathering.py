"""Destinations of the simulation that gather, and the judge of what they took: each event in one delivery."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from functions.notify.digests.settings import Coalesce, Digest, GatherSettings
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, mapping_at
from shared.store_ports import Answer, DecideRecord
from tests.fakes.records import FakeRecords
from tests.kill.checker import Arrival
from tests.simulation.faults import Weather

ROUTE: Final = "news"
OPS: Final = "ops"
"""The destination that gets alerts, and nothing else."""
ALERTS: Final = GatherSettings(digest=Digest(20.0, None), max_events=1_000, is_alerts=True)
ROOMS: Final = 5
GATHERING: Final[Mapping[str, GatherSettings]] = {
    "bulletin": GatherSettings(digest=Digest(20.0, "data.room"), max_events=1_000),
    "rooms": GatherSettings(coalesce=Coalesce("data.room", 4.0, 15.0, "all")),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """One copy of a delivery that a destination took, with all that it said."""

    delivery: Delivery
    arrival: Arrival


class WeatheredRecords(FakeRecords):
    """Each change may be slow, fail or crash, before it is done or after."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    async def read(self, name: str) -> str | None:
        await self._weather.before("records_unavailable")
        return await super().read(name)

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        await self._weather.before("records_unavailable")
        answer = await super().change(name, now, decide)
        await self._weather.after("records_unavailable")
        return answer


def members_of(delivery: Delivery, events: Mapping[str, Event]) -> list[str]:
    """Return the ids of the events that the delivery tells of. `events` are all, by their number."""
    data = mapping_at(delivery.event.data)
    if delivery.event.type == "hookchain.digest":
        return [str(each["id"]) for each in _objects(data["events"])]
    told = _objects(data["events"]) if delivery.event.type == "hookchain.coalesced" else [data]
    return [events[str(each["id"])].id for each in told]


def member_arrivals(taken: Sequence[Taken], events: Mapping[str, Event]) -> Iterator[Arrival]:
    """Yield an arrival for each event that a copy told of, by the id of the event's own delivery."""
    for copy in taken:
        at, worker = copy.arrival.arrived_at, copy.arrival.worker
        for event_id in members_of(copy.delivery, events):
            member = Delivery(_with_id(events, event_id), ROUTE, copy.delivery.destination)
            yield Arrival(member.id, at, at, worker)


def torn(taken: Sequence[Taken], events: Mapping[str, Event]) -> list[str]:
    """Return what is wrong with the deliveries that were made of others, whatever struck their workers.

    Their contents never change, they count what they tell of, and no event is in two of them.
    """
    wrong: list[str] = []
    contents: dict[str, str] = {}
    home: dict[tuple[str, str], str] = {}
    for copy in taken:
        delivery = copy.delivery
        text = json.dumps([delivery.event.data, delivery.merged, delivery.event.id], sort_keys=True)
        if contents.setdefault(delivery.id, text) != text:
            wrong.append(f"{delivery.id}: another content")
        members = members_of(delivery, events)
        if len(members) != max(1, delivery.merged):
            wrong.append(f"{delivery.id}: counts {delivery.merged}, tells of {len(members)}")
        for member in members:
            if home.setdefault((delivery.destination, member), delivery.id) != delivery.id:
                wrong.append(f"{member}: in two deliveries")
    return wrong


def _objects(value: Json) -> list[dict[str, Json]]:
    assert isinstance(value, list)
    return [each for each in value if isinstance(each, dict)]


def _with_id(events: Mapping[str, Event], event_id: str) -> Event:
    some = next(iter(events.values()))
    return Event(event_id, some.source, some.type, some.receivedat, some.payloadhash)
