"""The inspector's JSON interface, over a journal, a ledger and a mailbox on disk and a bus that only remembers."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar, StreamReader, web
from aiohttp.web import HTTPBadRequest

from deploy.config.local_ports import ports_from
from deploy.config.page_token import page_token
from deploy.config.running_dev import DevFile, remove_dev_file, write_dev_file
from deploy.dev.caught import Sheet, open_caught
from deploy.dev.inspector.api import event_query
from deploy.dev.inspector.journal_upkeep import LOST_SECONDS, REPAIR_EVENTS, missing_entries, repair_some
from deploy.dev.local_server import rejection_reason
from deploy.dev.mail import MailRequest, SentRequest, mail_request
from deploy.history.journal_view import EventQuery
from deploy.history.local_requests import RequestEntry, write_requests
from deploy.history.replay import is_replayable, make_dead_letter_replay
from deploy.history.status import NOT_CONFIGURED, held_destinations
from deploy.platforms.local import local_version
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry
from shared.jsontext import JsonObject, mapping_at, objects_at, to_json
from shared.ledger import LedgerRow, Place, Settlement
from shared.ports import DELIVERIES, EVENTS
from shared.subscribers.directory import TENANTS, Directory, endpoints_of
from shared.subscribers.model import Endpoint, EndpointSecret, SealedText, Tenant
from tests.fakes.deliveries import settled
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery
from tests.unit.dev.inspected import JSON_TYPE, NOW, TELL, TOKEN, Inspector, a_dead_letter, an_event


async def test_an_event_is_shown_whole_with_its_delivery_and_its_mail(inspector: Inspector) -> None:
    event = an_event()
    delivery = Delivery(event, "tell", "list")
    keep_mail(inspector, "<p>Hello</p>")
    attempt = AttemptEntry(delivery.id, event.id, "tell", "list", 1, NOW, NOW + 0.5, "delivered", "", "202 message-1")
    await settled(inspector.parts.ledger, delivery, Settlement("delivered", NOW, attempt=attempt))
    await inspector.parts.journal.record([EventEntry(event, (TELL,), NOW), attempt])

    document = await inspector.get("/api/events/e1")
    assert document["status"] == "delivered"
    assert document["event"] == to_cloudevent(event)
    assert [route["reason"] for route in objects_at(document, "routes")] == ["its type matches"]
    assert [row["state"] for row in objects_at(document, "deliveries")] == ["delivered"]
    assert [row["duration_ms"] for row in objects_at(document, "attempts")] == [500.0]
    assert document["mails"] == {delivery.id: 1}
    assert [row["id"] for row in objects_at(await inspector.get("/api/deliveries?state=delivered"), "deliveries")] == [
        delivery.id
    ]


async def test_each_source_is_shown_with_its_health(inspector: Inspector) -> None:
    slices = inspector.parts.state / "slices"
    slices.mkdir()
    (slices / "receive.json").write_text('{"sources": {"web": {"auth": "none"}, "form": {"auth": "none"}}}')
    await inspector.parts.journal.record([EventEntry(an_event(), (TELL,), NOW)])
    found = await inspector.get("/api/sources")
    assert [(each["source"], each["health"], each["command"]) for each in objects_at(found, "sources")] == [
        ("web", "healthy", None),
        ("form", "unknown", "hookchain sources form"),
    ]


async def test_tenants_and_their_endpoints_are_shown_without_secrets(inspector: Inspector) -> None:
    directory = Directory(inspector.parts.documents)
    for name in ("acme", "beta", "zeta"):
        await directory.documents.write(TENANTS, name, Tenant(id=name, created_at=NOW).text())
    secret = EndpointSecret(sealed=SealedText(key_id="k", nonce="n", content="sealed-content"), created_at=NOW)
    endpoint = Endpoint(id="ep_1", tenant="acme", url="https://a.example/in", secrets=(secret,), failing_since=NOW)
    await directory.documents.write(endpoints_of("acme"), endpoint.id, endpoint.text())
    first = await inspector.get("/api/subscribers?limit=2")
    assert [row["id"] for row in objects_at(first, "tenants")] == ["acme", "beta"]
    second = await inspector.get(f"/api/subscribers?limit=2&after={first['next']}")
    assert ([row["id"] for row in objects_at(second, "tenants")], second["next"]) == (["zeta"], None)
    found = await inspector.get("/api/subscribers/acme")
    assert [(row["id"], row["state"]) for row in objects_at(found, "endpoints")] == [("ep_1", "failing")]
    assert "sealed-content" not in to_json(found)
    for path, status in (("/api/subscribers/nobody", 404), ("/api/subscribers/%2e%2e", 404)):
        assert (await inspector.client.get(path)).status == status


async def test_an_event_that_went_to_many_endpoints_is_repaired_to_the_last(inspector: Inspector) -> None:
    event, most = an_event(), 120
    with closing(open_journal(inspector.parts.state / FILE_NAME)) as journal, transaction(journal):
        write_requests(journal, [RequestEntry(NOW, "POST", 200, "web", event_id=event.id)])
    attempts = []
    for number in range(most):
        delivery = Delivery(event, "tell", f"customers:acme:ep_{number:020}")
        names = delivery.id, event.id, "tell", delivery.destination
        attempts.append(AttemptEntry(*names, 1, NOW, NOW + 0.5, "delivered", "", "202"))
        await settled(inspector.parts.ledger, delivery, Settlement("delivered", NOW, attempt=attempts[-1]))
    await inspector.parts.journal.record(attempts[1:])
    await repair_some(inspector.parts, 0, NOW + LOST_SECONDS + 1)
    assert (await inspector.get("/api/events/e1"))["status"] == "delivered"
    assert len(await inspector.parts.in_thread(partial(inspector.parts.reader.last_outcomes, event.id))) == most


class CountingLedger(FakeLedger):
    """Counts the reads of rows."""

    reads = 0

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        self.reads += 1
        return await super().rows(limit, event_id=event_id, destination=destination, state=state, before=before)


async def test_an_event_is_shown_as_held_at_once_although_many_earlier_ones_wait(inspector: Inspector) -> None:
    events = [an_event(f"e{number}") for number in range(REPAIR_EVENTS + 1)]
    await inspector.parts.journal.record([EventEntry(event, (TELL,), NOW) for event in events])
    ledger = CountingLedger()
    await settled(ledger, Delivery(events[-1], "tell", "list"), Settlement("held", NOW, reason="paused by an operator"))
    await repair_some(replace(inspector.parts, ledger=ledger), 0, NOW + LOST_SECONDS + 1)
    assert ledger.reads == len(events), "each event is repaired once"
    assert (await inspector.get(f"/api/events/{events[-1].id}"))["status"] == "held"


def keep_mail(inspector: Inspector, html: str) -> None:
    text = to_json(mail_body(html))
    inspector.parts.caught.mailbox.keep([mail_request(text, SentRequest.model_validate_json(text), "message-1", NOW)])


def mail_body(html: str) -> JsonObject:
    return {
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "from": {"email": "shop@example.com"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello\n====\nthere"}, {"type": "text/html", "value": html}],
        "attachments": [
            {"content": "aGVsbG8=", "filename": 'a "file".txt', "type": "text/html", "disposition": "attachment"},
            {"content": "AAEC", "filename": "x.png", "type": "image/png", "disposition": "inline", "content_id": "pic"},
        ],
    }


async def test_a_mail_is_shown_walled_in(inspector: Inspector) -> None:
    html = '<script>alert(1)</script><img src="cid:pic"><img src="https://evil.example/x.png">'
    keep_mail(inspector, html)
    [listed] = objects_at(await inspector.get("/api/mail"), "mail")
    assert (listed["subject"], listed["preview"], listed["attachments"]) == ("Hello", "Hello there", 2)
    async with inspector.client.get("/api/mail/1/html") as answer:
        policy, text = answer.headers["Content-Security-Policy"], await answer.text()
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert 'src="data:image/png;base64,AAEC"' in text
    async with inspector.client.get("/api/mail/1/attachments/0") as answer:
        assert await answer.read() == b"hello"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%22file%22.txt"
    for missing in ("/api/mail/2", "/api/mail/1/attachments/7", "/api/mail/x", "/api/mail/99999999999999999999"):
        async with inspector.client.get(missing) as answer:
            assert answer.status == 404


async def test_the_page_and_its_api_want_the_token_and_keep_it_out_of_the_url(inspector: Inspector) -> None:
    async with ClientSession(inspector.client.make_url("/"), cookie_jar=CookieJar(unsafe=True)) as browser:
        for path in ("/", "/?token=wrong", "/?token=%C3%A9", "/page/app.js", "/api/events", "/api/events?token=x"):
            async with browser.get(path, allow_redirects=False) as answer:
                assert (answer.status, "has a token" in await answer.text()) == (403, True), path
        async with browser.get("/favicon.ico") as answer:  # the supervisor's readiness check
            assert answer.status == 204
        async with browser.get(f"/?token={TOKEN}", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "HttpOnly" in answer.headers["Set-Cookie"]
            assert "SameSite=Lax" in answer.headers["Set-Cookie"]
        for path in ("/", "/page/app.js", "/api/events"):
            async with browser.get(path) as answer:
                assert answer.status == 200, path
    assert (await inspector.client.get("/api/events")).status == 200  # with the token in a header


async def test_an_event_that_was_posted_to_the_page_is_told_where_events_go(inspector: Inspector) -> None:
    url = inspector.client.make_url("/")
    write_dev_file(inspector.parts.state, DevFile(ports_from(9000)))
    async with ClientSession(url) as sender:
        for path in ("/", "/webhook"):
            for headers in (JSON_TYPE, {"Content-Type": "text/plain"}):
                async with sender.post(path, data=b"{}", headers=headers) as answer:
                    expected = "this is the page; post events to http://localhost:9000/NAME\n"
                    assert (answer.status, await answer.text()) == (405, expected)
    remove_dev_file(inspector.parts.state)
    async with ClientSession(url) as sender, sender.post("/", data=b"{}", headers=JSON_TYPE) as answer:
        assert "post events to the URLs that `hookchain sources` prints" in await answer.text()


def test_the_token_is_kept_for_its_user_alone_and_is_in_every_url_of_the_page(tmp_path: Path) -> None:
    token = page_token(tmp_path)
    assert (len(token), page_token(tmp_path)) == (32, token)
    assert (tmp_path / "page-token").stat().st_mode & 0o777 == 0o600
    write_dev_file(tmp_path, DevFile(ports_from(9000)))
    assert local_version(tmp_path).version == f"http://127.0.0.1:9010/?token={token}"


async def test_every_answer_has_the_security_headers(inspector: Inspector) -> None:
    for path in ("/", "/page/app.js", "/api/events", "/nowhere"):
        async with inspector.client.get(path) as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_time_that_cannot_be_read_is_rejected_with_an_example() -> None:
    with pytest.raises(HTTPBadRequest) as caught:
        event_query({"since": "yesterday"})
    assert caught.value.text == "since: must be a time such as 2026-03-01T12:00:00Z.\n"


async def test_only_the_pages_own_files_are_served(inspector: Inspector) -> None:
    for path in ("/page/..%2fapp.py", "/page/app.py", "/page/%2e%2e/app.py", "/page/index", "/page/missing.js"):
        async with inspector.client.get(path) as answer:
            assert answer.status == 404, path


async def test_an_event_is_replayed_as_it_was_stored(inspector: Inspector) -> None:
    await inspector.parts.journal.record([EventEntry(an_event(), (TELL,), NOW)])
    status, _ = await inspector.post("/api/replay", {"id": "e1", "only": "list", "force": True})
    assert status == 200
    [message] = inspector.bus.on("events")
    assert json.loads(message.data) == to_cloudevent(an_event())
    assert (message.attributes["only"], message.attributes["force"]) == ("list", "true")


@pytest.mark.parametrize(
    ("body", "expected"), [({}, 400), ({"id": "nobody"}, 404), ({"id": "e1", "force": "yes"}, 400)]
)
async def test_an_invalid_replay_is_rejected_with_reason(inspector: Inspector, body: JsonObject, expected: int) -> None:
    status, message = await inspector.post("/api/replay", body)
    assert status == expected
    assert message.strip()
    assert inspector.bus.sent == []


async def test_a_dead_letter_is_replayed_to_its_topic_and_marked(inspector: Inspector) -> None:
    letter = a_dead_letter(an_event())
    await inspector.parts.journal.record([letter])
    [listed] = objects_at(await inspector.get("/api/dead-letters"), "dead_letters")
    assert listed["replayable"] is True
    assert await inspector.post("/api/dead-letters/replay", {"ids": [letter.id] * 2}) == (
        200,
        '{"replayed":1,"delivered_since":0}',
    )
    assert await inspector.post("/api/dead-letters/replay", {"ids": [letter.id]}) == (
        200,
        '{"replayed":0,"delivered_since":0}',
    )
    [message] = inspector.bus.on("deliveries")
    assert message.data == letter.message
    assert objects_at(await inspector.get("/api/dead-letters"), "dead_letters") == []
    assert len(objects_at(await inspector.get("/api/dead-letters?state=replayed"), "dead_letters")) == 1


async def test_a_dead_letter_that_was_delivered_since_is_marked_and_not_replayed(inspector: Inspector) -> None:
    event, letter = an_event(), a_dead_letter(an_event())
    await settled(inspector.parts.ledger, Delivery(event, "tell", "list"), Settlement("delivered", NOW))
    await inspector.parts.journal.record([letter])
    status, body = await inspector.post("/api/dead-letters/replay", {"ids": [letter.id]})
    assert (status, body, inspector.bus.sent) == (200, '{"replayed":0,"delivered_since":1}', [])
    assert objects_at(await inspector.get("/api/dead-letters"), "dead_letters") == []


async def test_a_dead_letter_that_the_bus_did_not_take_stays_kept(inspector: Inspector) -> None:
    letter = a_dead_letter(an_event())
    await inspector.parts.journal.record([letter])
    inspector.bus.fault = "the bus is down"
    assert await inspector.post("/api/dead-letters/replay", {"ids": [letter.id]}) == (503, "the bus is down\n")
    assert len(objects_at(await inspector.get("/api/dead-letters"), "dead_letters")) == 1


async def test_a_dead_letter_that_holds_nothing_of_ours_can_only_be_dropped(inspector: Inspector) -> None:
    await inspector.parts.journal.record(
        [DeadLetter("x", "malformed_event", "not JSON", NOW, b"\xff\x00", "dead-letters")]
    )
    status, message = await inspector.post("/api/dead-letters/replay", {"ids": ["x"]})
    assert (status, "no message that can be replayed" in message) == (409, True)
    assert (await inspector.get("/api/dead-letter?id=x"))["message"] == "\ufffd\x00"
    assert await inspector.post("/api/dead-letters/drop", {"ids": ["x"]}) == (200, '{"dropped":1}')
    assert (await inspector.post("/api/dead-letters/drop", {"ids": []}))[0] == 400


@pytest.mark.parametrize("body", [b"{", b'{"plugged": 1}', b"[" * 100_000])
async def test_a_body_that_makes_no_sense_is_a_400(inspector: Inspector, body: bytes) -> None:
    async with inspector.client.post("/api/mail-sink", data=body, headers=JSON_TYPE) as answer:
        assert answer.status in {400, 413}


async def test_an_open_page_is_updated_as_events_happen(inspector: Inspector, tmp_path: Path) -> None:
    async with asyncio.timeout(10), inspector.client.get("/api/live") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        first = await next_update(answer.content, "events")
        assert first["ids"] == []
        connection = open_journal(tmp_path / FILE_NAME)
        with transaction(connection):
            write_requests(connection, [RequestEntry(NOW, "POST", 200, "web", event_id="e1", type="signup")])
        connection.close()
        second = await next_update(answer.content, "events")
        assert second["ids"] == ["e1"]
        await inspector.parts.journal.record([EventEntry(an_event(), (TELL,), NOW)])
        third = await next_update(answer.content, "events")
        assert [row["status"] for row in objects_at(third, "events")] == ["delivering"]


async def next_update(stream: StreamReader, name: str) -> JsonObject:
    while line := await stream.readline():
        if line == f"event: {name}\n".encode():
            return mapping_at(json.loads((await stream.readline()).removeprefix(b"data: ")))
    raise EOFError(name)


HOST = "127.0.0.1:8090"


# Who may connect


@pytest.mark.parametrize("headers", [{}, {"Origin": f"http://{HOST}"}, {"Sec-Fetch-Site": "same-origin"}])
def test_the_page_and_programs_may_act(headers: Mapping[str, str]) -> None:
    assert rejection_reason("POST", HOST, {**JSON_TYPE, **headers}) is None


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {**JSON_TYPE, "Origin": "https://evil.example"}),
        ("POST", {**JSON_TYPE, "Origin": "http://127.0.0.1:3000"}),
        ("POST", {**JSON_TYPE, "Sec-Fetch-Site": "same-site"}),
        ("POST", {"Content-Type": "text/plain"}),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}),
    ],
)
def test_another_sites_page_may_not(method: str, headers: Mapping[str, str]) -> None:
    assert rejection_reason(method, HOST, headers) is not None


# Queries


def test_a_query_is_read_whole() -> None:
    query = {"source": "web", "type": "a.*", "status": "held", "text": "ada", "limit": "7", "before": "9"}
    since = {"since": "2026-09-21T14:13:20Z"}
    assert event_query({**query, **since}) == EventQuery("web", "a.*", "held", "ada", 1_790_000_000.0, None, 7, 9)
    assert event_query({}) == EventQuery()


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "١"}, {"status": "?"}])
def test_an_invalid_query_is_rejected_with_a_reason(query: Mapping[str, str]) -> None:
    with pytest.raises(web.HTTPBadRequest) as error:
        event_query(query)
    assert error.value.text


# Updates


async def test_a_disabled_destination_is_held_and_a_paused_one_says_until_when() -> None:
    ledger = FakeLedger()
    await ledger.disable("crm", "verify the address", 100.0)
    await ledger.pause("chat", 200.0, 100.0, "it still fails")
    held = await held_destinations(ledger, ["list", "crm", "chat"], 150.0)
    crm, chat = objects_at({"held": [*held]}, "held")
    assert (crm["destination"], crm["reason"], crm["act"]) == ("crm", "verify the address", "resume")
    assert (chat["destination"], chat["paused_until"], chat["act"]) == ("chat", "1970-01-01T00:03:20.000Z", "release")
    assert await held_destinations(ledger, ["chat"], 250.0) == []


async def test_a_destination_with_deliveries_that_wait_for_somebody_is_held_though_it_is_not_disabled() -> None:
    ledger = FakeLedger()
    await settled(ledger, a_delivery(1, "list"), Settlement("held", 101.0, "nobody knows whether it arrived"))
    [held] = objects_at({"held": [*await held_destinations(ledger, [], 150.0)]}, "held")
    assert (held["destination"], held["count"], held["act"]) == ("list", 1, "release")
    assert held["reason"] == "nobody knows whether it arrived"
    [held] = objects_at({"held": [*await held_destinations(ledger, ["crm"], 150.0)]}, "held")
    assert held["reason"] == f"{NOT_CONFIGURED}; nobody knows whether it arrived"


# Replays

EVENT: JsonObject = {"specversion": "1.0", "id": "e1", "type": "signup", "source": "/sources/web", "data": {"é": 1}}


def letter(topic: str, message: bytes) -> DeadLetter:
    return DeadLetter("d1", "request_rejected", "no such user", 0.0, message, topic)


@pytest.mark.parametrize(
    ("topic", "message"),
    [("dead-letters", json.dumps(EVENT).encode()), (EVENTS, b"\xff"), (EVENTS, b"[]"), (DELIVERIES, b'{"id": 1}')],
)
def test_a_message_that_is_not_ours_is_not_replayed(topic: str, message: bytes) -> None:
    assert not is_replayable(letter(topic, message))
    with pytest.raises(Permanent, match="no message that can be replayed"):
        make_dead_letter_replay(letter(topic, message), "r1")


# Repair of the journal


def row(key: str, state: str) -> LedgerRow:
    return LedgerRow(key, "e1", "tell", "list", state, 1, 0, 1, None, "why", "202", 1.0, 2.0, b"")


def test_entries_that_the_journal_lacks_are_found_in_the_ledger() -> None:
    rows = [
        row("a", "delivered"),
        row("b", "held"),
        row("c", "retry_scheduled"),
        row("d", "claimed"),
        row("e", "dead_lettered"),
        row("f", "merged"),
        row("g", "held"),
    ]
    outcomes = {"a": "delivered", "b": "retry_scheduled", "c": "unknown", "g": "unknown"}
    found = [(entry.delivery_id, entry.outcome, entry.attempt_number) for entry in missing_entries(outcomes, rows)]
    assert found == [("b", "held", 0), ("e", "failed", 0), ("f", "merged", 0), ("g", "held", 0)]


IDS = [f"{number:064x}" for number in range(50)]


def test_what_was_caught_of_a_delivery_is_counted_and_erased_while_more_comes(tmp_path: Path) -> None:
    sheet = Sheet("people", "Sheet1")
    with open_caught(tmp_path) as caught, open_caught(tmp_path) as writer:
        for each in IDS[:2]:
            writer.mailbox.keep([MailRequest("m", 1.0, f'{{"x": "{each}"}}', 1, (b"attached",))])
        assert [caught.count_of_delivery(each) for each in IDS[:3]] == [1, 1, 0]
        writer.sheets.append(sheet, [["Ada", IDS[0]]], 1.0)
        assert caught.count_of_delivery(IDS[0]) == 2
        caught.erase_delivery(IDS[0])
        assert [caught.count_of_delivery(each) for each in IDS[:2]] == [0, 1]
        assert (caught.mailbox.count(), caught.mailbox.attachment_content(1, 0)) == (1, None)
        with closing(sqlite3.connect(tmp_path / "mail.db")) as file:  # what was attached is gone from the file too
            assert file.execute("SELECT count(*) FROM attachment").fetchone() == (1,)
        caught.purge(2.0)
        assert [caught.count_of_delivery(each) for each in IDS[:2]] == [0, 0]


def test_to_look_for_many_deliveries_reads_what_was_caught_once(tmp_path: Path) -> None:
    ids = [f"{number:064x}" for number in range(300)]
    steps: list[None] = []
    with open_caught(tmp_path) as caught:
        caught.mailbox.keep([MailRequest(each, 1.0, f'{{"x": "{each}"}}', 1) for each in ids])
        caught.mailbox._db.set_progress_handler(lambda: steps.append(None), 1_000)
        assert sum(map(caught.count_of_delivery, ids)) == 300
        assert len(steps) < 100  # thousand steps of SQLite; to read all for each delivery takes four times as many
