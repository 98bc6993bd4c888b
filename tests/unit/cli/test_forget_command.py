"""`hookchain forget` on this machine: whom it chooses, what it prints, and that no file has the body any more."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli import chosen_events, forget as forget_command
from deploy.dev.backup import forgotten_since
from deploy.dev.caught import Mailbox
from deploy.dev.mail import MailRequest
from deploy.history import forget
from deploy.history.forget_tenant import TenantForgetter, TenantTraces
from deploy.history.local_erasure import FORGOTTEN_FILE, add_forgotten, read_forgotten
from deploy.history.local_journal import JournalReader
from functions.notify.destination import Attempt
from functions.notify.destinations.email.letters import Progress, RecipientResult
from functions.subscribe.idempotency import Record
from shared.claim_check import checked_in
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.event import Event, event_json
from shared.journal import AttemptEntry, EventEntry
from shared.jsontext import Json, JsonObject, mapping_at
from shared.ledger import Settlement
from shared.outcomes import DeliveryState
from shared.subscribers.directory import IDEMPOTENCY, TENANTS, Directory, endpoints_of, message_id, sessions_of
from shared.subscribers.model import Endpoint, Message, Session, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE, EndpointName
from shared.times import rfc3339
from tests.fakes.command import Command
from tests.fakes.deliveries import message_of, settled
from tests.fakes.kept import NOW, TELL, Kept, write_slices

ADA, BOB = "ada@example.com", "bob@example.com"
IS_ADA = f"data.email == '{ADA}'"


def record(kept: Kept, event_id: str, email: str, actor: str = "") -> Event:
    event = Event(event_id, "/sources/web", "signup", rfc3339(NOW), "0" * 64, {"email": email}, actor=actor or None)
    kept.record(EventEntry(event, (TELL,), NOW))
    return event


def hold(kept: Kept, event: Event) -> Delivery:
    delivery = Delivery(event, "tell", "list")
    kept.settle(delivery, Settlement("held", NOW))
    return delivery


def mail_about(kept: Kept, delivery: Delivery, email: str) -> None:
    with closing(Mailbox(kept.folder)) as mailbox:
        mailbox.keep([MailRequest("m1", NOW, json.dumps({"hookchain_delivery": delivery.id, "to": email}), 1)])


def files_with(folder: Path, text: str) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes())


# What goes


def test_no_file_of_the_state_folder_has_the_body_any_more(kept: Kept, command: Command) -> None:
    ada, bob = record(kept, "e1", ADA), record(kept, "e2", BOB)
    mail_about(kept, hold(kept, ada), ADA)
    kept.dead_letter(ada)
    large = Event("e3", "/sources/web", "signup", rfc3339(NOW), "0" * 64, {"email": ADA, "filler": "x" * 300_000})
    light, _ = asyncio.run(checked_in(large, LocalBlobs(kept.folder / "blobs"), "e3-body"))
    kept.record(EventEntry(light, (TELL,), NOW))
    kept.delivered(bob)
    with JournalReader(kept.folder / "journal.db") as reader:
        reader.index()
    assert len(files_with(kept.folder, ADA)) > 3

    assert "nothing is left of 2 events" in command("forget", "--where", IS_ADA, "--yes")
    assert files_with(kept.folder, ADA) == []
    with closing(sqlite3.connect(kept.folder / "search.db")) as connection:
        assert not connection.execute("SELECT rowid FROM texts WHERE texts MATCH 'ada'").fetchall()
    assert files_with(kept.folder, BOB) == ["journal.db"]


def test_the_recipients_who_got_a_mail_before_the_others_are_erased(kept: Kept, command: Command) -> None:
    delivery = hold(kept, record(kept, "e1", ADA))

    async def remember() -> None:
        blobs = LocalBlobs(kept.folder / "blobs")
        for number, key in enumerate((delivery.id, f"{delivery.id}-r1")):  # the second one of a forced replay
            attempt = Attempt(
                key, attempt_number=1, generation=number, now=NOW, timeout_seconds=15.0, undelivered_since=number
            )
            await Progress(blobs, attempt).remember([RecipientResult(ADA, "accepted", "250 ok")])

    asyncio.run(remember())
    out = command("forget", "--event", "e1", "--yes")
    assert "blobs         2       0" in out
    assert files_with(kept.folder, ADA) == []


@pytest.mark.parametrize(("option", "is_gone"), [("--yes", True), ("--dry-run", False)])
def test_another_run_cleans_the_file_of_the_bus_although_no_event_matches_any_more(
    kept: Kept, command: Command, option: str, is_gone: bool
) -> None:
    with closing(sqlite3.connect(kept.folder / "bus.db")) as bus:
        bus.execute("PRAGMA secure_delete = OFF")  # the default of SQLite, but not of every build
        bus.execute("CREATE TABLE message (content TEXT)")
        bus.execute("INSERT INTO message VALUES (?)", [ADA])
        bus.commit()
        bus.execute("DELETE FROM message")
        bus.commit()
    assert files_with(kept.folder, ADA) == ["bus.db"]
    command("forget", "--where", IS_ADA, option, code=1)
    assert (files_with(kept.folder, ADA) == []) is is_gone


def test_a_digest_that_is_never_sent_says_how_to_deliver_the_other_events_in_it(kept: Kept, command: Command) -> None:
    members = [Delivery(record(kept, each, f"{each}@example.com"), "tell", "list") for each in ("e1", "e2")]
    digest = Delivery(replace(members[0].event, id="9a" * 24), "tell", "list", merged=2)

    async def merge(ledger: LocalLedger) -> None:
        for each in members:
            await ledger.gather(each, message_of(each, NOW), "9a" * 16, "why", NOW, NOW + 60)
        await ledger.merge_all([(row.key, row.fence) for row in await ledger.due(NOW + 60, 9)], NOW, digest.event.id)

    kept.with_ledger(merge)
    kept.settle(digest, Settlement("held", NOW))
    out = command("forget", "--event", "e1", "--yes")
    assert f"The digest {digest.event.id} to 'list' has not been sent and never will be." in out
    assert "  hookchain events replay e2 --only list --force --yes\n" in out
    assert "digests       1       0" in out


def test_what_remains_is_named_and_fails(kept: Kept, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    mail_about(kept, hold(kept, record(kept, "e1", ADA)), ADA)
    monkeypatch.setattr(Mailbox, "erase_delivery", lambda *_: None)
    out = command("forget", "--where", IS_ADA, "--yes", code=1)
    assert "mails         0       1" in out
    assert "Something remains of 1 event: e1" in out


# What a call without --yes does


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_nothing_is_erased_before_it_is_confirmed(kept: Kept, command: Command, arguments: list[str]) -> None:
    hold(kept, record(kept, "e1", ADA))
    out = command("forget", "--where", IS_ADA, *arguments)
    assert "journal       1" in out
    assert "1 delivery not sent yet would never be sent" in out
    assert ("--yes" in out) == (not arguments)


@pytest.mark.parametrize(("text", "is_erased"), [("yes", True), ("y", False)])
def test_a_person_is_asked(
    kept: Kept, command: Command, answer: Callable[[str], None], text: str, is_erased: bool
) -> None:
    record(kept, "e1", ADA)
    answer(text)
    out = command("forget", "--where", IS_ADA)
    assert ("nothing is left of 1 event" in out, "Nothing was erased" in out) == (is_erased, not is_erased)


def test_json_does_not_ask_and_is_a_document_although_no_event_was_found(kept: Kept, command: Command) -> None:
    record(kept, "e1", ADA)
    command("forget", "--where", IS_ADA, "--json", code=2)
    found = command.json("forget", "--where", IS_ADA, "--yes")
    assert (found["events"], found["dry_run"], found["in_flight"]) == (["e1"], False, 1)
    nothing = command.json("forget", "--where", IS_ADA, "--yes", code=1)
    assert (nothing["events"], nothing["dry_run"], nothing["in_flight"]) == ([], False, 0)
    assert "no event matches" in command.error


def test_a_printed_command_has_the_given_state(kept: Kept, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    record(kept, "e1", ADA)
    monkeypatch.delenv("HOOKCHAIN_STATE")
    printed = command("forget", "--event", "e1", "--state", str(kept.folder))
    assert printed.endswith(f"hookchain forget --event e1 --state {kept.folder} --yes\n")


def test_a_note_for_a_restore_is_read_after_one_that_a_full_disk_cut(kept: Kept, command: Command) -> None:
    record(kept, "e1", ADA)
    (kept.folder / FORGOTTEN_FILE).write_text('{"at": 1.0, "ev')
    command("forget", "--event", "e1", "--yes")
    begun, ended = read_forgotten(kept.folder)
    assert begun["events"] == ended["events"] == ["e1"]


def test_an_erasure_that_fails_is_noted_at_its_end_too(
    kept: Kept, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    record(kept, "e1", ADA)
    monkeypatch.setattr(forget_command, "_erase", fail)
    command("forget", "--event", "e1", "--yes", code=1)
    assert [each["events"] for each in read_forgotten(kept.folder)] == [["e1"], ["e1"]]


def test_what_was_being_erased_when_a_backup_began_is_erased_again_by_its_restore(kept: Kept) -> None:
    for at in (5.0, 7.0):
        add_forgotten(kept.folder, {"at": at, "events": ["e1"]})
    found = [[each["at"] for each in forgotten_since(kept.folder, created_at)] for created_at in (4.0, 6.0, 8.0)]
    assert found == [[7.0], [7.0], []]


# Which events


def test_an_actor_is_found_without_reading_bodies(kept: Kept, command: Command) -> None:
    record(kept, "e1", ADA, actor="ada")
    record(kept, "e2", BOB, actor="ada lovelace")
    record(kept, "e3", ADA, actor="Ada")
    record(kept, "e4", BOB)
    assert command.json("forget", "--actor", "aDa", "--yes")["events"] == ["e3", "e1"]
    assert command("forget", "--actor", "ada", "--yes", code=1) == ""


def test_a_person_is_found_under_each_name_that_a_source_may_use(kept: Kept, command: Command) -> None:
    rows: Json = [
        {"name": "ada", "email": ADA, "aliases": ["al"], "github": "countess", "web": "lovelace"},
        {"name": "bob", "github": "lovelace"},
    ]
    write_slices(kept.folder, {"notify": {"people": {"rows": rows, "providers": {"web": "github"}}}})
    for number, actor in enumerate(("Ada", ADA, "AL", "countess", "lovelace", "bob", "ada\ufffd", "")):
        record(kept, f"e{number}", ADA, actor=actor)
    chosen = command.json("forget", "--person", "Ada", "--dry-run")["events"]
    assert chosen == ["e4", "e3", "e2", "e1", "e0"]
    assert "hookchain forget --person ada --yes" in command("forget", "--person", "ada")


@pytest.mark.parametrize(
    ("option", "value", "people", "fault"),
    [
        ("--actor", " ", None, "--actor: must have a character other than white space; got ' '"),
        ("--person", "ada", None, "--person: no destination addresses a person, so that `people` is not compiled"),
        ("--person", "eve", {}, "--person: must be a name in `people`; got 'eve'. Use --actor for other names."),
        ("--person", "eve", {"url": "https://hr.example.com"}, "`people` is at a URL. Use --actor for each name"),
        ("--where", "data.email ==", None, "--where: "),
    ],
)
def test_a_choice_that_cannot_be_made_is_a_usage_error_and_erases_nothing(
    kept: Kept, command: Command, option: str, value: str, people: JsonObject | None, fault: str
) -> None:
    record(kept, "e1", ADA)  # without an actor
    if people is not None:
        write_slices(kept.folder, {"notify": {"people": people}})
    command("forget", option, value, "--yes", code=2)
    assert fault in command.error
    assert command.json("forget", "--where", IS_ADA, "--dry-run")["events"] == ["e1"]


def test_a_dead_letter_is_found_though_its_event_is_not_listed_any_more(kept: Kept, command: Command) -> None:
    letter_id = kept.dead_letter(Event("f" * 32, "/sources/web", "signup", rfc3339(NOW), "0" * 64, {"email": ADA}))
    assert command.json("forget", "--where", IS_ADA, "--yes")["events"] == ["f" * 32]
    with JournalReader(kept.folder / "journal.db") as reader:
        letter = reader.dead_letter(letter_id)
    assert letter
    assert letter.message == b""


def test_an_event_for_which_the_condition_fails_is_named(kept: Kept, command: Command) -> None:
    kept.event("e1", data={"email": 17})
    record(kept, "e2", ADA)
    printed = command("forget", "--where", "starts_with(data.email, 'ada')", "--yes", code=1)
    assert "the condition fails for 1 event, which stay: e1" in command.error
    assert "nothing is left of 1 event" in printed


def test_a_search_that_did_not_see_every_pending_delivery_fails(
    kept: Kept, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(kept, record(kept, "e1", ADA))
    monkeypatch.setattr(chosen_events, "MAX_PENDING", 1)
    printed = command("forget", "--where", IS_ADA, "--yes", code=1)
    assert "nothing is left of 1 event" in printed
    assert "pending deliveries were searched" in command.error


def test_an_event_with_too_many_deliveries_fails(kept: Kept, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.delivered(record(kept, "e1", ADA))
    monkeypatch.setattr(forget, "MAX_DELIVERIES", 1)
    printed = command("forget", "--where", IS_ADA, "--yes", code=1)
    assert "Something remains of 1 event: e1" in printed
    assert "e1: only 100,000 of its deliveries and of its dead letters were searched" in command.error


SECRET_WORD = "the-tenants-own-word"
SLICE: JsonObject = {"destinations": {"customers": {"kind": "subscribers", "settings": {"tenant": "data.account"}}}}


def endpoint_of(number: int) -> str:
    return f"ep_{number:020d}"


async def attempted(tenants: Kept, event: Event, tenant: str, number: int, state: DeliveryState) -> None:
    name = str(EndpointName("customers", tenant, endpoint_of(number)))
    delivery = Delivery(event, "all", name)
    reason = f"answered 500: {SECRET_WORD}"
    attempt = AttemptEntry(delivery.id, event.id, "all", name, 1, NOW, NOW + 1, "failed", reason, SECRET_WORD)
    ledger = LocalLedger(tenants.folder / "ledger.db")
    await settled(ledger, delivery, Settlement(state, NOW, reason, attempt))
    await ledger.disable(name, f"answered 410: {SECRET_WORD}", NOW)
    await ledger.close()
    tenants.record(attempt)


def event_of(number: int, source: str = "/sources/shop") -> Event:
    data: JsonObject = {"word": SECRET_WORD, "number": number}
    return Event(f"{number:032x}", source, "order.paid", rfc3339(NOW), "0" * 64, data)


async def stored(tenants: Kept, tenant: str) -> None:
    """A tenant with an endpoint that it has, one that it had, a session, messages, a test event and an answer."""
    documents = LocalDocuments(tenants.folder / "documents.db")
    await documents.write(TENANTS, tenant, Tenant(id=tenant, name=SECRET_WORD).text())
    here = Endpoint(id=endpoint_of(1), tenant=tenant, url=f"https://{SECRET_WORD}.example/")
    await documents.write(endpoints_of(tenant), here.id, here.text())
    await Directory(documents).delete_endpoint(tenant, endpoint_of(2), NOW)
    await documents.write(sessions_of(tenant), "0" * 32, Session(id="0" * 32, tenant=tenant).text())
    record = Record(fingerprint="f", tenant=tenant, at=NOW, until=NOW + 1)
    await documents.write(IDEMPOTENCY, f"{tenant}-answer", record.text())
    first = ord(tenant[0]) * 10
    blobs = LocalBlobs(tenants.folder / "blobs")
    for number in (first, first + 1):
        source = SUBSCRIBERS_SOURCE if number == first else "/sources/shop"
        event = event_of(number, source)
        content = event_json(event)
        if number == first:
            await blobs.put(f"events/{event.id}.json", b"{}")
            content = event_json(replace(event, data=None, dataref=f"events/{event.id}.json"))
        message = Message(
            id=message_id(NOW, event.id, "all", "customers"),
            event_id=event.id,
            type="order.paid",
            route="all",
            destination="customers",
            received_at=NOW,
            event=content.decode(),
            is_test=number == first,
        )
        await Directory(documents).keep_message(tenant, message, NOW + 1e9)
        await attempted(tenants, event, tenant, 1, "dead_lettered")
        await attempted(tenants, event, tenant, 2, "held")  # an endpoint that was deleted
    documents.close()


@pytest.fixture
def tenants(kept: Kept) -> Kept:
    write_slices(kept.folder, {"notify": SLICE})
    for tenant in ("acme", "beta"):
        asyncio.run(stored(kept, tenant))
    return kept


STORES = ["tenant", "endpoints", "sessions", "messages", "answers", "deliveries", "attempts", "blobs", "mails"]
FOUND = dict(zip(STORES, (1, 2, 1, 2, 1, 4, 4, 1, 0), strict=True))


def test_a_dry_run_counts_what_is_stored_and_erases_nothing(tenants: Kept, command: Command) -> None:
    for _ in range(2):
        found = command.json("forget", "--tenant", "acme", "--dry-run")
        assert (found["stores"], found["unsent"]) == (FOUND, 2)
    assert "hookchain forget --tenant acme --yes" in command("forget", "--tenant", "acme")


def test_a_tenant_is_gone_from_every_file_and_others_are_as_they_were(tenants: Kept, command: Command) -> None:
    done = command.json("forget", "--tenant", "acme", "--yes")
    assert done["stores"] == {store: {"found": count, "left": 0} for store, count in FOUND.items()}
    assert "data.account" in str(done["event_commands"])
    assert command.json("forget", "--tenant", "beta", "--dry-run")["stores"] == FOUND
    command("forget", "--tenant", "beta", "--yes")
    assert files_with(tenants.folder, SECRET_WORD) == []


def test_the_record_of_an_attempt_that_is_written_during_the_erasure_is_erased_by_the_same_run(
    tenants: Kept, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase = TenantForgetter.erase
    late_writes: list[str] = []

    async def erase_before_a_late_write(self: TenantForgetter, traces: TenantTraces, now: float) -> None:
        await erase(self, traces, now)
        if not late_writes:
            _, delivery = min(traces.known.deliveries)
            late_writes.append(delivery)
            with closing(sqlite3.connect(tenants.folder / "journal.db", isolation_level=None)) as journal:
                journal.execute("UPDATE attempts SET answer = 'late' WHERE delivery_id = ?", (delivery,))

    monkeypatch.setattr(TenantForgetter, "erase", erase_before_a_late_write)
    monkeypatch.setattr(forget_command, "LATE_WRITE_SECONDS", 0.0)
    stores = mapping_at(command.json("forget", "--tenant", "acme", "--yes")["stores"])
    assert late_writes
    assert stores["attempts"] == {"found": 4, "left": 0}


def test_a_caught_mail_that_tells_of_an_endpoint_of_the_tenant_is_erased(tenants: Kept, command: Command) -> None:
    """It is a delivery to the operator, of an event that says which endpoint is failing."""
    with closing(Mailbox(tenants.folder)) as mailbox:
        for endpoint in (endpoint_of(1), endpoint_of(2), endpoint_of(3)):
            text = json.dumps({"to": f"ops-{endpoint}@example.com", "endpoint": endpoint})
            mailbox.keep([MailRequest("m", NOW, text, 1)])
    stores = mapping_at(command.json("forget", "--tenant", "acme", "--yes")["stores"])
    assert stores["mails"] == {"found": 2, "left": 0}
    with closing(Mailbox(tenants.folder)) as mailbox:
        assert mailbox.count_of_delivery(endpoint_of(3)) == mailbox.count() == 1


def test_a_tenant_of_which_nothing_is_stored_is_an_error(tenants: Kept, command: Command) -> None:
    command("forget", "--tenant", "nobody", "--dry-run", code=1)
    assert "nothing is stored of a tenant 'nobody'" in command.error


def test_what_can_be_read_tells_what_is_left_and_what_is_out_of_reach(tenants: Kept, command: Command) -> None:
    printed = command("forget", "--tenant", "acme", "--yes")
    assert "Searched again: nothing is left of acme." in printed
    assert "hookchain forget --where 'contains([data.account][], '\"'\"'acme'\"'\"')' --dry-run" in printed
    assert "ask the tenant" in printed
