"""`hookchain forget --tenant` on this machine: what it erases, what it leaves to others, and the proof."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli.main import main
from deploy.dev.caught import Mailbox
from deploy.dev.mail import MailRequest
from functions.subscribe.idempotency import Record
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.event import Event, event_json
from shared.journal import AttemptEntry
from shared.jsontext import JsonObject
from shared.ledger import Claimed, LedgerRow, Settlement
from shared.subscribers.directory import IDEMPOTENCY, TENANTS, Directory, endpoints_of, message_id, sessions_of
from shared.subscribers.model import Endpoint, Message, Session, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE, EndpointName
from shared.times import rfc3339
from tests.fakes.deliveries import message_of
from tests.fakes.kept import NOW, Kept

SECRET_WORD = "the-tenants-own-word"
SLICE = {"destinations": {"customers": {"kind": "subscribers", "settings": {"tenant": "data.account"}}}}


def endpoint_of(number: int) -> str:
    return f"ep_{number:020d}"


async def attempted(kept: Kept, event: Event, tenant: str, number: int, state: str) -> None:
    name = EndpointName("customers", tenant, endpoint_of(number))
    delivery = Delivery(event, "all", str(name))
    ledger = LocalLedger(kept.folder / "ledger.db")
    claim = await ledger.claim(delivery, message_of(delivery, NOW), NOW, 60)
    assert isinstance(claim, Claimed)
    names = delivery.id, event.id, "all", str(name)
    attempt = AttemptEntry(*names, 1, NOW, NOW + 1, "failed", f"answered 500: {SECRET_WORD}", SECRET_WORD)
    assert await ledger.settle(claim, Settlement(state, NOW, attempt.reason, attempt))  # type: ignore[arg-type]
    await ledger.disable(str(name), f"answered 410: {SECRET_WORD}", NOW)
    await ledger.close()
    kept.record(attempt)


def event_of(number: int, source: str = "/sources/shop") -> Event:
    data: JsonObject = {"word": SECRET_WORD, "number": number}
    return Event(f"{number:032x}", source, "order.paid", rfc3339(NOW), "0" * 64, data)


async def stored(kept: Kept, tenant: str) -> None:
    """A tenant with an endpoint that it has, one that it had, a session, messages, a test event and an answer."""
    documents = LocalDocuments(kept.folder / "documents.db")
    await documents.write(TENANTS, tenant, Tenant(id=tenant, name=SECRET_WORD).text())
    here = Endpoint(id=endpoint_of(1), tenant=tenant, url=f"https://{SECRET_WORD}.example/")
    await documents.write(endpoints_of(tenant), here.id, here.text())
    await Directory(documents).delete_endpoint(tenant, endpoint_of(2), NOW)
    await documents.write(sessions_of(tenant), "0" * 32, Session(id="0" * 32, tenant=tenant).text())
    record = Record(fingerprint="f", tenant=tenant, at=NOW, until=NOW + 1)
    await documents.write(IDEMPOTENCY, f"{tenant}-answer", record.text())
    first = ord(tenant[0]) * 10
    blobs = LocalBlobs(kept.folder / "blobs")
    for number in (first, first + 1):
        source = SUBSCRIBERS_SOURCE if number == first else "/sources/shop"
        event = event_of(number, source)
        content = event_json(event)
        if number == first:
            await blobs.put(f"events/{event.id}.json", b"{}")
            content = event_json(replace(event, data=None, dataref=f"events/{event.id}.json"))
        message = Message(
            id=message_id(NOW, event.id, "all", "customers"),
            event_id=event.id,
            type="order.paid",
            route="all",
            destination="customers",
            received_at=NOW,
            event=content.decode(),
            is_test=number == first,
        )
        await Directory(documents).keep_message(tenant, message, NOW + 1e9)
        await attempted(kept, event, tenant, 1, "dead_lettered")
        await attempted(kept, event, tenant, 2, "held")  # an endpoint that was deleted
    documents.close()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    found = Kept(tmp_path)
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "notify.json").write_text(json.dumps(SLICE))
    asyncio.run(stored(found, "acme"))
    asyncio.run(stored(found, "beta"))
    return found


def forget(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["forget", *arguments]) == code, capsys.readouterr()
    return capsys.readouterr().out


FOUND = {
    "tenant": 1,
    "endpoints": 2,
    "sessions": 1,
    "messages": 2,
    "answers": 1,
    "deliveries": 4,
    "attempts": 4,
    "blobs": 1,
    "mails": 0,
}


def test_a_dry_run_counts_what_is_stored_and_erases_nothing(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        found = json.loads(forget(capsys, "--tenant", "acme", "--dry-run", "--json"))
        assert (found["stores"], found["unsent"]) == (FOUND, 2)
    assert "hookchain forget --tenant acme --yes" in forget(capsys, "--tenant", "acme")


def test_a_tenant_is_gone_from_every_file_and_others_are_as_they_were(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    done = json.loads(forget(capsys, "--tenant", "acme", "--yes", "--json"))
    assert done["stores"] == {store: {"found": count, "left": 0} for store, count in FOUND.items()}
    assert "data.account" in done["event_commands"][0]
    assert json.loads(forget(capsys, "--tenant", "beta", "--dry-run", "--json"))["stores"] == FOUND
    forget(capsys, "--tenant", "beta", "--yes")
    left = [
        path.name for path in kept.folder.rglob("*") if path.is_file() and SECRET_WORD.encode() in path.read_bytes()
    ]
    assert left == []


def test_a_caught_mail_that_tells_of_an_endpoint_of_the_tenant_is_erased(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a delivery to the operator, of an event that says which endpoint is failing."""
    with closing(Mailbox(kept.folder)) as mailbox:
        for endpoint in (endpoint_of(1), endpoint_of(2), endpoint_of(3)):
            text = json.dumps({"to": f"ops-{endpoint}@example.com", "endpoint": endpoint})
            mailbox.keep([MailRequest("m", NOW, text, 1)])
    done = json.loads(forget(capsys, "--tenant", "acme", "--yes", "--json"))
    assert done["stores"]["mails"] == {"found": 2, "left": 0}
    with closing(Mailbox(kept.folder)) as mailbox:
        assert mailbox.count_of_delivery(endpoint_of(3)) == mailbox.count() == 1


def test_it_reads_no_deliveries_of_other_tenants(
    kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event may go to the endpoints of a hundred tenants."""
    asked: list[str] = []
    rows = LocalLedger.rows

    async def recorded(ledger: LocalLedger, limit: int, **wanted: object) -> Sequence[LedgerRow]:
        found = await rows(ledger, limit, **wanted)  # type: ignore[arg-type] # as it was called
        asked.extend(row.destination for row in found)
        return found

    monkeypatch.setattr(LocalLedger, "rows", recorded)
    forget(capsys, "--tenant", "acme", "--dry-run")
    assert sorted(asked) == [f"customers:acme:{endpoint_of(number)}" for number in (1, 1, 2, 2)]


def test_a_tenant_of_which_nothing_is_stored_is_an_error(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "--tenant", "nobody", "--dry-run"]) == 1
    assert "nothing is stored of a tenant 'nobody'" in capsys.readouterr().err


def test_what_can_be_read_tells_what_is_left_and_what_is_out_of_reach(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = forget(capsys, "--tenant", "acme", "--yes")
    assert "Searched again: nothing is left of acme." in printed
    assert "hookchain forget --where 'contains([data.account][], '\"'\"'acme'\"'\"')' --dry-run" in printed
    assert "ask the tenant" in printed
