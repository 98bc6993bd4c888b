"""Read what the portal shows first, of a tenant with many deliveries: `portal.py COUNT FOLDER ROUNDS`.

Prints `{"portal": [ms …]}`: what the requests of a round take together, the function's own time.
"""

import asyncio
import json
import sqlite3
import sys
import time
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Final

from functions.subscribe import api
from functions.subscribe.credentials import PortalToken, portal_token_text
from functions.subscribe.service import Keyring, Service
from functions.subscribe.settings import read_settings
from shared.cloud.local import documents, ledger
from shared.cloud.local.ledger import LocalLedger
from shared.cloud.platform import SystemClock, fetch
from shared.delivery import Delivery
from shared.event import Event, event_json
from shared.http import Request
from shared.journal import AttemptEntry
from shared.jsontext import JsonObject
from shared.ledger import Claimed, Settlement
from shared.subscribers.directory import (
    TENANTS,
    Directory,
    endpoints_of,
    entry_id,
    message_entries_of,
    message_id,
    messages_of,
    sessions_of,
)
from shared.subscribers.model import Endpoint, Message, MessageEntry, Session, Tenant
from shared.times import rfc3339

ENDPOINTS: Final = 20
NOW: Final = 1_790_000_000.0
ROUTE: Final = "to customers"
SLICE: Final[JsonObject] = {
    "function": "subscribe",
    "subscribers": {},
    "destinations": {"customers": {"payload": "standard"}},
}
PATHS: Final = ("/v1/portal-info", "/v1/tenants/acme/endpoints", "/v1/tenants/acme/deliveries")


class _Secrets:
    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        return ("0123456789abcdefghijklmnopqrstuvwxyz",)


def main(count: int, folder: Path, rounds: int) -> JsonObject:
    with redirect_stdout(sys.stderr):  # the function's log
        return {"portal": [*asyncio.run(_measured(count, folder, rounds))]}


async def _measured(count: int, folder: Path, rounds: int) -> list[float]:
    kept_ledger = LocalLedger(folder / ledger.FILE_NAME)
    kept = documents.LocalDocuments(folder / documents.FILE_NAME)
    await _deliver(kept_ledger)
    await _keep_tenant(kept)
    _insert_rows(folder / ledger.FILE_NAME, count)
    _insert_messages(folder / documents.FILE_NAME, count)
    service = Service(
        settings=read_settings(SLICE),
        directory=Directory(kept),
        keyring=Keyring(_Secrets()),
        ledger=kept_ledger,
        bus=None,  # type: ignore[arg-type] # nothing is published
        blobs=None,
        fetch=fetch,
        clock=SystemClock(),
        random_bytes=bytes,
    )
    keys = await service.keyring.portal_keys()
    token = PortalToken(tenant="acme", session="s", capabilities=("view",), issued_at=NOW, expires_at=2 * NOW)
    header = ("authorization", f"Bearer {portal_token_text(token, keys[0])}")
    found = [await _milliseconds(service, header) for _ in range(rounds + 1)]
    return found[1:]  # the first one imports


async def _milliseconds(service: Service, header: tuple[str, str]) -> float:
    began = time.perf_counter()
    for path in PATHS:
        reply = await api.answer(service, Request("GET", path, "", (header,)), _no_body)
        assert reply.status == 200, reply.body
    return (time.perf_counter() - began) * 1e3


async def _no_body(_: int) -> bytes:
    return b""


def _event(number: int) -> Event:
    data: JsonObject = {"number": f"A-{number}", "accountId": "acme", "total": number % 997, "note": "x" * 200}
    return Event(f"{number:032x}", "/sources/app", "order.paid", rfc3339(NOW + number), "0" * 64, data)


def _delivery(number: int) -> Delivery:
    return Delivery(_event(number), ROUTE, f"customers:acme:{_endpoint(number)}")


def _endpoint(number: int) -> str:
    return f"ep_{number % ENDPOINTS:020d}"


async def _keep_tenant(kept: documents.LocalDocuments) -> None:
    await kept.write(TENANTS, "acme", Tenant(id="acme", created_at=1.0).text())
    await kept.write(sessions_of("acme"), "s", Session(id="s", tenant="acme", expires_at=2 * NOW).text())
    for number in range(ENDPOINTS):
        endpoint = Endpoint(id=_endpoint(number), tenant="acme", url=f"https://{number}.example.com", is_verified=True)
        await kept.write(endpoints_of("acme"), endpoint.id, endpoint.text())


async def _deliver(ledger: LocalLedger) -> None:
    delivery = _delivery(0)
    claim = await ledger.claim(delivery, event_json(delivery.event), NOW, 60.0)
    assert isinstance(claim, Claimed)
    answer = f"200 {'stored ' * 60}"
    attempt = AttemptEntry(
        delivery.id, delivery.event.id, delivery.route, delivery.destination, 1, NOW, NOW + 0.2, "delivered", "", answer
    )
    assert await ledger.settle(claim, Settlement("delivered", NOW, attempt=attempt))


def _insert_rows(path: Path, count: int) -> None:
    """Multiply the first row, which is ten times as fast as delivering."""
    with closing(sqlite3.connect(path)) as connection, connection:
        cursor = connection.execute("SELECT * FROM deliveries")
        names = [column[0] for column in cursor.description]
        (values,) = cursor.fetchall()
        fields = dict(zip(names, values, strict=True))
        marks = ", ".join(f":{name}" for name in names)
        connection.executemany(
            f"INSERT INTO deliveries ({', '.join(names)}) VALUES ({marks})",
            (fields | _fields(number) for number in range(1, count)),
        )


def _fields(number: int) -> dict[str, object]:
    delivery, at = _delivery(number), NOW + number
    known = {"id": number + 10**6, "created_at": at, "updated_at": at}
    return {**known, "key": delivery.id, "event_id": delivery.event.id, "destination": delivery.destination}


def _insert_messages(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO documents (partition, id, text, version, expires_at) VALUES (?, ?, ?, 'v', ?)",
            (line for number in range(count) for line in _documents(number)),
        )


def _documents(number: int) -> list[tuple[str, str, str, float]]:
    event, at = _event(number), NOW + number
    id_ = message_id(at, event.id, ROUTE, "customers")
    message = Message(
        id=id_,
        event_id=event.id,
        type=event.type,
        route=ROUTE,
        destination="customers",
        received_at=at,
        event=event_json(event).decode(),
        kept_at=at,
    )
    entry_ = MessageEntry(id=id_, type=event.type)
    return [
        (messages_of("acme"), id_, message.text(), 2 * NOW),
        (message_entries_of("acme"), entry_id(event.id, ROUTE, "customers"), entry_.text(), 2 * NOW),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
