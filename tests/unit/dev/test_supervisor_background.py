"""Retention: `hookchain dev` keeps what something can still ask for, and deletes the rest."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from deploy.dev.caught import Mailbox
from deploy.dev.mail import MailRequest
from deploy.dev.supervisor.supervisor import purge_state
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import open_journal, write_entries
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import DeadLetter
from shared.jsontext import JsonObject
from shared.ledger import Claimed, Settlement
from shared.outcomes import DeliveryState
from shared.retention import DAY_SECONDS
from shared.times import rfc3339
from tests.fakes.deliveries import message_of

NOW = 1_790_000_000.0


def test_a_large_body_stays_as_long_as_whoever_may_ask_for_it(tmp_path: Path) -> None:
    asyncio.run(LocalBlobs(tmp_path / "blobs").put("e1", b"large"))
    [path] = tmp_path.glob("blobs/*/*")
    os.utime(path, (NOW, NOW))
    notify: JsonObject = {
        "retention": {"bodies_seconds": 7 * DAY_SECONDS, "dead_letters_seconds": DAY_SECONDS},
        "destinations": {"crm": {"retry_seconds": [4 * DAY_SECONDS, 6 * DAY_SECONDS]}},
    }
    purge_state(tmp_path, notify, NOW + 21 * DAY_SECONDS)
    assert path.exists()
    purge_state(tmp_path, notify, NOW + 21 * DAY_SECONDS + 1)
    assert not path.exists()


@pytest.mark.parametrize("state", ["retry_scheduled", "held"])
def test_a_large_body_stays_while_a_delivery_waits_for_it(tmp_path: Path, state: DeliveryState) -> None:
    path = _old_blob(tmp_path, "e1-body")
    delivery = _large_delivery("e1-body")
    asyncio.run(_settled(tmp_path, delivery, state))
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert path.exists()

    asyncio.run(_forget(tmp_path, delivery))
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert not path.exists()


def test_a_large_body_stays_as_long_as_its_dead_letter(tmp_path: Path) -> None:
    path = _old_blob(tmp_path, "e1-body")
    delivery = _large_delivery("e1-body")
    names = "e1", "tell", "crm"
    letter = DeadLetter(delivery.id, "expired", "late", NOW, message_of(delivery, NOW), "deliveries", *names)
    with closing(open_journal(tmp_path / "journal.db")) as connection, transaction(connection):
        write_entries(connection, [letter])
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert path.exists()

    purge_state(tmp_path, {"destinations": {}}, NOW + 45 * DAY_SECONDS + 1)
    assert not path.exists()


def _old_blob(folder: Path, name: str) -> Path:
    asyncio.run(LocalBlobs(folder / "blobs").put(name, b"large"))
    [path] = folder.glob("blobs/*/*")
    os.utime(path, (NOW - 400 * DAY_SECONDS, NOW - 400 * DAY_SECONDS))
    return path


def _large_delivery(name: str) -> Delivery:
    return Delivery(Event("e1", "/sources/web", "order", rfc3339(NOW), "0" * 64, dataref=name), "tell", "crm")


async def _settled(folder: Path, delivery: Delivery, state: DeliveryState) -> None:
    ledger = LocalLedger(folder / "ledger.db")
    claim = await ledger.claim(delivery, message_of(delivery, NOW), NOW, 60)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, Settlement(state, NOW, retry_at=NOW + 60))
    await ledger.close()


async def _forget(folder: Path, delivery: Delivery) -> None:
    ledger = LocalLedger(folder / "ledger.db")
    await ledger.rows(1, event_id="e1")
    await ledger.forget(delivery.id, NOW)
    await ledger.close()


def test_caught_mails_are_kept_as_long_as_bodies(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    old = NOW - 7 * DAY_SECONDS - 1
    mailbox.keep([MailRequest("old", old, "{}", 1), MailRequest("new", NOW, "{}", 1)])
    purge_state(tmp_path, {"destinations": {}, "retention": {"bodies_seconds": 7 * DAY_SECONDS}}, NOW)
    assert mailbox.count() == 1
    mailbox.close()
