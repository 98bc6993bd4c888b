"""A proxy before the ledger's database that throttles in bursts, and deliveries that meet such bursts."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import ClientSession, web

from functions.notify.destination import Attempt
from functions.notify.notifier import Acknowledged, Notifier
from functions.notify.notify import notify
from functions.notify.waiting.pauses import Breakers, DestinationStates
from shared.cloud.platform import SystemClock
from shared.delivery import Delivered, Delivery, Outcome
from shared.errors import Temporary
from shared.ledger import Ledger
from shared.outgoing.gate import ProcessGate
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations
from tests.fakes.notifier import a_delivery, message_of, push_of
from tests.gcp.serving import served

FIRESTORE: Final = (429, '{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded."}}')
DYNAMODB: Final = (
    400,
    '{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "Rate exceeded"}',
)
ANSWER_SECONDS: Final = 0.2
REDELIVERY_SECONDS: Final = 0.3


@dataclass
class Throttle:
    """Passes requests on to `behind`, an URL, but while it throttles. `rejected` counts what it answered itself."""

    behind: str
    answer: tuple[int, str]
    is_throttling: bool = False
    rejected: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.is_throttling:
            self.rejected += 1
            return web.Response(status=self.answer[0], text=self.answer[1], content_type="application/json")
        headers = {name: value for name, value in request.headers.items() if name not in {"Content-Length", "Host"}}
        url = f"{self.behind}{request.rel_url}"
        async with ClientSession() as session, session.post(url, data=await request.read(), headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    async def bursts(self, count: int, seconds: float, every_seconds: float) -> None:
        for _ in range(count):
            await asyncio.sleep(every_seconds - seconds)
            self.is_throttling = True
            await asyncio.sleep(seconds)
            self.is_throttling = False


@contextmanager
def throttle(behind: str, answer: tuple[int, str]) -> Iterator[tuple[Throttle, str]]:
    """Yield the proxy and its URL."""
    made = Throttle(behind, answer)
    app = web.Application(client_max_size=20_000_000)
    app.router.add_route("*", "/{path:.*}", made.handle)
    with served(app) as host:
        yield made, f"http://{host}"


@dataclass
class Receiver:
    """Answers each request after a moment, and counts the requests of each delivery."""

    requests: Counter[str] = field(default_factory=Counter)

    async def answer(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        self.requests[delivery.id] += 1
        await asyncio.sleep(ANSWER_SECONDS)
        return Delivered("202")


class SteadyGate(ProcessGate):
    """A gate that keeps its places: nothing here brings back what waits in the ledger."""

    def note_answer(self, *, is_acknowledged: bool) -> None:
        pass


async def deliver_all(ledger: Ledger, count: int, seconds: float) -> Counter[str]:
    """Bring so many deliveries over that time, and again what was not acknowledged. Return the requests of each."""
    receiver, clock = Receiver(), SystemClock()
    destinations = FakeDestinations({"crm": FakeDestination(*[receiver.answer] * 10 * count)})
    states = DestinationStates(ledger, clock)
    gate = SteadyGate(clock.now, 10 * count, 10 * count)
    notifier = Notifier(destinations, states, ledger, FakeBus(), None, clock, Breakers(states, clock, gate), gate)

    async def bring(number: int) -> None:
        await asyncio.sleep(seconds * number / count)
        body = push_of(message_of(a_delivery(number), clock.now()))
        while True:
            try:
                if isinstance(await notify(body, notifier), Acknowledged):
                    return
            except Temporary:
                pass
            await asyncio.sleep(REDELIVERY_SECONDS)

    await asyncio.gather(*(bring(number) for number in range(count)))
    return receiver.requests
