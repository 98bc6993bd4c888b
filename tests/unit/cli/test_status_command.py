"""`hookchain status`: what runs, what came, what waits, what needs somebody."""

import asyncio
import json
import time
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.status import MAX_GROUPS, StatusText
from deploy.config.local_ports import Ports
from deploy.config.page_token import page_token, page_url
from deploy.config.running_dev import DevFile, write_dev_file
from deploy.dev.pubsub.messages import Message
from deploy.dev.pubsub.store import Changes, Store
from deploy.history.destinations import DestinationView, DigestView, WaitingGroup
from deploy.history.status import (
    NOT_CONFIGURED,
    Backlog,
    Retrying,
    SourceActivity,
    Status,
    Version,
    count_retrying,
    count_waiting_routes,
)
from deploy.platforms.local import local_version
from deploy.terminal.output import Screen, clock
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.jsontext import JsonObject, list_at
from shared.ledger import Settlement
from shared.ledger_rules import new_row
from shared.times import rfc3339
from tests.fakes.command import Command, as_objects
from tests.fakes.configurations import compile_text
from tests.fakes.deliveries import settled
from tests.fakes.kept import write_slices
from tests.fakes.notifier import EVENT, a_delivery
from tests.stand_ins.google_apis import StandIn

NOW: Final = 1_772_366_400.0  # 2026-03-01T12:00:00Z
PROJECT: Final = "acme-hooks"
SERVICES: Final = f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-"
SERIES: Final = f"/monitoring/v3/projects/{PROJECT}/timeSeries"
CONFIG: Final = """
sources:
  shop: {auth: {scheme: header, secret: shop-password}, silence: {after: 1h, to: people}}
  quiet: {auth: none}
routes: [{name: all of it, to: [people]}]
destinations: {people: {email: {to: ann@example.com}}}
"""
NEVER_SEEN: Final[JsonObject] = {
    **{"last_at": None, "last_day": 0, "more": False, "quiet_since": None, "usual_seconds": None, "overdue": False},
    **{"health": "unknown", "reason": "it has no event yet", "registered": None, "registration_unknown": None},
    **{"hooks": [], "secret_set_at": None, "last_rejected": None},
}


pytestmark = pytest.mark.usefixtures("config")


# On this machine


