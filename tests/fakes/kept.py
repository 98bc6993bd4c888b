"""A state folder as `hookchain dev` leaves it, filled by a test."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from deploy.history.local_requests import RequestEntry, write_requests
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal, write_entries
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry, RouteDecision
from shared.jsontext import Json, JsonObject, to_json
from shared.ledger import Settlement
from shared.outcomes import DeliveryState
from shared.times import rfc3339
from tests.fakes.deliveries import settled, to_cloudevent_of

T = TypeVar("T")
NOW: Final = 1_790_000_000.0
TELL: Final = RouteDecision("tell", True, "its type matches", ("list",))
OTHER: Final = RouteDecision("other", False, "type 'signup.created' does not match order.*")


def with_ledger(path: Path, act: Callable[[LocalLedger], Awaitable[T]]) -> T:
    """Return what `act` returns of the ledger in the file."""

    async def acted() -> T:
        ledger = LocalLedger(path)
        try:
            return await act(ledger)
        finally:
            await ledger.close()

    return asyncio.run(acted())


def write_slices(folder: Path, slices: Mapping[str, JsonObject]) -> None:
    """Write what `hookchain dev` serves: the slices by function."""
    (folder / "slices").mkdir(parents=True, exist_ok=True)
    for function, document in slices.items():
        (folder / "slices" / f"{function}.json").write_text(to_json(document), encoding="utf-8")


class Kept:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        open_journal(folder / FILE_NAME).close()

    def record(self, *entries: JournalEntry) -> None:
        connection = open_journal(self.folder / FILE_NAME)
        with transaction(connection):
            write_entries(connection, entries)
        connection.close()

    def event(
        self,
        event_id: str,
        *,
        at: float = NOW,
        source: str = "web",
        type: str = "signup.created",
        data: Json = None,
        routes: tuple[RouteDecision, ...] = (TELL, OTHER),
    ) -> Event:
        event = Event(event_id, f"/sources/{source}", type, rfc3339(at), "0" * 64, data, subject="Ada")
        self.record(EventEntry(event, routes, at))
        return event

    def received(self, event_id: str, at: float = NOW, detail: str = "") -> None:
        """Accepted, and not seen by transform yet. `detail` is a note of receive's."""
        entry = RequestEntry(at, "POST", 200, "web", None, event_id, "signup.created", detail, duration_ms=3.0)
        connection = open_journal(self.folder / FILE_NAME)
        with transaction(connection):
            write_requests(connection, [entry])
        connection.close()

    def rejected(self, source: str, at: float = NOW) -> None:
        connection = open_journal(self.folder / FILE_NAME)
        with transaction(connection):
            write_requests(connection, [RequestEntry(at, "POST", 401, source, "bad_signature")])
        connection.close()

    def delivered(self, event: Event, answer: str = "202 accepted") -> Delivery:
        """In the ledger, and in the journal after one attempt."""
        delivery = Delivery(event, "tell", "list")
        attempt = AttemptEntry(delivery.id, event.id, "tell", "list", 1, NOW + 1, NOW + 1.25, "delivered", "", answer)
        self.settle(delivery, Settlement("delivered", NOW, attempt=attempt))
        self.record(attempt)
        return delivery

    def settle(self, delivery: Delivery, settlement: Settlement) -> None:
        self.with_ledger(lambda ledger: settled(ledger, delivery, settlement))

    def with_ledger(self, act: Callable[[LocalLedger], Awaitable[T]]) -> T:
        return with_ledger(self.folder / "ledger.db", act)

    def waiting(self, event: Event, route: str, tries: int, state: DeliveryState = "retry_scheduled") -> None:
        """Let the route wait after so many tries, as notify does; `delivered` once the wait is over."""
        delivery = Delivery(event, route, ROUTE_ITSELF)
        names = delivery.id, event.id, route, ROUTE_ITSELF
        attempts = [
            AttemptEntry(*names, number, NOW, NOW + 0.5, "retry_scheduled", "api answered 503")
            for number in range(1, tries + 1)
        ]
        retry_at = NOW + 60 if state == "retry_scheduled" else None
        self.settle(delivery, Settlement(state, NOW, attempts[-1].reason, attempts[-1], retry_at))
        self.record(*attempts)

    def dead_letter(self, event: Event, code: str = "request_rejected", at: float = NOW) -> str:
        """Of the event's delivery to `list`; its id."""
        delivery = Delivery(event, "tell", "list")
        message = to_json(to_cloudevent_of(delivery, at)).encode()
        names = event.id, "tell", "list"
        self.record(DeadLetter(delivery.id, code, "no such user", at, message, "deliveries", *names))
        return delivery.id

    def route_dead_letter(self, event: Event, at: float = NOW) -> str:
        """Of the event at a route whose chain failed; its id."""
        message = to_json(to_cloudevent(event)).encode()
        letter = DeadLetter(
            f"{event.id}:broken", "step_failed", "step 1 'set' failed", at, message, "events", event.id, "broken"
        )
        self.record(letter)
        return letter.id
