"""Recovery: what a provider could not deliver is found, delivered once, and reported."""

import asyncio
import base64
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from functions.notify.alerts.publisher import AlertPublisher, AlertSettings
from functions.notify.recovery import github, listing, recovery
from functions.notify.recovery.kind import RecoverySettings, UnknownHook, own_hooks
from functions.notify.recovery.recovery import EVERY_SECONDS, OVERLAP_SECONDS
from functions.receive import entry, messages
from functions.receive.source import RECOVERED_NAME
from shared.dead_letter_message import dead_letter_from
from shared.errors import Rejected, Temporary
from shared.event import Event, from_cloudevent
from shared.fetch import Fetched, Outgoing
from shared.http import Request
from shared.journal import EventEntry
from shared.jsontext import JsonObject, mapping_at, value_at
from shared.ports import DEAD_LETTERS, EVENTS, RECOVERED, BusMessage
from shared.push import Push
from shared.recovered import RecoveredRequest, read_recovered
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.stand_ins.hook_providers import TOKEN
from tests.stand_ins.missed_events import CONFIGURATION, GitHub, GitLab, Square, Stripe, World

Lines = list[JsonObject]


def issue(number: int, **more: object) -> JsonObject:
    return {"action": "opened", "issue": {"number": number}, "repository": {"full_name": "acme/shop"}, **more}  # type: ignore[dict-item]


async def started(configuration: str = CONFIGURATION, **more: object) -> World:
    world = World(configuration, **more)  # type: ignore[arg-type]
    await world.recovery.run()  # it notes that it watches from now on
    world.clock.advance(60)
    return world


def lines(capsys: pytest.CaptureFixture[str], message: str) -> Lines:
    written: Lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in written if line["message"] == message]


async def test_what_was_missed_before_the_first_sweep_is_left_to_the_command() -> None:
    world = World()
    await world.github.send(issue(1), is_lost=True)
    world.clock.advance(OVERLAP_SECONDS + 60)
    await world.recover()
    assert world.delivered == []


AIRTABLE = """
sources: {base: {provider: airtable, secret: base-secret, recover: {secret: token, at: appAbCdEfGhIjKlMn}}}
routes: [{name: changes, from: base, types: [payload], to: crm}]
destinations: {crm: {webhook: {url: https://crm.example.com/in, secret: out}}}
"""


async def test_each_change_at_airtable_is_an_event_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started(AIRTABLE)
    ids = []
    for number in range(130):  # three pages
        ids.append(world.airtable.change())
        assert await world.airtable.notify() == 204
        if number == 60:
            await world.recover(EVERY_SECONDS)
    world.airtable.deleted_count = 10
    for _ in range(3):
        await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == sorted(ids)
    event = world.crm.delivered[0].event
    assert (event.type, event.actor, event.recovered) == ("payload", "usr00000000000000", True)
    assert value_at(event.data, "payload", "changedTablesById") == {"tbl1": {"destroyedRecordIds": ["rec1"]}}
    assert world.letters == []
    read = lines(capsys, "events read from the provider")
    assert sum(int(str(line["count"])) for line in read) == len(ids)
    assert all("recovered" not in line for line in read)


async def test_a_page_that_airtable_cuts_is_read_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started(AIRTABLE)

    def cut(_: Outgoing, answer: Fetched) -> Fetched:
        page: JsonObject = json.loads(answer.body)
        payloads = page.get("payloads")
        if isinstance(payloads, list) and len(payloads) > 20:
            cursor = int(str(page["cursor"])) - len(payloads) + 20
            page = {"payloads": payloads[:20], "cursor": cursor, "mightHaveMore": True}
        return answer._replace(body=json.dumps(page).encode())

    world.alter = cut
    ids = [world.airtable.change() for _ in range(130)]
    await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == sorted(ids)
    ids += [world.airtable.change() for _ in range(60)]
    for _ in range(2):
        await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == sorted(ids)
    assert lines(capsys, "recovery failed") == []


async def test_changes_at_airtable_from_before_the_window_are_not_listed() -> None:
    world = World(AIRTABLE)
    for _ in range(200):
        world.airtable.change()
    world.clock.advance(OVERLAP_SECONDS + 60)
    await world.recovery.run()
    newest = world.airtable.change()
    await world.run(EVERY_SECONDS)
    assert world.delivered == [newest]
    assert len(world.airtable.calls) == 2  # one page of payloads