def test_what_is_kept_here_is_told_whether_dev_is_up_or_not(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    asyncio.run(keep_some(state))
    monkeypatch.setattr("deploy.history.status.MAX_SHOWN", 0)
    found = command.json("status", "--state", str(state))
    assert found["notes"] == ["what waits for the destinations after the first 0 of 1"]
    assert found["versions"] == [{"name": "hookchain dev", "version": "", "since": None, "trouble": "not up: make dev"}]
    assert found["sources"] == [
        {"source": "shop", **NEVER_SEEN, "silence_seconds": 3_600, "command": "hookchain sources shop"},
        {"source": "quiet", **NEVER_SEEN, "silence_seconds": None, "command": "hookchain sources quiet"},
    ]
    [backlog] = [each for each in as_objects(found["backlog"]) if each["subscription"] == "transform-events"]
    assert backlog["waiting"] == 1
    assert 99 < float(str(backlog["oldest_seconds"])) < 200
    [held] = as_objects(found["held"])
    assert (held["destination"], held["reason"]) == ("people", "mend it")
    [retrying] = as_objects(found["retry_scheduled"])
    assert (retrying["destination"], retrying["count"], retrying["more"]) == ("people", 1, False)


async def test_processes_that_do_not_answer_are_named(tmp_path: Path) -> None:
    async with await asyncio.start_server(answer_not_found, "127.0.0.1", 0) as server:
        answering = server.sockets[0].getsockname()[1]
        ports = Ports(answering, answering, 1, answering, answering)  # where nothing answers
        write_dev_file(tmp_path, DevFile(ports))
        version = await asyncio.to_thread(local_version, tmp_path)
        assert version.trouble == "no answer from notify: hookchain logs"
        write_dev_file(tmp_path, DevFile(Ports(*[answering] * 5)))
        version = await asyncio.to_thread(local_version, tmp_path)
    assert (version.version, version.trouble) == (page_url(answering, page_token(tmp_path)), "")


async def answer_not_found(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
    writer.close()


async def keep_some(state: Path) -> None:
    write_slices(state, {"notify": {"destinations": {"people": {}}}})
    open_journal(state / "journal.db").close()
    ledger = LocalLedger(state / "ledger.db")
    now, delivery = time.time(), a_delivery(1, "people")
    retried = Settlement("retry_scheduled", now, "SendGrid answered 503", retry_at=now + 60)
    await settled(ledger, delivery, retried)
    await ledger.disable("people", "mend it", time.time())
    await ledger.close()
    store = Store(state)
    subscription = store.add_subscription("projects/p/subscriptions/transform-events", "{}")
    message = Message(1, "projects/p/topics/events", "{}", {}, time.time() - 100, 1)
    store.write(Changes(messages=[message], unacknowledged=[(subscription, 1)]))
    store.close()


# On Google Cloud


@pytest.fixture
def on_gcp(command: Command, signed_in: None) -> Command:
    return command.partial("status", "--platform", "gcp", "--project", PROJECT)


def service(ready: str, created: str, state: str = "CONDITION_SUCCEEDED") -> JsonObject:
    revisions = f"projects/p/locations/l/services/s/revisions/{ready}", f"projects/p/l/s/revisions/{created}"
    return {
        "latestReadyRevision": revisions[0],
        "latestCreatedRevision": revisions[1],
        "updateTime": "2026-03-01T12:00:00Z",
        "terminalCondition": {"state": state, "message": "it did not listen on its port"},
    }


def test_revisions_are_reported_with_what_keeps_one_from_serving(google: StandIn, on_gcp: Command) -> None:
    google.answers(f"{SERVICES}receive", service("receive-00002", "receive-00002"))
    google.answers(f"{SERVICES}transform", service("transform-00002", "transform-00003", "CONDITION_FAILED"))
    google.answers(SERIES, {})
    versions = {str(each["name"]): each for each in as_objects(on_gcp.json()["versions"])}
    assert (versions["receive"]["version"], versions["receive"]["trouble"]) == ("receive-00002", None)
    assert str(versions["receive"]["since"]).startswith("2026-03-01T12:00:00")
    assert versions["transform"]["trouble"] == "it did not listen on its port"
    assert versions["notify"]["trouble"] == "not deployed: make deploy-gcp"


def test_what_waits_comes_from_monitoring(google: StandIn, on_gcp: Command) -> None:
    points: list[object] = [{"value": {"int64Value": "7"}}, {"value": {"int64Value": "900"}}]
    names = ("hookchain-deliveries-notify", "hookchain-bus-orders", "hookchain-dead-letters-hold")
    series = [{"resource": {"labels": {"subscription_id": name}}, "points": points} for name in names]
    answer: JsonObject = json.loads(json.dumps({"timeSeries": series}))
    google.answers(SERIES, answer)
    backlog = {str(each["subscription"]): each for each in as_objects(on_gcp.json()["backlog"])}
    assert backlog["hookchain-deliveries-notify"]["waiting"] == 7
    assert backlog["hookchain-deliveries-notify"]["oldest_seconds"] == 7
    assert backlog["hookchain-events-transform"]["waiting"] is None
    assert "hookchain-dead-letters-hold" not in backlog
    requests = [request.query for request in google.requests if request.path == SERIES]
    assert sorted("num_undelivered_messages" in query for query in requests) == [False, True]


def test_what_one_part_does_not_tell_hides_nothing_of_the_others(google: StandIn, on_gcp: Command) -> None:
    google.answers(f"{SERVICES}receive", service("receive-00002", "receive-00002"))
    google.refuses(SERIES, 403, "IAM_PERMISSION_DENIED")
    found = on_gcp.json()
    assert as_objects(found["versions"])[0]["trouble"] is None
    assert found["dead_letters"] is None
    notes = list_at(found["notes"])
    assert ["Cloud Monitoring" in str(notes[0]), "dead letters" in str(notes[1])] == [True, True]


# How it is told


URL: Final = page_url(8090, "t" * 43)


def test_people_see_what_is_wrong_at_a_glance() -> None:
    status = Status(
        versions=[
            Version("receive", "receive-00002", NOW - 7200),
            Version("notify", "", None, "not deployed"),
            Version("page", URL, NOW),
        ],
        sources=[SourceActivity("shop", NOW - 30, 500, is_more=True), SourceActivity("quiet", None, 0)],
        backlogs=[Backlog("a", 3, 301.0), Backlog("b", 0, None, 1_200), Backlog("c", None, None)],
        dead_letters=2,
        held=[{"destination": "crm", "reason": "mend\x1b[2J it", "count": 4, "act": "resume"}],
        retrying=[
            Retrying("list", 100, "SendGrid answered \x1b503", is_more=True, unknown=3, grouped=7),
            Retrying("news", 2, "waits for the digest", grouped=2),
        ],
        destinations=[
            DestinationView("chat", "paused", "503", NOW + 60, 100, True, NOW - 7_200, NOW + 90, 0, 12, 100, "", "10/s")
        ],
        notes=["what waits: refused"],
    )
    assert URL in "\n".join(StatusText(Screen(width=80), NOW).lines(status))  # whole on a narrow terminal too
    text = "\n".join(StatusText(Screen(), NOW).lines(status))
    for part in (
        f"receive  {'receive-00002'.ljust(len(URL))}  2026-03-01T10:00:00Z  serving",
        "shop    2026-03-01T11:59:30Z  30 s  500 or more",
        "a             3                  5 min !",
        "b             0 + 1,200 delayed",
        "dead letters: 2  (hookchain dead-letters list)",
        "held: crm, 4 waiting: mend",
        "hookchain resume crm",
        "paused until 2026-03-01T12:01:00Z  100 or more  over 2 h  within 90 s  0     12 of the last 100  10/s",
        "retry scheduled: list, 100 or more waiting (3 with an unknown result, 7 gathered): SendGrid",
        "gathered: news, 2 waiting: waits for the digest",
        "unknown: what waits: refused",
    ):
        assert part in text
    assert "\x1b" not in text


def test_a_source_whose_silence_is_watched_says_since_when_it_is_quiet() -> None:
    sources = [
        SourceActivity("shop", NOW - 7_200, 3, silence_seconds=3_600.0, quiet_since=NOW - 7_200),
        SourceActivity("desk", NOW - 60, 1, silence_seconds=3_600.0),
        SourceActivity("form", NOW - 60, 1),
    ]
    text = "\n".join(StatusText(Screen(), NOW).lines(Status((), sources)))
    assert "2 h   3         quiet since 2026-03-01T10:00:00Z" in text
    assert "60 s  1         alert after 60 min\n" in text


def test_what_waits_in_which_digest_is_a_line_each_with_its_time() -> None:
    groups = [WaitingGroup(12, NOW - 180, NOW + 300, "it waits", "orch\x1bard", "ann")]
    groups += [WaitingGroup(1, NOW, NOW + 400, "it waits")] * MAX_GROUPS
    digests = [DigestView("d1", 37, "delivered", NOW - 900, NOW - 899)]
    view = DestinationView("pusher", "delivering", waiting=22, gathered=22, groups=groups, digests=digests)
    lines = list(StatusText(Screen(), NOW).lines(Status([], destinations=[view])))
    event = r"12 events, for ann, key 'orch\x1bard', the oldest for 3 min, it waits"
    assert f"gathered: pusher, until 2026-03-01T12:05:00Z: {event}" in lines
    last = "of 37 events at 2026-03-01T11:45:00Z: delivered  (hookchain events show d1)"
    assert lines[-2:] == ["gathered: pusher, 1 more group", f"last digest: pusher, {last}"]


def test_a_count_of_what_is_gathered_is_the_least_if_not_all_deliveries_were_read() -> None:
    group = WaitingGroup(1, NOW - 180, NOW + 300, "it waits")
    view = DestinationView("pusher", "delivering", waiting=100, gathered=100, is_more=True, groups=[group])
    text = "\n".join(StatusText(Screen(), NOW).lines(Status([], destinations=[view])))
    assert "100 or more (100 or more gathered)" in text
    assert "1 or more events, the oldest for over 3 min, it waits" in text


def test_routes_that_wait_are_counted_by_name_with_the_time_of_the_next_run() -> None:
    row = new_row(Delivery(EVENT, "ask", ROUTE_ITSELF), "k", NOW, "retry_scheduled")
    rows = [row._replace(retry_at=NOW + wait, reason=f"waits {wait} s") for wait in (62, 61)]
    assert count_retrying(rows, []) == []
    status = Status([], waiting_routes=count_waiting_routes(rows))
    text = "\n".join(StatusText(Screen(), NOW).lines(status))
    assert f"waiting: route 'ask', 2 events, the next run at {clock(NOW + 61)}: waits 62 s" in text
    [first] = as_objects(status.document()["waiting_routes"])
    assert (first["route"], first["count"], first["next_run"]) == ("ask", 2, rfc3339(NOW + 61))


def test_a_destination_that_waits_is_counted_though_newer_deliveries_to_others_fill_what_is_read() -> None:
    newest = [new_row(a_delivery(n, "down"), f"d{n}", NOW, "retry_scheduled") for n in range(100)]
    older = [new_row(a_delivery(n, "crm"), f"c{n}", NOW - 9, "retry_scheduled") for n in range(6)]
    view = DestinationView("crm", "delivering", waiting=6, waiting_rows=older)
    found = count_retrying(newest, [view])
    counts = [(each.destination, each.count, each.is_more) for each in found]
    assert counts == [("crm", 6, False), ("down", 100, True)]
    assert [each.reason.startswith(NOT_CONFIGURED) for each in found] == [False, True]


SERVED = """
sources: {shop: {auth: none, dedupe: body}}
routes: [{name: all of it, to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


@pytest.fixture
def state(config: Path, tmp_path: Path) -> Path:
    """A state folder, and a configuration that has a fault since it was served."""
    config.write_text(SERVED.replace("auth:", "auht:"), encoding="utf-8")
    write_slices(tmp_path, compile_text(SERVED, tmp_path))
    open_journal(tmp_path / FILE_NAME).close()
    return tmp_path


def test_a_faulty_edit_does_not_hide_the_status_of_what_is_served(state: Path, command: Command) -> None:
    write_dev_file(state, DevFile(Ports(1, 1, 1, 1, 1), config=str(state / "hookchain.yaml")))
    found = command.json("status", "--state", str(state))
    assert [each["source"] for each in as_objects(found["sources"])] == ["shop"]
    assert "hookchain.yaml has faults, see `hookchain lint`" in command.error


def test_where_nothing_is_served_the_fault_is_reported(state: Path, command: Command) -> None:
    command("status", "--state", str(state), code=1)
    assert "did you mean 'auth'?" in command.error
