"""What `hookchain dev` forgets, and what it keeps until nothing can ask for it any more."""

import asyncio
import os
from pathlib import Path

import pytest

from deploy.local.sendgrid.mailbox import KEEP_SECONDS, Mailbox
from deploy.local.sendgrid.requests import MailRequest
from deploy.local.supervisor.duties import forget_old
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.retention import DAY_SECONDS
from shared.jsontext import JsonObject

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("days", "retention", "retry_days"),
    [
        (7, {"bodies_seconds": 7, "dead_letters_seconds": 1}, [0.5]),
        (45, {"bodies_seconds": 7, "dead_letters_seconds": 45}, [0.5]),
        (11, {"bodies_seconds": 7, "dead_letters_seconds": 1}, [4, 6]),
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

    forget_old(tmp_path, notify, NOW + days * DAY_SECONDS)
    assert path.exists()
    forget_old(tmp_path, notify, NOW + days * DAY_SECONDS + 1)
    assert not path.exists()


def test_mails_are_forgotten_while_it_runs(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    mailbox.keep([MailRequest("old", NOW - KEEP_SECONDS - 1, "{}", 1), MailRequest("new", NOW, "{}", 1)])
    forget_old(tmp_path, {"destinations": {}}, NOW)
    assert mailbox.count() == 1
    mailbox.close()