GITLAB = """
sources: {lab: {provider: gitlab, secret: signing, recover: {secret: token, at: projects/acme/shop}}}
routes: [{name: pushes, from: lab, types: [Push Hook, Issue Hook.open], to: crm}]
destinations: {crm: {webhook: {url: https://crm.example.com/in, secret: out}}}
"""


@pytest.mark.parametrize("order", ["original first", "recovery first", "at once", "recovery alone"])
@pytest.mark.parametrize(
    ("name", "configuration", "event_id"),
    [
        ("github", CONFIGURATION, "guid-0"),
        ("stripe", CONFIGURATION, "evt_0"),
        ("square", CONFIGURATION, "square-0"),
        ("gitlab", GITLAB, "key-0"),
    ],
)
async def test_an_event_is_delivered_once_in_any_order_although_its_bodies_may_differ(
    name: str, configuration: str, event_id: str, order: str
) -> None:
    world = await started(configuration)
    provider: GitHub | Stripe | Square | GitLab = getattr(world, name)
    lost = await provider.lose()
    if order == "original first":
        await provider.deliver(lost)
    if order == "at once":
        await asyncio.gather(world.recover(EVERY_SECONDS), provider.deliver(lost))
    await world.recover(EVERY_SECONDS)
    if order == "recovery first":
        await provider.deliver(lost)
    await world.pump()
    assert (world.delivered, world.letters) == ([event_id], [])
    events = [from_cloudevent(json.loads(each.data)) for each in world.bus.on(EVENTS)]
    assert len(events) == (1 if order == "recovery alone" else 2)
    assert len({each.payloadhash for each in events}) == (1 if name == "github" else len(events))


async def test_events_of_gitlab_are_found_on_all_pages_with_the_types_and_the_statuses_that_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = await started(GITLAB)
    ids = []
    for number in range(130):
        is_wanted = number % 2 == 0
        lost = "502" if number % 4 else "internal error"
        sent = await world.gitlab.send(lost=lost, name="Push Hook" if is_wanted else "Job Hook")
        ids += [str(value_at(sent, "request_headers", "Idempotency-Key"))] if is_wanted else []
    await world.gitlab.send(lost="422")
    failed_again = await world.gitlab.send(lost="503", name="Issue Hook", object_attributes={"action": "open"})
    await world.gitlab.send(lost="503", name="Issue Hook", object_attributes={"action": "open"}, again=failed_again)
    await world.gitlab.send(lost="503", name="Issue Hook", object_attributes={"action": "close"})
    await world.gitlab.send()
    for _ in range(2):
        await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == sorted([*ids, "key-131", "key-134"])
    [line] = lines(capsys, "recovered")
    assert (line["recovered"], line["detail"]) == (66, "1 that receive had rejected were not recovered")
    assert value_at(world.crm.delivered[-1].event.data, "user_email") == "[REDACTED]"


async def test_events_of_gitlab_without_a_time_or_their_data_are_only_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = await started(GITLAB)
    of_an_old_version = await world.gitlab.send(lost="502")
    del of_an_old_version["created_at"]
    too_large = await world.gitlab.send(lost="502")
    too_large["request_data"] = {"oversize": True}
    await world.recover(EVERY_SECONDS)
    assert world.delivered == []
    assert "events in an unknown form: 2. Deliver them again" in str(lines(capsys, "recovery failed")[0]["detail"])


