"""What comes twice: a repeated request in `hookchain events show`; and `events replay`, a dry run first."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from deploy.cli.record_text import MAX_ENDPOINTS, RecordText
from deploy.config.local_ports import Ports
from deploy.config.running_dev import OTHER_FOLDER, DevFile, write_dev_file
from deploy.history.local_journal import JournalReader
from deploy.terminal.output import Screen
from shared.cloud.local.journal import FILE_NAME
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import EventEntry, RouteDecision
from shared.jsontext import Json, mapping_at
from shared.ledger import Claimed, LedgerRow
from shared.subscribers.names import EndpointName
from shared.times import rfc3339
from tests.fakes.bus import FakeBus
from tests.fakes.command import Command, as_objects, audit_of
from tests.fakes.deliveries import message_of
from tests.fakes.kept import NOW, TELL, Kept, write_slices
from tests.fakes.receiver import http_answer, receiver

DIGEST_ID = "d1" * 16
OLD = NOW - 7_200.0


def listed(command: Command, *arguments: str) -> list[str]:
    """The ids of the events in the table."""
    return [line.split()[1] for line in command("events", "list", *arguments).splitlines()[1:]]


# list


def test_events_are_listed_newest_first_in_a_table(kept: Kept, command: Command) -> None:
    kept.event("e1", at=OLD)
    kept.delivered(kept.event("e2"))
    titles, newest, oldest = command("events", "list").splitlines()
    assert titles.split() == ["TIME", "EVENT", "SOURCE", "TYPE", "SUBJECT", "STATUS"]
    assert newest.split() == ["2026-09-21T14:13:20Z", "e2", "web", "signup.created", "Ada", "delivered"]
    assert oldest.split()[1] == "e1"
    kept.event("e3", at=NOW + 0.3)  # of one second, by the full time, and then by their numbers
    kept.event("e4", at=NOW + 0.1)
    kept.event("e5", at=NOW + 0.1)
    assert listed(command) == ["e3", "e5", "e4", "e2", "e1"]


def test_the_list_is_filtered(kept: Kept, command: Command) -> None:
    kept.event("e1", at=OLD)
    kept.event("e2", source="shop", type="order.paid")
    kept.delivered(kept.event("e3", data={"name": "Ada Lovelace"}))
    assert listed(command, "--source", "shop", "--type", "order.*") == ["e2"]
    assert listed(command, "--status", "delivered", "--text", "love ada") == ["e3"]
    assert listed(command, "--since", "1h") == ["e3", "e2"]
    assert listed(command, "--until", "1h") == ["e1"]
    assert listed(command, "--since", "2026-09-21T12:00:00Z", "--until", "2026-09-21T14:00:00+00:00") == ["e1"]


# show


def test_an_event_is_shown_with_its_whole_way(kept: Kept, command: Command) -> None:
    kept.received("4f2a9c0d", detail="a note of receive's")
    delivery = kept.delivered(kept.event("4f2a9c0d", data={"name": "Ada"}))
    lines = command("events", "show", "4f2a9c").splitlines()
    for line in (
        "Event 4f2a9c0d",
        "  received     2026-09-21T14:13:20.000Z",
        "  2026-09-21T14:13:20.000Z  POST answered 200 after 3 ms  a note of receive's",
        "  other: not_matched: type 'signup.created' does not match order.*",
        "    1. 2026-09-21T14:13:21.000Z  delivered after 250 ms  answer: 202 accepted",
        f"    delivery {delivery.id}",
    ):
        assert line in lines


def test_a_route_that_waits_is_shown_with_its_tries_and_the_next_time(kept: Kept, command: Command) -> None:
    waiting = RouteDecision("ask", True, "it takes every event; waiting: api answered 503", ("crm",), is_waiting=True)
    kept.waiting(kept.event("4f2a9c0d", routes=(TELL, waiting)), "ask", tries=2)
    lines = command("events", "show", "4f2a9c0d").splitlines()
    assert "  ask: waiting: it takes every event; waiting: api answered 503 → crm" in lines
    assert "  ask: waiting, try 3 at 2026-09-21T14:14:20Z" in lines
    assert "    2. 2026-09-21T14:13:20.000Z  retry_scheduled after 500 ms  api answered 503" in lines
    [found] = as_objects(command.json("events", "show", "4f2a9c0d")["waiting_routes"])
    assert (found["state"], found["tries"], found["retry_at"]) == ("waiting", 2, "2026-09-21T14:14:20.000Z")


def with_other_routes(kept: Kept) -> None:
    event = Event("4f2a9c0d", "/sources/web", "signup.created", rfc3339(NOW), "0" * 64, {"plan": "free"})
    kept.record(EventEntry(event, (TELL,), NOW, others=2))
    routes: Json = [
        {"name": "tell", "to": ["list"]},
        {"name": "shop", "from": ["shop"], "to": ["list"]},
        {"name": "paid", "where": "data.plan != 'free'", "to": ["list"]},
    ]
    write_slices(kept.folder, {"transform": {"routes": routes}})


def test_routes_that_the_journal_only_counts_are_computed_on_request(kept: Kept, command: Command) -> None:
    with_other_routes(kept)

    for asked in ((), ("--routes",)):
        lines = command("events", "show", "4f2a9c0d", *asked).splitlines()
        start = lines.index("Other routes, by the current configuration")
        assert lines[start + 1 : start + 3] == [  # those of its source first
            "  paid: not_matched: where data.plan != 'free' is false",
            "  shop: not_matched: from 'web', which is not shop",
        ]


def test_a_waiting_event_says_that_nothing_runs_or_what_is_silent_or_locked(kept: Kept, command: Command) -> None:
    kept.event("4f2a9c0d")
    assert "until `make dev` runs with this state folder" in command("events", "show", "4f2a9c0d")
    with receiver(b"") as gone:
        silent = urlsplit(gone.url).port or 0
    kept.delivered(kept.event("e2"))  # makes a ledger
    with receiver(b"") as answering, closing(sqlite3.connect(kept.folder / "ledger.db")) as other:
        up = urlsplit(answering.url).port or 0
        write_dev_file(kept.folder, DevFile(Ports(up, silent, up, up, up)))
        other.execute("BEGIN IMMEDIATE")
        text = command("events", "show", "4f2a9c0d")
    assert "transform does not answer: `hookchain logs --function transform` may show why" in text
    assert "another program may have it open" in text


def test_a_filter_by_a_source_that_does_not_exist_is_a_usage_error(kept: Kept, command: Command) -> None:
    write_slices(kept.folder, {"receive": {"sources": {"shop": {}}}})
    kept.event("e1", source="till")  # removed from the configuration since
    command("events", "list", "--source", "shpo", code=2)
    assert "--source: there is no source 'shpo'; did you mean 'shop'?" in command.error
    for name in ("shop", "till"):
        command("events", "list", "--source", name)


def test_a_filter_that_matches_nothing_names_the_type_that_was_probably_meant(kept: Kept, command: Command) -> None:
    kept.event("e1", type="order.paid")
    command("events", "list", "--type", "order.payed")
    assert command.error == "no events; did you mean type 'order.paid'?\n"
    command("events", "replay", "--type", "order.payed", code=1)
    assert command.error == "no event matches; did you mean type 'order.paid'?\n"


def test_a_delivery_in_a_digest_says_until_when_it_waits_or_where_it_is(kept: Kept, command: Command) -> None:
    delivery = Delivery(kept.event("e1"), "tell", "list")
    kept.with_ledger(lambda ledger: ledger.gather(delivery, b"{}", "g1", "gathered by 'team'", NOW, NOW + 60))
    text = command("events", "show", "e1")
    assert "to list by route 'tell': waits until 2026-09-21T14:14:20Z\n    gathered by 'team'" in text
    [row] = kept.with_ledger(lambda ledger: ledger.due(NOW + 60, 1))
    kept.with_ledger(lambda ledger: ledger.merge_all([(row.key, row.fence)], NOW + 60, "0f0f"))
    assert "to list by route 'tell': merged\n    merged into 0f0f" in command("events", "show", "e1")


def test_a_digest_is_shown_with_its_delivery_and_the_events_that_it_stands_for(kept: Kept, command: Command) -> None:
    members = [Delivery(kept.event(f"e{number}"), "tell", "crm") for number in range(2)]
    digest = Delivery(replace(members[0].event, id=DIGEST_ID), "digest", "crm", merged=2)

    async def send(ledger: LocalLedger) -> None:
        for each in members:
            await ledger.gather(each, b"{}", "g1", "it waits for the next digest", NOW, NOW + 60)
        moves = [(row.key, row.fence) for row in await ledger.due(NOW + 60, 10)]
        await ledger.merge_all(moves, NOW + 61, DIGEST_ID)
        assert isinstance(await ledger.claim(digest, message_of(digest, NOW), NOW + 61, 30), Claimed)

    kept.with_ledger(send)
    shown = command("events", "show", DIGEST_ID)
    assert f"Digest {DIGEST_ID}\n  destination  crm\n  contains     2 deliveries\n" in shown
    assert "  e0  by route 'tell'\n" in shown
    assert "not found" not in shown
    found = mapping_at(command.json("events", "show", DIGEST_ID)["digest"])
    assert (found["destination"], found["count"]) == ("crm", 2)
    command("events", "replay", DIGEST_ID, "--yes", code=1)
    assert f"{DIGEST_ID} is a digest, not an event of a source. Replay the events in it" in command.error


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("abcde", "the beginning of an id must have at least 6 characters; got 'abcde'"),
        ("abcdef", "more than one event begins with 'abcdef': abcdef01, abcdef02"),
        ("abcdef03", f"no event has an id that is 'abcdef03' or begins with it. {OTHER_FOLDER}"),
    ],
)
def test_the_beginning_of_an_id_names_one_event(given: str, message: str, kept: Kept, command: Command) -> None:
    kept.event("abcdef01")
    kept.event("abcdef02")
    command("events", "show", given, code=1)
    assert command.error == f"hookchain events show: {message}\n"


# Where it looks and where it sends


def test_a_replay_is_a_dry_run_that_says_what_and_how(kept: Kept, bus: FakeBus, command: Command) -> None:
    for number in range(7):
        kept.event(f"e{number}", at=NOW - 60 + number)
    out = command("events", "replay", "--source", "web", "--since", "1h")
    assert out.startswith("7 events would be replayed, oldest first; the first 5:\n")
    assert out.endswith(
        "Nothing was sent. To send them, at most 20 per second:\n  hookchain events replay --source web "
        "--since 2026-09-21T13:13:20.000Z --until 2026-09-21T14:13:20.000Z --yes\n"
    )
    assert bus.sent == []


def test_a_replay_says_whether_deliveries_that_succeeded_are_repeated(kept: Kept, command: Command) -> None:
    kept.delivered(kept.event("e1", routes=(TELL,)))
    out = command("events", "replay", "e1")
    assert "are not repeated without --force. If you have renamed a route or a destination, it delivers" in out
    assert "deliveries that succeeded are sent again" in command("events", "replay", "e1", "--force")


def test_with_yes_they_are_published_oldest_first_as_one_replay(kept: Kept, bus: FakeBus, command: Command) -> None:
    kept.event("e2", at=OLD)
    kept.event("e1", data={"name": "Ada"})
    document = command.json("events", "replay", "--since", "1d", "--yes", "--rate", "1000")
    messages = bus.on("events")
    assert [json.loads(message.data)["id"] for message in messages] == ["e2", "e1"]
    assert {message.attributes["replay"] for message in messages} == {document["replay"]}
    assert not messages[0].attributes.keys() & {"only", "force"}
    assert (document["dry_run"], document["count"]) == (False, 2)
    what = f"replay {document['replay']} only=None force=False"
    assert audit_of(kept.folder) == [("hookchain events replay", what, 2, "done")]
    command("events", "replay", "e1", "--yes", "--only", "list", "--force")
    *_, forced = bus.on("events")
    assert (forced.attributes["only"], forced.attributes["force"]) == ("list", "true")


def test_what_has_nothing_to_replay_is_left_out_and_said(kept: Kept, bus: FakeBus, command: Command) -> None:
    kept.event("e1")
    kept.received("e2")
    command("events", "replay", "e1", "e2", "--yes", code=1)
    assert "left out, because there is nothing to replay" in command.error
    assert len(bus.on("events")) == 1
    assert command.json("events", "replay", "--since", "1h")["left_out"] == ["e2"]


def test_an_event_whose_body_goes_while_others_are_replayed_is_left_out(
    kept: Kept, bus: FakeBus, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.event("e1")
    kept.event("e2")
    stored = JournalReader.stored_document
    monkeypatch.setattr(JournalReader, "stored_document", lambda at, id_: stored(at, id_) if id_ == "e1" else None)
    document = command.json("events", "replay", "e1", "e2", "--yes", code=1)
    assert (document["count"], document["left_out"]) == (1, ["e2"])


def test_a_bus_that_rejects_is_exit_code_1_with_how_far_it_came(kept: Kept, bus: FakeBus, command: Command) -> None:
    kept.event("e1")
    bus.fault = "Pub/Sub answered 503 to a publish on topic 'events'"
    command("events", "replay", "e1", "--yes", code=1)
    assert command.error == f"stopped: 0 of 1 published\nhookchain events replay: {bus.fault}\n"


def test_without_dev_one_can_look_but_not_send(kept: Kept, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.event("e1")
    assert "1 event would be replayed" in command("events", "replay", "e1")
    with receiver(http_answer(200)) as another:  # on the ports from PORT_BASE, but with another state folder
        monkeypatch.setenv("PORT_BASE", str(int(another.address.rpartition(":")[2]) - 5))
        assert command("events", "replay", "e1", "--yes", code=1) == ""
        assert another.heads == []
    assert f"nothing runs with the state folder {kept.folder}. Start `make dev` with it" in command.error


def test_a_repeated_request_is_shown_as_one_event(kept: Kept, command: Command) -> None:
    kept.event("4f2a9c0d")
    kept.received("4f2a9c0d")
    note = "  These requests have the same id, the same signed bytes or, with `dedupe: body`, the same body"
    assert note not in command("events", "show", "4f2a9c")
    kept.received("4f2a9c0d")
    assert note in command("events", "show", "4f2a9c")


# Deliveries to endpoints


def row(number: int, state: str) -> LedgerRow:
    name = str(EndpointName("customers", "acme", f"ep_{number:020d}"))
    return LedgerRow(f"key{number}", "e1", "all", name, state, 1, 0, 1, None, "", "", NOW, NOW, b"")


def test_an_events_deliveries_to_many_endpoints_are_counted_and_those_that_fail_come_first(kept: Kept) -> None:
    kept.event("e1")
    rows = [row(number, "delivered" if number < 40 else "dead_lettered") for number in range(42)]
    with JournalReader(kept.folder / FILE_NAME) as reader:
        record = reader.event("e1")
    assert record
    text = "\n".join(RecordText(Screen()).event(record, None, rows))
    assert "Deliveries to endpoints\n  42 deliveries: 40 delivered, 2 dead_lettered" in text
    assert "to customers:acme:ep_00000000000000000041 by route 'all': dead_lettered" in text
    assert text.count("to customers:acme:ep_") == MAX_ENDPOINTS
    assert "and 22 more: --json lists them" in text
