"""Notify as it is served: its three routes, its state on disk, and a slice that does not load."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shared.cloud.local.ledger import LocalLedger
from shared.ledger import LedgerRow
from tests.fakes.mail_settings import mail_settings
from tests.fakes.notifier import a_delivery, message_of, push_of
from tests.fakes.pushes import cloud_run_environment, cloud_run_headers
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, Request, functions_framework, post, started
from tests.stand_ins.bus import command

DESTINATION = {
    "kind": "email",
    "settings": mail_settings(to="list@example.com", subject="New"),
    "retry_seconds": [5],
    "timeout_seconds": 15,
    "on_unknown": "resend",
}


def environment(folder: Path, destinations: object, bus_port: int) -> dict[str, str]:
    slice_file = folder / "slice.json"
    slice_file.write_text(json.dumps({"function": "notify", "destinations": destinations}), encoding="utf-8")
    return {
        "HOOKCHAIN_SLICE": str(slice_file),
        "HOOKCHAIN_STATE": str(folder / "state"),
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus_port}",
        **cloud_run_environment(),
        "SECRETS_DIR": str(folder / "secrets"),
        "SMTP_URL": "",
        "EMAIL_FROM": "from@example.com",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notify")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    bus_port, port = free_port(), free_port()
    environ = environment(folder, {"crm": DESTINATION}, bus_port)
    with (
        started(command("rest", bus_port), {}, bus_port, Request("/", b"", {}), ready="open"),
        started(
            functions_framework("functions/notify", "notify", port),
            environ,
            port,
            Request("/sweep", b"", cloud_run_headers()),
        ),
    ):
        yield port


def rows(folder: Path, event_id: str) -> Sequence[LedgerRow]:
    async def read() -> Sequence[LedgerRow]:
        ledger = LocalLedger(folder / "state" / "ledger.db")
        try:
            return await ledger.rows(10, event_id=event_id)
        finally:
            await ledger.close()

    return asyncio.run(read())


def test_a_delivery_that_needs_an_operator_is_held_in_the_ledger_and_acknowledged(port: int, folder: Path) -> None:
    body = push_of(message_of(a_delivery(1), time.time()))
    assert post(port, Request("/", body, cloud_run_headers())) == 204
    (row,) = rows(folder, "e1")
    assert row.state == "held"


def test_a_push_of_another_account_is_rejected(port: int, folder: Path) -> None:
    body = push_of(message_of(a_delivery(2), time.time()))
    another = cloud_run_headers(email="convert@a-project.iam.gserviceaccount.com")
    assert [post(port, Request(path, body, another)) for path in ("/", "/dead-letters", "/sweep")] == [401] * 3
    assert rows(folder, "e2") == []


def test_a_dead_letter_is_kept_and_acknowledged(port: int, folder: Path) -> None:
    assert post(port, Request("/dead-letters", push_of(b"no letter of ours"), cloud_run_headers())) == 204
    assert (folder / "state" / "journal.db").is_file()


def test_a_slice_that_does_not_load_ends_the_process_and_says_why(tmp_path: Path) -> None:
    environ = environment(tmp_path, {"crm": {**DESTINATION, "kind": "pigeon"}}, 1)
    done = subprocess.run(
        functions_framework("functions/notify", "notify", free_port()),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode != 0
    assert "there is no kind 'pigeon'" in done.stdout + done.stderr
