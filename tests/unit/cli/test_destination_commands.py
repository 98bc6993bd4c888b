import time
from functools import partial
from pathlib import Path

import pytest

from shared.cloud.local.ledger import LocalLedger
from shared.delivery import ROUTE_ITSELF
from shared.errors import Temporary
from shared.ledger import PAUSED_BY_OPERATOR, Claimed, DestinationState, Settlement
from shared.ledger_rules import HELD
from shared.times import rfc3339
from tests.fakes.command import Command, audit_of, audit_records
from tests.fakes.deliveries import settled
from tests.fakes.kept import with_ledger, write_slices
from tests.fakes.notifier import a_delivery

CONFIG = """
sources: {form: {auth: none}}
routes: [{name: mail, to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


@pytest.fixture(autouse=True)
def ledger_path(config: Path) -> Path:
    return config.parent / "state" / "ledger.db"


async def hold_one(ledger: LocalLedger, number: int = 1, *, needs_release: bool = False) -> None:
    held = Settlement(HELD, 1001.0, "no answer", needs_release=needs_release)
    await settled(ledger, a_delivery(number, "people"), held)


def state_of(path: Path) -> DestinationState:
    return with_ledger(path, lambda ledger: ledger.destination_state("people"))


def held_count(path: Path) -> int:
    return len(with_ledger(path, lambda ledger: ledger.rows(9, state="held")))


@pytest.mark.parametrize("name", ["pause", "resume", "release"])
def test_a_destination_that_does_not_exist_is_answered_with_the_nearest(name: str, command: Command) -> None:
    assert command(name, "poeple", code=1) == ""
    assert "has no destination 'poeple'" in command.error
    assert "did you mean 'people'?" in command.error


def test_a_paused_destination_keeps_its_deliveries_until_it_is_resumed(ledger_path: Path, command: Command) -> None:
    with_ledger(ledger_path, hold_one)
    assert "to resume it: `hookchain resume people`" in command("pause", "people")
    assert state_of(ledger_path).disabled_reason == PAUSED_BY_OPERATOR
    assert "people: resumed; 1 held delivery will be attempted" in command("resume", "people")
    assert state_of(ledger_path) == DestinationState()
    assert held_count(ledger_path) == 0
    command("release", "poeple", code=1)
    assert audit_of(ledger_path.parent) == [
        ("hookchain pause", "pause people", 0, "done"),
        ("hookchain resume", "resume people", 1, "done"),
        ("hookchain release", "release poeple", 0, "failed"),
    ]


@pytest.mark.parametrize("action", ["resume", "release"])
def test_a_destination_that_was_removed_is_answered_with_what_becomes_of_its_deliveries(
    action: str, config: Path, ledger_path: Path, command: Command
) -> None:
    with_ledger(ledger_path, hold_one)
    if action == "resume":
        command("pause", "people")
    write_slices(ledger_path.parent, {"notify": {"destinations": {"persons": {}}}})
    config.unlink()
    printed = command(action, "people")
    assert "1 held delivery will be dead-lettered " in printed
    assert "the configuration has no destination 'people'" in printed
    assert "run `hookchain dead-letters replay --destination people`" in printed


def test_a_delivery_in_a_digest_is_counted_when_its_destination_is_resumed(ledger_path: Path, command: Command) -> None:
    with_ledger(ledger_path, lambda ledger: ledger.gather(a_delivery(1, "people"), b"", "g1", "a digest", 1.0, 4e9))
    assert "1 delivery keeps its own wait, such as for a digest" in command("resume", "people")


@pytest.mark.parametrize(("others", "resumed"), [(0, "resumed;"), (1, "resumed; 1 held delivery will be attempted ")])
def test_what_may_have_been_accepted_stays_held_when_its_destination_is_resumed(
    others: int, resumed: str, ledger_path: Path, command: Command
) -> None:
    with_ledger(ledger_path, partial(hold_one, needs_release=True))
    for number in range(others):
        with_ledger(ledger_path, partial(hold_one, number=2 + number))
    command("pause", "people")
    line = command("resume", "people")
    assert resumed in line
    assert "deliveries that may have been accepted stay held; to send them: `hookchain release people`" in line
    assert held_count(ledger_path) == 1
    assert "1 held delivery will be attempted" in command("release", "people")
    assert held_count(ledger_path) == 0


def test_the_printed_command_has_the_state_folder_that_was_given(
    ledger_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOKCHAIN_STATE")
    state = ledger_path.parent
    assert f"`hookchain resume people --state {state}`" in command("pause", "people", "--state", str(state))


def test_a_pause_with_an_end_does_not_replace_one_without(ledger_path: Path, command: Command) -> None:
    command("pause", "people")
    command("pause", "people", "--for", "2h", code=1)
    refusal = "people is already paused or disabled: paused by an operator; to resume it: `hookchain resume"
    assert refusal in command.error
    assert state_of(ledger_path).paused_until is None


def test_a_pause_for_a_time_ends_by_itself(ledger_path: Path, command: Command) -> None:
    printed = command("pause", "people", "--for", "2h")
    until = state_of(ledger_path).paused_until
    assert until is not None
    assert 7_000 < until - time.time() < 7_300
    assert f"until {rfc3339(until)}" in printed


def test_release_names_resume_where_the_destination_takes_nothing(ledger_path: Path, command: Command) -> None:
    with_ledger(ledger_path, hold_one)
    with_ledger(ledger_path, lambda ledger: ledger.disable("people", "it answered 410", 1002.0))
    command("release", "people", code=1)
    assert "it answered 410; fix that first, then run `hookchain resume people`" in command.error
    assert held_count(ledger_path) == 1


def test_resume_names_release_where_deliveries_are_held_for_another_reason(ledger_path: Path, command: Command) -> None:
    with_ledger(ledger_path, hold_one)
    command("resume", "people", code=1)
    assert "run `hookchain release people`" in command.error
    assert held_count(ledger_path) == 1


def test_the_rows_of_a_route_that_waits_are_no_destination(ledger_path: Path, command: Command) -> None:
    async def wait(ledger: LocalLedger) -> None:
        assert isinstance(await ledger.claim(a_delivery(1, ROUTE_ITSELF), b"message", 1000.0, 30.0), Claimed)

    with_ledger(ledger_path, wait)
    for action in ("pause", "resume", "release"):
        command(action, ROUTE_ITSELF, code=1)
        assert "has no destination '(route)'" in command.error


@pytest.mark.parametrize(
    ("fault", "code"), [(Temporary("ledger_unavailable", "the disk is gone"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_resume_that_fails_midway_is_recorded_without_a_number(
    ledger_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise fault

    with_ledger(ledger_path, hold_one)
    command("pause", "people")
    monkeypatch.setattr(LocalLedger, "postpone_all", fail)
    command("resume", "people", code=code)
    assert held_count(ledger_path) == 0
    assert [(each["outcome"], each.get("count")) for each in audit_records(ledger_path.parent)] == [
        ("done", 0),
        ("failed", None),
    ]
