"""Write a small state with a released version's own code. It runs in that version's checkout: see record.py.

One event each: delivered, waiting for a retry, unknown, given up, held, claimed by a worker that died, without a route.
"""

import asyncio
import json
import sys
from collections.abc import Generator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol

from tests.fakes.destinations import FakeDestination, FakeDestinations
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, a_delivery, message_of


class Thing(Protocol):
    """A class, function or object of a version whose types are not here."""

    def __call__(self, *values: object) -> "Thing": ...

    def __getattr__(self, name: str) -> "Thing": ...

    def __await__(self) -> Generator[None, None, object]: ...


def first_of(*names: str) -> Thing:
    """Return the first of these that the version has, each as `module:name`."""
    for name in names:
        module, _, member = name.partition(":")
        try:
            found: Thing = getattr(import_module(module), member)
        except (ImportError, AttributeError):
            continue
        return found
    raise ImportError(names)


async def nobody() -> None:
    return None


def ports(kind: str, place: str) -> tuple[Thing, Thing]:
    """Return the ledger and the journal."""
    if kind == "local":
        ledger = first_of("shared.cloud.local.ledger:LocalLedger")(Path(place, "ledger.db"))
        return ledger, first_of("shared.cloud.local.journal:LocalJournal")(Path(place, "journal.db"))
    blobs = first_of("tests.fakes.blobs:FakeBlobs")()
    retention = first_of("shared.retention:Retention", "shared.cloud.retention:Retention")()
    if kind == "firestore":
        firestore = first_of("shared.cloud.gcp.firestore:Firestore")
        ledger = first_of("shared.cloud.gcp.ledger:FirestoreLedger")(firestore(place, "a-project", "released", nobody))
        store = firestore(place, "a-project", "released", nobody)
        return ledger, first_of("shared.cloud.gcp.journal:FirestoreJournal")(store, blobs, retention)
    keys = first_of("tests.aws.local_aws:KEYS")
    aws = first_of("shared.cloud.aws.client:AwsPlace")("eu-central-1", lambda: keys, place)
    ledger = first_of("shared.cloud.aws.ledger:DynamoLedger")(aws, "released-")
    return ledger, first_of("shared.cloud.aws.journal:DynamoJournal")(aws, "released-", blobs, retention)


async def write(kind: str, place: str, command: str, code: str) -> None:
    ledger, journal = ports(kind, place)
    retry, disabled = first_of("shared.delivery:RetryLater"), first_of("shared.delivery:Disabled")
    unknown = first_of("shared.delivery:Unknown", "shared.delivery:RetryLater")
    failed = first_of("shared.delivery:Failed", "shared.delivery:Refused")
    delivered = first_of("shared.delivery:Delivered")
    crm = FakeDestination(delivered("202"), retry("503"), unknown("no answer"), failed(code, "no such list"))  # type: ignore[arg-type] # outcomes of that version
    hall = FakeDestination(disabled(f"the key was rejected; then run `hookchain {command} hall`"))  # type: ignore[arg-type] # as above
    destinations = FakeDestinations({"crm": crm, "hall": hall})
    notifier = FakeNotifier(crm, destinations=destinations, ledger=ledger, journal=journal)  # type: ignore[arg-type] # as above
    entry, decision = first_of("shared.journal:EventEntry"), first_of("shared.journal:RouteDecision")
    made = [a_delivery(number, "hall" if number == 5 else "crm") for number in range(1, 8)]
    times = [f"2026-09-21T14:13:2{number}.000Z" for number in range(7)]
    deliveries = [replace(each, event=replace(each.event, receivedat=at)) for each, at in zip(made, times, strict=True)]
    for delivery in deliveries:
        is_routed = delivery.event.id != "e7"
        destination = (delivery.destination,) if is_routed else ()
        route = decision(delivery.route, is_routed, "it matches", destination)
        await journal.record([entry(delivery.event, (route,), notifier.clock.now())])
        if delivery.event.id in {"e1", "e2", "e3", "e4", "e5"}:
            await notifier.take(delivery)
        notifier.clock.advance(1.0)
    now = notifier.clock.now()
    await ledger.claim(deliveries[5], message_of(deliveries[5], now), now, 45.0)
    read = first_of("shared.dead_letter_message:dead_letter_from", "shared.dead_letters:dead_letter_from")
    await journal.record([read(json.loads(message.data)) for message in notifier.dead_letters])
    for port in (ledger, journal):
        if (closing := port.close()) is not None:
            await closing
    waiting = FakeNotifier(FakeDestination(retry("503")))  # type: ignore[arg-type] # as above
    await waiting.take(DELIVERY)
    waiting.clock.advance(3_600.0)
    await waiting.sweep()
    [due], [letter] = waiting.bus.on("deliveries"), notifier.dead_letters
    event = first_of("shared.event:to_cloudevent")(EVENT)
    messages = {"due": due, "dead_letter": letter}
    written = {
        name: {"data": json.loads(each.data), "attributes": dict(each.attributes)} for name, each in messages.items()
    }
    print(json.dumps({"event": {"data": event, "attributes": {}}, **written}))


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:]))