class FailingBus(FakeBus):
    """A bus that fails before or after it has taken messages, as a process does that is killed."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        fate = self.chance.random() if topic == RECOVERED else 1.0
        if fate > 0.05:
            await super().publish(topic, messages)
        if fate < 0.1:
            raise Temporary("bus_unavailable", "killed")


async def test_of_many_events_a_half_is_lost_and_each_is_delivered_once_under_kills() -> None:
    chance = random.Random(1)
    world = await started(repeats=chance, bus=FailingBus(chance))
    for number in range(150):
        await world.github.send(issue(number), is_lost=chance.random() < 0.5)
        await world.stripe.send(is_lost=chance.random() < 0.5)
        await world.square.send(is_lost=chance.random() < 0.5)
        world.clock.advance(1)
    for _ in range(80):
        world.recovery = world.new_recovery()
        world.notifier.records.fault = "killed" if chance.random() < 0.1 else None
        await world.recovery.run()
        world.clock.advance(EVERY_SECONDS)
    await world.pump()
    senders = ("guid-", "evt_", "square-")
    assert sorted(world.delivered) == sorted(f"{sender}{number}" for sender in senders for number in range(150))
    assert world.letters == []


async def test_what_receive_had_rejected_is_counted_once_and_not_recovered(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started()
    await world.github.send(issue(1), is_lost=True, status=422)
    await world.github.send(issue(2), is_lost=True, status=429)  # by a platform without an instance
    await world.github.send(issue(3), is_lost=True, status=302)  # by somebody else: a redirect took nothing
    await world.recover(EVERY_SECONDS)
    await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == ["guid-1", "guid-2"]
    [line] = lines(capsys, "recovered")
    assert (line["source"], line["recovered"]) == ("github", 2)
    assert line["detail"] == "1 that receive had rejected were not recovered"


async def test_where_the_token_may_write_the_provider_delivers_again(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started(CONFIGURATION.replace("acme/shop]", "acme/shop], redeliver: true"))
    await world.github.send(issue(1), is_lost=True)
    await world.recover(EVERY_SECONDS)
    await world.recover(EVERY_SECONDS)
    assert (world.delivered, world.bus.on(RECOVERED)) == (["guid-0"], [])
    assert [each["redelivery"] for each in world.github.log] == [False, True]
    assert [line["recovered"] for line in lines(capsys, "recovered")] == [1]


@pytest.mark.parametrize(("status", "delivered"), [(502, ["guid-0"]), (422, [])])
async def test_a_redelivery_that_failed_is_asked_for_again_unless_it_was_rejected_and_counts_once(
    status: int, delivered: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    world = await started(CONFIGURATION.replace("acme/shop]", "acme/shop], redeliver: true"))
    await world.github.send(issue(1), is_lost=True)
    send = world.github.send
    fates = [True, False]

    async def redeliver(payload: JsonObject, **more: object) -> JsonObject:
        return await send(payload, is_lost=fates.pop(0), status=status, **more)  # type: ignore[arg-type]

    world.github.send = redeliver  # type: ignore[method-assign]
    for _ in range(3):
        await world.recover(EVERY_SECONDS)
    assert world.delivered == delivered
    assert sum(int(str(line["recovered"])) for line in lines(capsys, "recovered")) == 1


async def test_only_the_types_that_routes_take_are_recovered() -> None:
    world = await started(CONFIGURATION.replace("from: all", "from: all, types: [issues.opened, push, invoice.*]"))
    await world.github.send(issue(1), is_lost=True)
    await world.github.send({"action": "closed"}, is_lost=True)
    await world.github.send({"ref": "main"}, is_lost=True, event="push")
    await world.stripe.send(is_lost=True)
    await world.stripe.send(is_lost=True, event="charge.failed")
    await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == ["evt_0", "guid-0", "guid-2"]


@pytest.mark.parametrize("own", ["type: data.action", "action: data.state"])
async def test_routes_of_a_source_with_a_type_or_action_of_its_own_take_what_they_take_of_requests(own: str) -> None:
    text = CONFIGURATION.replace("provider: github,", f"provider: github, {own},")
    world = await started(text.replace("from: all", "from: all, types: [opened, issues.new]"))
    await world.github.send(issue(1, state="new"), is_lost=True)
    await world.recover(EVERY_SECONDS)
    assert world.delivered == ["guid-0"]


async def test_a_redelivery_that_succeeded_settles_its_first_attempt_and_one_that_failed_does_not_matter() -> None:
    world = await started()
    lost = await world.github.send(issue(1), is_lost=True)
    await world.github.send(issue(1), again=lost)
    done = await world.github.send(issue(2))
    await world.github.send(issue(2), again=done, is_lost=True)
    await world.recover(EVERY_SECONDS)
    assert world.bus.on(RECOVERED) == []


async def test_an_event_that_arrived_is_not_counted_if_the_list_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started()
    event = await world.stripe.send()
    world.stripe.failed.add(str(event["id"]))
    await world.square.send()
    await world.pump()
    await world.recover(EVERY_SECONDS)
    assert (world.bus.on(RECOVERED), lines(capsys, "recovered")) == ([], [])


async def test_a_provider_is_not_asked_before_the_time_that_it_names() -> None:
    world = await started()
    for number in range(3):
        await world.github.send(issue(number), is_lost=True)
    world.github.limits = len(world.github.calls) + 3
    world.clock.advance(EVERY_SECONDS)
    await world.recovery.run()
    asked = len(world.github.calls)
    world.clock.advance(880)
    await world.new_recovery().run()
    assert len(world.github.calls) == asked
    world.github.limits = None
    await world.recover(30)
    assert sorted(world.delivered) == ["guid-0", "guid-1", "guid-2"]


async def test_a_token_without_the_right_is_named_and_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started()
    world.alter = lambda *_: Fetched(401, (), json.dumps({"message": TOKEN}).encode())
    await world.run(EVERY_SECONDS)
    written = capsys.readouterr().out
    assert "The token token needs the permission Webhooks: read" in written
    assert TOKEN not in written


async def test_a_long_list_is_read_in_several_sweeps_over_days_to_its_oldest_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "MAX_REQUESTS", 4)
    monkeypatch.setattr(recovery, "MAX_HANDLED", 10)
    world = await started()
    for number in range(80):
        await world.github.send(issue(number), is_lost=True)
    await world.run(3_600)
    assert 0 < len(world.bus.on(RECOVERED)) <= 4
    for _ in range(29):
        await world.run(3_600)
    assert len(set(world.delivered)) == len(world.delivered) == 80


async def test_a_payload_that_cannot_be_written_as_it_was_signed_is_a_dead_letter_that_says_what_to_do() -> None:
    world = await started()
    await world.github.send(issue(1), is_lost=True, text='{"action": "opened", "issue": {"number": 1}}')
    await world.recover(EVERY_SECONDS)
    assert world.delivered == []
    [reason] = world.letters
    assert "Deliver it again in the provider's own settings" in reason


@pytest.mark.parametrize(
    "text",
    [
        '{"action":"opened","n":1.0,"big":12345678901234567890123,"e":1E5}',
        '{"action":"opened","title":"Grüße 😀"}',
        '{"action":"opened","title":"Gr\\u00fc\\u00dfe \\ud83d\\ude00"}',
        '{"action":"opened","body":"\\u001B[34mbar: ♥\\n\\\\u001b"}',
        '{"action":"opened","title":"a \\u003cb\\u003e \\u0026 c"}',
        '{"action":"opened","title":"<a href=\\"https:\\/\\/example.com\\">"}',
    ],
)
async def test_the_body_is_written_as_its_sender_wrote_it(text: str) -> None:
    world = await started()
    await world.github.send(json.loads(text), is_lost=True, text=text)
    await world.recover(EVERY_SECONDS)
    assert (world.delivered, world.letters) == (["guid-0"], [])


async def test_an_event_that_is_too_large_for_the_bus_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started()
    noise = random.Random(1).randbytes(1_200_000).hex()
    await world.github.send(issue(1, body=noise), is_lost=True)
    await world.recover(EVERY_SECONDS)
    [line] = lines(capsys, "recovery failed")
    assert "guid-0 is too large for the bus" in str(line["detail"])


async def test_a_recovered_event_is_marked_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started(alerts=None)
    alerts = AlertPublisher(AlertSettings(("crm",), {}, {"crm": frozenset()}), world.bus)
    world.alerts = alerts
    world.recovery = world.new_recovery()
    await world.github.send(issue(1), is_lost=True)
    await world.recover(EVERY_SECONDS)
    [event, alert] = sorted((each.event for each in world.crm.delivered), key=lambda each: each.type, reverse=True)
    assert (event.type, event.recovered) == ("issues", True)
    assert event.with_data({}).recovered
    entries = [each for each in world.journal.entries if isinstance(each, EventEntry)]
    assert [each.event.recovered for each in entries] == [True]
    assert (alert.type, alert.recovered) == ("hookchain.alert.events_recovered", False)
    reason = "1 event was recovered that GitHub could not deliver"
    assert {"reason": reason, "source": "github", "recovered": 1}.items() <= mapping_at(alert.data).items()
    [line] = lines(capsys, "recovered")
    assert (line["source"], line["recovered"]) == ("github", 1)


HOOKS = ["https://hooks.example.com/github", "https://ci.example.com/"]
OTHERS = [f"https://ci.example.com/{number}" for number in range(100)]


@pytest.mark.parametrize(
    ("public_url", "urls", "own"),
    [
        ("", HOOKS, HOOKS[:1]),
        (HOOKS[0], [*HOOKS, "https://staging.example.com/github"], HOOKS[:1]),
        ("https://Hooks.example.com:443/github/", HOOKS, HOOKS[:1]),
        ("", [HOOKS[0], *HOOKS], [HOOKS[0], HOOKS[0]]),
    ],
    ids=["by the source's name", "by the public URL", "written in another way", "while one replaces the other"],
)
def test_a_hook_is_the_sources_by_its_url(public_url: str, urls: list[str], own: list[str]) -> None:
    settings = RecoverySettings("github", github.KIND, "token", public_url=public_url)
    assert own_hooks(settings, "acme", [(url, url) for url in urls]) == own


@pytest.mark.parametrize(
    ("public_url", "urls", "rule"),
    [
        ("https://a.example/github", HOOKS, "no webhook of acme has the URL https://a.example/github. Correct"),
        ("", [HOOKS[1]], "no webhook of acme has a URL that ends with /github. Correct"),
        (
            "",
            [HOOKS[0], "https://staging.example.com/github"],
            "2 webhooks of acme have URLs that end with /github. Set `public_url`",
        ),
        ("", OTHERS, "the first 100 webhooks of acme are others. Delete those that nobody uses"),
    ],
)
def test_where_no_hook_is_surely_the_sources_the_message_says_what_to_do(
    public_url: str, urls: list[str], rule: str
) -> None:
    settings = RecoverySettings("github", github.KIND, "token", public_url=public_url)
    with pytest.raises(UnknownHook, match=f"^{re.escape(rule)}"):
        own_hooks(settings, "acme", [(url, url) for url in urls])


ANSWERED = "answered {} to /repos/acme/gone/hooks"


@pytest.mark.parametrize(
    ("status", "body", "place"),
    [
        (403, b"{}", f"{ANSWERED}. The token token needs"),
        (404, b"{}", f"{ANSWERED}. The token token needs"),
        (200, b"[]", "acme/gone has a URL"),
        (200, b"<html>", "answered hooks in an unknown form"),
        (301, b"{}", f"{ANSWERED}. It was moved or renamed: correct `repositories`"),
        (410, b"{}", ANSWERED),
        (451, b"{}", ANSWERED),
        (500, b"", ANSWERED),
    ],
)
async def test_a_place_that_cannot_be_listed_stops_no_other_and_is_listed_later(
    status: int, body: bytes, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await started(CONFIGURATION.replace("[acme/shop]", "[acme/gone, acme/shop]"))
    answer = world.github.fetch
    is_gone = True

    async def fetch(request: Outgoing) -> Fetched:
        if is_gone and "/gone/" in request.url:
            return Fetched(status, (), body)
        return await answer(request._replace(url=request.url.replace("/gone/", "/shop/")))

    world.github.fetch = fetch  # type: ignore[method-assign]
    await world.github.send(issue(1), is_lost=True)
    await world.recover(EVERY_SECONDS)
    assert world.delivered == ["guid-0"]
    assert all(place.format(status) in str(line["detail"]) for line in lines(capsys, "recovery failed"))
    record = json.loads(str(await world.notifier.records.read("recover:github")))
    assert record["complete_at"] == FakeClock().now()
    is_gone = False
    await world.recover(EVERY_SECONDS)
    record = json.loads(str(await world.notifier.records.read("recover:github")))
    assert record["complete_at"] == record["run_at"]
    assert world.delivered == ["guid-0"]


@pytest.mark.parametrize("fault", [Fetched(500, (), b""), Temporary("host_unreachable", "no answer within 6 s")])
async def test_an_event_that_cannot_be_read_stops_no_other_and_is_recovered_later(fault: Fetched | Temporary) -> None:
    world = await started()
    for number in range(3):
        await world.github.send(issue(number), is_lost=True)
    is_broken = True

    def alter(request: Outgoing, answer: Fetched) -> Fetched:
        if not is_broken or not request.url.endswith("/deliveries/1001"):
            return answer
        if isinstance(fault, Temporary):
            raise fault
        return fault

    world.alter = alter
    await world.run(EVERY_SECONDS)
    assert sorted(world.delivered) == ["guid-0", "guid-2"]
    await world.github.send(issue(3), is_lost=True)
    for _ in range(2):
        world.clock.advance(EVERY_SECONDS)
        await world.new_recovery().run()
    await world.pump()
    assert sorted(world.delivered) == ["guid-0", "guid-2", "guid-3"]
    is_broken = False
    await world.recover(OVERLAP_SECONDS * 20)
    assert sorted(world.delivered) == ["guid-0", "guid-1", "guid-2", "guid-3"]


async def test_of_many_requests_that_fail_only_a_few_are_sent_in_a_run() -> None:
    world = await started()
    for number in range(20):
        await world.github.send(issue(number), is_lost=True)
    world.alter = lambda request, answer: Fetched(502, (), b"") if "/deliveries/" in request.url else answer
    await world.run(EVERY_SECONDS)
    assert len(json.loads(str(await world.notifier.records.read("recover:github")))["failed"]) == listing.MAX_FAULTS
    world.alter = lambda _, answer: answer
    await world.recover(EVERY_SECONDS)
    assert len(world.delivered) == len(set(world.delivered)) == 20


@pytest.mark.parametrize("is_same_process", [False, True])
async def test_events_are_recovered_after_the_clock_was_set_back(is_same_process: bool) -> None:
    world = await started()
    world.clock.advance(2 * 86_400)
    for _ in range(2):
        await world.recovery.run()
        world.clock.advance(EVERY_SECONDS)
    world.clock.advance(-2 * 86_400)
    if not is_same_process:
        world.recovery = world.new_recovery()
    await world.github.send(issue(1), is_lost=True)
    await world.square.send(is_lost=True)
    world.clock.advance(EVERY_SECONDS)
    await world.recover(EVERY_SECONDS)
    assert sorted(world.delivered) == ["guid-0", "square-0"]


async def test_a_provider_that_repeats_a_page_is_not_asked_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    world = await started()
    asked: list[str] = []

    def alter(request: Outgoing, answer: Fetched) -> Fetched:
        if request.url.startswith(world.stripe.host):
            asked.append(request.url)
            event = {"id": "evt_1", "type": "invoice.paid", "created": int(world.clock.now())}
            return Fetched(200, (), json.dumps({"data": [event], "has_more": True}).encode())
        return answer

    world.alter = alter
    await world.run(EVERY_SECONDS)
    assert len(asked) == 2
    [line] = lines(capsys, "recovery failed")
    assert (line["severity"], line["detail"]) == ("WARNING", "Stripe lists the same page again")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("stripe", {"created": 10**400}),
        ("stripe", {"created": 10**13}),
        ("stripe", {"created": None}),
        ("stripe", {"id": None}),
        ("stripe", {"type": 7}),
        ("stripe", None),
        ("square", {"created_at": "yesterday"}),
        ("square", {"event_id": None}),
        ("square", None),
        ("github", {"status_code": None}),
        ("github", {"delivered_at": "0000-00-00"}),
        ("github", None),
    ],
)
async def test_an_event_in_an_unknown_form_is_a_line_and_the_others_of_its_list_are_recovered(
    name: str, change: JsonObject | None, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await started()
    for number in range(3):
        await world.github.send(issue(number), is_lost=True)
        await world.stripe.send(is_lost=True)
        await world.square.send(is_lost=True)
    host = {"github": world.github.host, "stripe": world.stripe.host, "square": world.square.host}[name]

    def spoil(request: Outgoing, answer: Fetched) -> Fetched:
        document = json.loads(answer.body)
        events = document if isinstance(document, list) else document.get("events", document.get("data", []))
        if request.url.startswith(host) and "/hooks?" not in request.url and len(events) == 3:
            events[1] = None if change is None else events[1] | change
        return answer._replace(body=json.dumps(document).encode())

    world.alter = spoil
    await world.run(EVERY_SECONDS)
    failed = [(line["severity"], line["source"], line["detail"]) for line in lines(capsys, "recovery failed")]
    source = {"github": "github", "stripe": "pay", "square": "shop"}[name]
    detail = "events in an unknown form: 1. Deliver them again in the provider's settings"
    assert failed == [("ERROR", source, detail)]
    assert len(set(world.delivered)) == len(world.delivered) == 8


async def test_a_slow_provider_does_not_keep_the_others_from_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await started()
    await world.square.send(is_lost=True)
    for number in range(50):
        await world.github.send(issue(number), is_lost=True)
    monkeypatch.setattr(recovery, "RUN_SECONDS", listing.ANSWER_SECONDS + 0.2)
    answer = world.github.fetch

    async def fetch(request: Outgoing) -> Fetched:
        await asyncio.sleep(0.03)
        return await answer(request)

    world.github.fetch = fetch  # type: ignore[method-assign]
    world.clock.advance(EVERY_SECONDS)
    for _ in range(2):
        await world.recovery.run()
        world.clock.advance(61)
    await world.pump()
    assert "square-0" in world.delivered


async def test_a_recovered_event_does_not_say_that_its_source_sends_again() -> None:
    world = await started()
    noted: list[str] = []

    class Noting:
        async def note(self, event: Event) -> None:
            noted.append(event.type)

    world.transformer = replace(world.transformer, seen=Noting())  # type: ignore[arg-type]
    await world.github.send(issue(1))
    await world.stripe.send(is_lost=True)
    await world.recover(EVERY_SECONDS)
    assert (len(world.delivered), noted) == (2, ["issues"])


async def test_a_forged_message_of_the_topic_makes_no_event() -> None:
    world = await started()
    for source in ("github", "crm"):
        message = RecoveredRequest(source, (("content-type", "application/json"),), "{}").message()
        assert message
        await world.bus.publish(RECOVERED, [message])
    listed = RecoveredRequest("pay", (), '{"type": "no id"}').message()
    assert listed
    await world.bus.publish(RECOVERED, [listed, BusMessage(b"?")])
    await world.pump()
    assert (world.delivered, len(world.letters)) == ([], 4)


async def test_a_dead_letter_names_the_source_and_has_the_request_in_readable_form() -> None:
    rule = "acme/shop]}}\n  pay: {schema: {type: object, required: [more]}, "
    world = await started(CONFIGURATION.replace("acme/shop]}}\n  pay: {", rule))
    await world.stripe.send(is_lost=True)
    await world.recover(EVERY_SECONDS)
    assert world.letters == ["source 'pay' cannot take the message: schema_mismatch: data lacks 'more'"]
    [push] = world.bus.on(DEAD_LETTERS)
    kept = json.loads(dead_letter_from(json.loads(push.data)).message)
    assert (kept["source"], json.loads(kept["body"])["id"]) == ("pay", "evt_0")


async def verified(_: Request) -> None:
    """Stand for the verification of a push's token."""


