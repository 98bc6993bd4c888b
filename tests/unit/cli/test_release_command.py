import asyncio
from pathlib import Path

import pytest

from deploy.cli.release import main
from shared.cloud.local.ledger import LocalLedger
from tests.fakes.notifier import a_delivery

CONFIG = """
sources: {form: {auth: none}}
routes: [{name: mail, to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))


async def hold_one(path: Path, destination: str) -> None:
    ledger = LocalLedger(path)
    try:
        await ledger.claim(a_delivery(1, destination), b"message", 1000.0, 30.0)
    finally:
        await ledger.close()


def test_a_destination_that_there_is_not_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["poeple"]) == 1
    output = capsys.readouterr()
    assert "has no destination 'poeple'" in output.err
    assert "did you mean 'people'?" in output.err
    assert output.out == ""


def test_a_destination_of_the_configuration_is_released_though_nothing_is_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["people"]) == 0
    assert "people: enabled; no delivery was held\n" in capsys.readouterr().out


def test_what_the_ledger_holds_can_be_released_though_the_configuration_has_it_no_more(tmp_path: Path) -> None:
    asyncio.run(hold_one(tmp_path / "state/ledger.db", "gone"))
    assert main(["gone"]) == 0
