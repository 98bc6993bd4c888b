"""What comes twice: a repeated request in `hookchain events show`; and `events replay`, a dry run first."""

import json

import pytest

from deploy.cli.main import main
from tests.fakes.bus import FakeBus
from tests.fakes.kept import BROKEN, NOW, Kept
from tests.unit.cli.listed_events import OLD, exit_code, printed, printed_json


def test_a_replay_is_a_dry_run_that_says_what_and_how(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        kept.event(f"e{number}", at=NOW - 60 + number)
    out = printed(capsys, "replay", "--source", "web", "--since", "1h")
    assert out.startswith("7 events would be replayed, oldest first; the first 5:\n")
    assert [line.split()[1] for line in out.splitlines()[3:8]] == ["e0", "e1", "e2", "e3", "e4"]
    assert out.endswith(
        "Nothing was sent. To send them, at most 20 per second:\n  hookchain events replay --source web "
        "--since 2026-09-21T13:13:20.000Z --until 2026-09-21T14:13:20.000Z "
        f"--state {kept.folder} --yes\n"
    )
    assert bus.sent == []


def test_with_yes_they_are_published_oldest_first_as_one_replay(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.event("e2", at=OLD)
    kept.event("e1", data={"name": "Ada"})
    document = printed_json(capsys, "replay", "--since", "1d", "--yes", "--rate", "1000")
    messages = bus.on("events")
    assert [json.loads(message.data)["id"] for message in messages] == ["e2", "e1"]
    assert {message.attributes["replay"] for message in messages} == {document["replay"]}
    assert not messages[0].attributes.keys() & {"only", "force"}
    assert (document["dry_run"], document["count"]) == (False, 2)


def test_a_replay_may_be_for_one_destination_and_forced(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.event("e1")
    printed(capsys, "replay", "e1", "--yes", "--only", "list", "--force")
    [message] = bus.on("events")
    assert (message.attributes["only"], message.attributes["force"]) == ("list", "true")


def test_the_dry_run_tells_that_what_is_finished_stays_so(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.delivered(kept.event("e1"))
    assert "Finished deliveries of 1 event are not repeated without --force" in printed(capsys, "replay", "e1")
    assert "deliveries that succeeded are sent again" in printed(capsys, "replay", "e1", "--force")


def test_the_dry_run_does_not_say_so_of_an_event_whose_route_failed(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.route_dead_letter(kept.event("e1", routes=(BROKEN,)))
    assert printed_json(capsys, "list", "--status", "dead_lettered")["events"]
    assert "staying so" not in printed(capsys, "replay", "e1")


def test_a_destination_that_does_not_exist_is_no_replay(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    (kept.folder / "slices").mkdir()
    (kept.folder / "slices" / "notify.json").write_text('{"destinations": {"inbox": {}}}')
    kept.event("e1")
    assert main(["events", "replay", "e1", "--only", "inbocks"]) == 2
    assert "there is no destination 'inbocks'; did you mean 'inbox'?" in capsys.readouterr().err


def test_what_has_nothing_to_replay_is_left_out_and_said(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.event("e1")
    kept.received("e2")
    assert main(["events", "replay", "e1", "e2", "--yes"]) == 1
    assert "left out, because there is nothing to replay" in capsys.readouterr().err
    assert len(bus.on("events")) == 1
    assert printed_json(capsys, "replay", "--since", "1h")["left_out"] == ["e2"]


def test_a_bus_that_rejects_is_exit_code_1_with_how_far_it_came(
    kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.event("e1")
    bus.fault = "Pub/Sub answered 503 to a publish on topic 'events'"
    assert main(["events", "replay", "e1", "--yes"]) == 1
    assert capsys.readouterr().err == f"stopped: 0 of 1 published\nhookchain events replay: {bus.fault}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["show"],
        ["list", "--limit", "0"],
        ["list", "--since", "yesterday"],
        ["list", "--status", "sent"],
        ["replay"],
        ["replay", "e1", "--since", "1h"],
        ["replay", "e1", "--rate", "0"],
    ],
)
def test_what_makes_no_sense_is_exit_code_2(
    arguments: list[str], kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.event("e1")
    assert exit_code("events", *arguments) == 2


def test_options_may_stand_between_ids(kept: Kept, bus: FakeBus, capsys: pytest.CaptureFixture[str]) -> None:
    kept.event("e1")
    kept.event("e2")
    printed(capsys, "replay", "e1", "--yes", "e2")
    assert len(bus.on("events")) == 2


def test_a_repeated_request_is_shown_as_one_event(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    kept.event("4f2a9c0d")
    kept.received("4f2a9c0d")
    note = "  These requests have the same id or the same signed bytes, so they count as one event."
    assert note not in printed(capsys, "show", "4f2a9c")
    kept.received("4f2a9c0d")
    assert note in printed(capsys, "show", "4f2a9c")
