"""Retention: `hookchain dev` keeps what something can still ask for, and deletes the rest."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from deploy.dev.sendgrid.mailbox import KEEP_SECONDS, Mailbox, MailRequest
from deploy.dev.supervisor.background import purge_state
from deploy.history.local_requests import RequestEntry, write_requests
from deploy.history.local_retention import newest_at
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal import open_journal
from shared.jsontext import JsonObject
from shared.retention import DAY_SECONDS, PurgeClock
from tests.fakes.clock import FakeClock

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("days", "retention", "retry_days"),
    [
        (7, {"bodies_seconds": 7, "dead_letters_seconds": 1}, [0.5]),
        (45, {"bodies_seconds": 7, "dead_letters_seconds": 45}, [0.5]),
        (13, {"bodies_seconds": 7, "dead_letters_seconds": 1}, [4, 6]),
    ],
)
def test_a_large_body_stays_as_long_as_whoever_may_ask_for_it(
    tmp_path: Path, days: float, retention: dict[str, float], retry_days: list[float]
) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    asyncio.run(blobs.put("e1", b"large"))
    [path] = tmp_path.glob("blobs/*/*")
    os.utime(path, (NOW, NOW))
    notify: JsonObject = {
        "retention": {name: value * DAY_SECONDS for name, value in retention.items()},
        "destinations": {"crm": {"retry_seconds": [wait * DAY_SECONDS for wait in retry_days]}},
    }

    purge_state(tmp_path, notify, NOW + days * DAY_SECONDS)
    assert path.exists()
    purge_state(tmp_path, notify, NOW + days * DAY_SECONDS + 1)
    assert not path.exists()


def test_mails_are_forgotten_while_it_runs(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    mailbox.keep([MailRequest("old", NOW - KEEP_SECONDS - 1, "{}", 1), MailRequest("new", NOW, "{}", 1)])
    purge_state(tmp_path, {"destinations": {}}, NOW)
    assert mailbox.count() == 1
    mailbox.close()


def test_a_clock_that_jumps_by_years_is_not_purged_by() -> None:
    wall, elapsed = FakeClock(NOW), FakeClock(0)
    clock = PurgeClock(NOW - 40 * DAY_SECONDS, wall.now, elapsed.now)
    wall.advance(400 * DAY_SECONDS)
    elapsed.advance(3_600)
    assert clock.now() == NOW + 3_600
    wall.time = NOW + 7_200
    assert clock.now() == NOW + 7_200


def test_a_start_years_after_the_newest_row_purges_by_that_row(tmp_path: Path) -> None:
    with closing(open_journal(tmp_path / "journal.db")) as connection:
        write_requests(connection, [RequestEntry(NOW, "POST", 200, "shop", event_id="e1")])
    assert newest_at(tmp_path / "journal.db") == NOW
    assert PurgeClock(NOW, lambda: NOW + 366 * DAY_SECONDS, lambda: 0.0).now() == NOW
    assert PurgeClock(NOW, lambda: NOW + 300 * DAY_SECONDS, lambda: 0.0).now() == NOW + 300 * DAY_SECONDS
    assert PurgeClock(None, lambda: NOW, lambda: 0.0).now() == NOW
