import asyncio
import signal
from collections.abc import Sequence

import pytest

from deploy.history.journal_view import REPLAYED
from deploy.history.local_journal import JournalReader
from shared.cloud.local.journal import FILE_NAME
from shared.journal import DeadLetter
from shared.ports import DEAD_LETTERS, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.command import Command, as_objects, audit_of
from tests.fakes.kept import NOW, Kept

OLD = NOW - 7_200.0


def states(kept: Kept) -> dict[str, str]:
    with JournalReader(kept.folder / FILE_NAME) as reader:
        return {letter.id: letter.state for letter in reader.dead_letters(100, state=None)}


def test_dead_letters_are_listed_newest_first_with_their_reason(kept: Kept, command: Command) -> None:
    letter_id = kept.dead_letter(kept.event("e1"), at=OLD)
    kept.route_dead_letter(kept.event("e2"))
    titles, newest, oldest = command("dead-letters", "list").splitlines()
    assert titles.split() == ["TIME", "ID", "CODE", "DESTINATION", "EVENT", "STATUS", "REASON"]
    text = "2026-09-21T14:13:20Z e2:broken step_failed route broken e2 kept step 1 'set' failed"
    assert newest.split() == text.split()
    text = f"2026-09-21T12:13:20Z {letter_id[:12]} request_rejected list e1 kept no such user"
    assert oldest.split() == text.split()


def test_the_list_is_filtered(kept: Kept, command: Command) -> None:
    kept.dead_letter(kept.event("e1"), at=OLD)
    kept.dead_letter(kept.event("e2", source="shop", type="order.paid"))
    kept.route_dead_letter(kept.event("e3"))
    for options, expected in (
        (["--source", "shop", "--type", "order.*"], ["e2"]),
        (["--code", "step_failed", "--route", "broken"], ["e3"]),
        (["--destination", "list", "--text", "SUCH order"], ["e2"]),
        (["--until", "1h"], ["e1"]),
    ):
        letters = as_objects(command.json("dead-letters", "list", *options)["dead_letters"])
        assert [letter["event_id"] for letter in letters] == expected


def test_a_dead_letter_is_shown_with_the_event_in_it(kept: Kept, command: Command) -> None:
    letter_id = kept.dead_letter(kept.event("e1", data={"name": "Ada"}))
    text = command("dead-letters", "show", letter_id[:8])
    assert text.startswith(f"Dead letter {letter_id}\n  2026-09-21T14:13:20Z  kept  request_rejected: no such user\n")
    assert '"name": "Ada"' in text
    document = command.json("dead-letters", "show", letter_id)
    assert isinstance(document["event"], dict)
    assert document["event"]["id"] == "e1"


def test_one_that_was_no_message_of_ours_is_shown_and_not_replayed(kept: Kept, bus: FakeBus, command: Command) -> None:
    kept.record(DeadLetter("0123456789", "malformed_event", "it is not JSON", NOW, b"\xff\x1b[2Jx", DEAD_LETTERS))
    assert "malformed_event  topic dead-letters" in command("dead-letters", "list")
    assert "\ufffd [2Jx" in command("dead-letters", "show", "012345")
    command("dead-letters", "replay", "012345", "--yes", code=1)
    assert "their messages cannot be published again" in command.error
    assert command.error.endswith(": 0123456789\n")
    assert bus.sent == []