async def test_receive_takes_the_topic_by_a_push_and_by_a_queue_and_from_nobody_else() -> None:
    world = await started()
    await world.github.send(issue(1), is_lost=True)
    world.clock.advance(EVERY_SECONDS)
    await world.recovery.run()
    [message] = world.bus.on(RECOVERED)
    pushed = {"message": {"data": base64.b64encode(message.data).decode(), "messageId": "1"}}
    body = json.dumps(pushed).encode()
    head = Request("POST", f"/{RECOVERED_NAME}")
    assert (await entry.answer(world.receiver, head, reading(body))).status == 401
    world.receiver.take_push = messages.push_taker(verified)
    assert (await entry.answer(world.receiver, head, reading(body))).status == 200
    arn = f"arn:aws:sqs:eu-central-1:123456789012:hookchain-{RECOVERED}"
    assert await entry.take_message(world.receiver, arn, "hookchain-", Push(message.data))
    first, second = (from_cloudevent(json.loads(each.data)) for each in world.bus.on(EVENTS))
    assert first.id == second.id
    assert first.recovered


@given(st.binary())
def test_what_is_no_recovered_request_is_rejected_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Rejected):
        read_recovered(data)


async def test_a_journal_that_answers_slowly_cuts_no_run_off() -> None:
    world = await started()
    for _ in range(150):
        await world.square.send(is_lost=True)

    async def has_event(_: str) -> bool:
        await asyncio.sleep(0.05)
        return False

    world.journal.has_event = has_event  # type: ignore[method-assign, assignment]
    world.recovery = world.new_recovery()
    world.clock.advance(EVERY_SECONDS)
    async with asyncio.timeout(5.0):  # one after the other, the look-ups take 7.5 s
        await world.recovery.run()
    assert len(world.bus.on(RECOVERED)) == 150
