"""`hookchain doctor` on this machine."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from deploy.doctor.checks import held_finding
from shared.cloud.local.journal import open_journal
from shared.cloud.local.ledger import LocalLedger
from shared.ledger import PAUSED_BY_OPERATOR
from tests.google_stand_in import StandIn
from tests.stub_gcloud import StubGcloud
from tests.unit.cli.doctor.examined import examined, on_gcp


def test_an_smtp_url_with_a_password_is_found_and_not_repeated(
    tmp_path: Path,
    gcloud: StubGcloud,
    google: StandIn,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SMTP_URL", "smtp://me:sekrit-1@mail.example.com")
    code, checks = on_gcp(tmp_path, capsys)
    assert (code, checks["sender"]["verdict"]) == (1, "problem")
    assert "smtp-password" in str(checks["sender"]["found"])
    assert "sekrit-1" not in json.dumps(checks)


def test_this_machine_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("SHOP_PASSWORD=changeme\n")
    (tmp_path / ".env").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as result:
        base = result.getsockname()[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PORT_BASE", str(min(base, 65_000)))
            code, checks = examined(tmp_path, capsys)
    assert code == 1
    assert checks[".env"]["todo"] == f"chmod 600 {tmp_path / '.env'}"
    assert "placeholder" in str(checks["secrets"]["found"])
    assert checks["sender"]["found"] == "mail is caught here, not sent"
    if base <= 65_000:
        assert f"Port {base} (receive) is in use" in str(checks["ports"]["found"])
        assert "PORT_BASE=" in str(checks["ports"]["todo"])


async def _stop(state: Path) -> None:
    ledger = LocalLedger(state / "ledger.db")
    await ledger.disable("chat", "secret 'slack-url' must begin with https://", 1.0)
    await ledger.disable("crm", PAUSED_BY_OPERATOR, 1.0)
    await ledger.close()


def test_a_destination_that_delivers_nothing_until_somebody_acts_is_a_problem(tmp_path: Path) -> None:
    assert held_finding(tmp_path, ["chat"]).verdict == "ok"
    open_journal(tmp_path / "journal.db").close()
    assert held_finding(tmp_path, ["chat"]).verdict == "ok"
    asyncio.run(_stop(tmp_path))
    found = held_finding(tmp_path, ["chat", "crm"])
    assert found.found == "held: chat, 0 deliveries: secret 'slack-url' must begin with https://"
    assert found.todo == "correct it, then run: hookchain resume chat"