def test_a_replay_is_a_dry_run_that_says_what_and_how(
    kept: Kept, bus: FakeBus, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter_id = kept.dead_letter(kept.event("e1"))
    monkeypatch.delenv("HOOKCHAIN_STATE")
    out = command("dead-letters", "replay", "--code", "request_rejected", "--state", str(kept.folder))
    assert out.startswith("1 dead letter would be replayed:\n")
    assert out.endswith(
        "Nothing was done. To do it:\n  hookchain dead-letters replay --code request_rejected "
        f"--until 2026-09-21T14:13:20.000Z --state {kept.folder} --yes\n"
    )
    assert (bus.sent, states(kept)) == ([], {letter_id: "kept"})


def test_the_id_of_an_event_is_refused_with_the_ids_of_its_dead_letters(kept: Kept, command: Command) -> None:
    letter_id = kept.dead_letter(kept.event("abcdef01"))
    command("dead-letters", "replay", "abcdef01", code=1)
    assert f"'abcdef01' is an event's id: name its dead letter's, {letter_id}" in command.error


def test_with_yes_a_delivery_is_tried_anew_and_no_longer_listed(kept: Kept, bus: FakeBus, command: Command) -> None:
    letter_id = kept.dead_letter(kept.event("e1"))
    assert command("dead-letters", "replay", letter_id, "--yes") == "1 dead letter replayed\n"
    [message] = bus.on("deliveries")
    assert message.attributes["force"] == "failed"
    assert states(kept) == {letter_id: "replayed"}
    assert command.json("dead-letters", "list")["dead_letters"] == []


@pytest.mark.parametrize("chosen", ["id", "filter"])
def test_what_was_delivered_since_is_repeated_by_force(kept: Kept, bus: FakeBus, command: Command, chosen: str) -> None:
    event = kept.event("e1")
    letter_id = kept.dead_letter(event)
    kept.delivered(event)  # by a replay of the event
    choice = [letter_id] if chosen == "id" else ["--code", "request_rejected", "--status", "all"]
    line = f"left out, because they were delivered since, and only --force delivers them again: {letter_id}\n"
    for options, state in (([], "kept"), (["--yes"], "replayed"), (["--yes"], "replayed")):
        assert command("dead-letters", "replay", *choice, *options, code=1) == ""
        assert command.error.endswith(line)
        assert (bus.sent, states(kept)) == ([], {letter_id: state})
    assert "dead letter would be replayed:\n" in command("dead-letters", "replay", *choice, "--force")
    assert command("dead-letters", "replay", *choice, "--force", "--yes") == "1 dead letter replayed\n"
    [message] = bus.on("deliveries")
    assert message.attributes["force"] == "true"


def test_no_dead_letter_is_marked_if_no_audit_record_can_be_written(kept: Kept, bus: FakeBus, command: Command) -> None:
    delivered = kept.event("e1")
    letter_ids = [kept.dead_letter(each) for each in (delivered, kept.event("e2"))]
    kept.delivered(delivered)
    (kept.folder / "audit.jsonl").mkdir()
    for choice in (["--code", "request_rejected"], letter_ids[:1]):  # the second is marked only, and not sent
        command("dead-letters", "replay", *choice, "--yes", code=1)
        assert "so nothing was changed" in command.error
        assert (bus.sent, states(kept)) == ([], dict.fromkeys(letter_ids, "kept"))


def test_a_failed_route_is_tried_anew_and_the_others_are_not(kept: Kept, bus: FakeBus, command: Command) -> None:
    kept.route_dead_letter(kept.event("e1"))
    command("dead-letters", "replay", "e1:broken", "--yes")
    [message] = bus.on("events")
    assert "replay" in message.attributes
    assert "force" not in message.attributes


def test_what_is_dropped_needs_a_yes_and_is_listed_on_demand(kept: Kept, command: Command) -> None:
    letter_id = kept.dead_letter(kept.event("e1"))
    assert "1 dead letter would be dropped:" in command("dead-letters", "drop", letter_id)
    assert states(kept) == {letter_id: "kept"}
    assert command("dead-letters", "drop", letter_id, "--yes") == "1 dead letter dropped\n"
    assert states(kept) == {letter_id: "dropped"}
    assert command("dead-letters", "list", "--status", "dropped").splitlines()[1].split()[1] == letter_id[:12]
    assert audit_of(kept.folder) == [("hookchain dead-letters drop", f"drop dead letters {letter_id}", 1, "done")]


def test_what_somebody_else_replays_meanwhile_is_not_replayed_twice(
    kept: Kept, bus: FakeBus, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    letter_ids = [kept.dead_letter(kept.event(name)) for name in ("e1", "e2")]

    async def published_beside_another_replay(topic: str, messages: Sequence[BusMessage]) -> None:
        with JournalReader(kept.folder / FILE_NAME) as other:
            other.mark_dead_letters(letter_ids, REPLAYED)
        bus.sent.extend((topic, message) for message in messages)

    monkeypatch.setattr(bus, "publish", published_beside_another_replay)
    assert command("dead-letters", "replay", "--code", "request_rejected", "--yes") == "1 dead letter replayed\n"
    assert len(bus.sent) == 1
    [(tool, what, count, outcome)] = audit_of(kept.folder)
    assert (tool, what[:20], count, outcome) == ("hookchain dead-letters replay", "replay dead letters ", 1, "done")
    assert "somebody else replayed or dropped them meanwhile: " in command.error


def test_one_that_ctrl_c_kept_from_the_bus_is_kept(
    kept: Kept, bus: FakeBus, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    letter_id = kept.dead_letter(kept.event("e1"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a process of its own

    async def interrupted(topic: str, messages: Sequence[BusMessage]) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    monkeypatch.setattr(bus, "publish", interrupted)
    try:
        command("dead-letters", "replay", letter_id, "--yes", code=130)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped: 0 of 1 published" in command.error
    assert states(kept) == {letter_id: "kept"}
