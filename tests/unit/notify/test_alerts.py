"""Alerts about dead letters, destinations and quiet sources: bundled, told once, and never about themselves."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from deploy.history.resumption import resume_destination
from functions.notify.alerts.monitor import Monitor
from functions.notify.alerts.publisher import AlertPublisher, AlertSettings, Silence, read_alert_settings
from functions.notify.alerts.quiet_sources import decide
from functions.notify.chat_messages import MessageSettings
from functions.notify.destination import Destination
from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.entry import Service, take_dead_letter
from functions.transform.seen import Seen
from shared.delivery import Delivered, Delivery, Disabled, Failed, RetryLater
from shared.errors import Temporary
from shared.event import MAX_HOPS, Event
from shared.journal import DeadLetter
from shared.jsontext import Json, JsonObject, objects_at, value_at
from shared.ledger import PAUSED_BY_OPERATOR
from shared.outgoing.circuit import BreakerSettings
from shared.ports import DEAD_LETTERS, DELIVERIES, BusMessage
from shared.push import Push
from shared.store_ports import DecideRecord
from shared.times import rfc3339
from tests.fakes.destinations import Answer, FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import EVENT, FakeNotifier
from tests.fakes.pushes import from_anybody

ALERTS = GatherSettings(digest=Digest(300.0, None), is_alerts=True)
START = 1_790_000_100.0


@dataclass
class Alerting:
    """`to` get alerts; `told` are those whose deliveries of alerts gather; all `options` are by destination."""

    made: Mapping[str, FakeDestination]
    to: Sequence[str] = ("ops",)
    options: Mapping[str, Options] = field(default_factory=dict)
    silence: JsonObject = field(default_factory=dict)
    gather: GatherSettings = ALERTS
    notifier: FakeNotifier = field(init=False)
    settings: AlertSettings | None = field(init=False)

    def __post_init__(self) -> None:
        made: dict[str, Destination] = dict(self.made)
        destinations = FakeDestinations(made, options=self.options)
        destinations.configured = {
            name: replace(each, alert_options=replace(each, gather=self.gather))
            for name, each in destinations.configured.items()
        }
        self.notifier = FakeNotifier(self.made["crm"], destinations)
        self.notifier.clock.time = START
        to: list[Json] = list(self.to)
        alerts: JsonObject = {"to": to, "silence": self.silence}
        self.settings = read_alert_settings({"alerts": alerts}, destinations.configured)
        self.start()
        self._read = 0

    def start(self) -> None:
        """As a new process."""
        notifier, configured = self.notifier, list(self.made)
        notifier.start()
        assert self.settings is not None
        self.alerts = AlertPublisher(self.settings, notifier.bus)
        self.monitor = Monitor(self.alerts, configured, notifier.ledger, lambda: notifier.records, notifier.clock)
        sweeper = notifier.new_sweeper(self.monitor)
        self.service = Service(notifier.parts, sweeper, notifier.journal, from_anybody, self.alerts)

    async def fail(self, number: int, destination: str = "crm", **fields: Json) -> None:
        """Bring an event that the destination is to refuse."""
        event = replace(EVENT, id=f"{number:032x}", data=fields or {"number": number})
        await self.notifier.take(Delivery(event, "tell the list", destination))

    async def bring(self) -> int:
        """Bring what the bus has, until it has no more; return how many messages that were."""
        first = self._read
        while self._read < len(self.notifier.bus.sent):
            topic, message = self.notifier.bus.sent[self._read]
            self._read += 1
            if topic == DELIVERIES:
                await self.notifier.take_message(message)
            elif topic == DEAD_LETTERS:
                assert await self.keep(message)
        return self._read - first

    async def keep(self, message: BusMessage) -> bool:
        return await take_dead_letter(lambda: self.service, Push(message.data, dict(message.attributes), "m"), 0.0)

    async def pass_time(self, seconds: float, step: float = 60.0) -> None:
        """Let that time pass, with a sweep each minute."""
        end = self.notifier.clock.now() + seconds
        await self.bring()
        while self.notifier.clock.now() < end:
            self.notifier.clock.advance(step)
            await self.service.sweeper.sweep()
            await self.bring()

    def told(self, name: str = "ops") -> list[Delivery]:
        """Return the messages of alerts that a destination took."""
        return [each for each in self.made[name].delivered if each.event.source == "/alerts/hookchain"]


def kinds_of(delivery: Delivery) -> list[tuple[Json, Json, Json]]:
    return [(each["type"], each["source"], each["count"]) for each in objects_at(delivery.event.data, "kinds")]


def lines_of(delivery: Delivery) -> list[str]:
    return [str(each["line"]) for each in objects_at(delivery.event.data, "events")]


def all_lines(alerting: Alerting) -> list[str]:
    return [line for each in alerting.told() for line in lines_of(each)]


REFUSED = Failed("request_rejected", "the receiver answered 422")


def alerting(*answers: Answer, gather: GatherSettings = ALERTS, **options: Options) -> Alerting:
    return Alerting({"crm": FakeDestination(*answers), "ops": FakeDestination()}, options=options, gather=gather)


# Dead letters


async def test_dead_letters_of_five_minutes_are_one_message() -> None:
    made = alerting(*[REFUSED] * 3)
    for number in range(3):
        await made.fail(number, card="4111 1111 1111 1111")
    await made.pass_time(240)
    assert made.told() == []
    await made.pass_time(180)
    [told] = made.told()
    assert (told.merged, told.route, kinds_of(told)) == (3, "alerts", [("hookchain.alert.dead_letter", "crm", 3)])
    assert lines_of(told)[0] == (
        "request_rejected: the receiver answered 422 · route tell the list · hookchain events show 0000000000000000"
    )
    assert "4111" not in str(told)
    await made.pass_time(86_400, step=3_600)
    assert len(made.told()) == 1


async def test_one_alert_is_a_digest_too_because_the_destinations_templates_are_about_other_events() -> None:
    made = alerting(REFUSED)
    await made.fail(7)
    await made.pass_time(420)
    [told] = made.told()
    text = MessageSettings(secret="s", text="{{ data.pull_request.title }}").message(told).text
    assert text.splitlines()[0] == "Hookchain: 1 dead letter: crm"


def letter(number: int, at: float, destination: str = "crm") -> DeadLetter:
    event_id = f"{number:032x}"
    return DeadLetter(
        event_id * 2, "retries_exhausted", "503", at, b"{}", DELIVERIES, event_id, "tell the list", destination
    )


async def test_a_dead_letter_that_is_made_twice_is_told_of_once_and_one_that_fails_again_later_once_more() -> None:
    made = alerting()
    for at in (START, START, START + 60, START + 86_400):
        await made.alerts.publish_for(letter(1, at))
    await made.pass_time(420)
    assert [each.merged for each in made.told()] == [2]
    assert made.notifier.dead_letters == []


async def test_a_dead_letter_is_kept_whatever_becomes_of_its_alert_which_follows_once_the_bus_is_back() -> None:
    made = alerting(REFUSED)
    await made.fail(1)
    [sent] = made.notifier.dead_letters
    made.notifier.bus.fault = "down"
    assert not await made.keep(sent)
    assert len(made.notifier.journal.dead_letters) == 1
    made.notifier.bus.fault = None
    made.start()
    await made.pass_time(420)
    assert [each.merged for each in made.told()] == [1]


async def test_a_kind_without_digests_gets_the_alerts_data_together() -> None:
    made = alerting(*[REFUSED] * 2, gather=ALERTS._replace(keeps_all=True))
    for number in range(2):
        await made.fail(number)
    await made.pass_time(420)
    [told] = made.told()
    assert (told.event.type, value_at(told.event.data, "count")) == ("hookchain.coalesced", 2)
    first, _ = objects_at(told.event.data, "events")
    assert (first["kind"], first["code"]) == ("dead_letter", "request_rejected")


# No loops


async def test_what_becomes_of_an_alert_makes_no_alert_also_at_the_destination_that_otherwise_names() -> None:
    for failure in (REFUSED, Disabled("gone")):
        ops, backup = FakeDestination(*[failure] * 50), FakeDestination(*[failure] * 50)
        made = Alerting(
            {"crm": FakeDestination(REFUSED), "ops": ops, "backup": backup},
            options={"ops": Options(otherwise="backup")},
        )
        await made.fail(1)
        await made.fail(2, "ops")
        await made.fail(3, "backup")
        await made.pass_time(3_600, step=300)
        alerts = [row for row in await made.notifier.ledger.rows(100) if row.route == "alerts"]
        assert {row.destination for row in alerts if row.state == "merged"} == {"ops"}
        assert len([row for row in alerts if row.state == "merged"]) == 1


async def test_of_several_destinations_the_later_ones_are_told_about_the_earlier_ones() -> None:
    ops = FakeDestination(Disabled("the webhook is gone"))
    pager = FakeDestination(Disabled("gone too"))
    made = Alerting({"crm": FakeDestination(), "ops": ops, "pager": pager}, to=("ops", "pager"))
    await made.fail(1, "ops")
    await made.pass_time(420)
    await made.notifier.ledger.release("pager", made.notifier.clock.now())
    await made.pass_time(420)
    assert [kinds_of(each) for each in made.told("pager")] == [[("hookchain.alert.destination_disabled", "ops", 1)]]
    assert made.told("ops") == []


async def test_an_alert_that_becomes_a_dead_letter_makes_no_alert_at_the_later_destinations() -> None:
    ops, pager = FakeDestination(*[REFUSED] * 50), FakeDestination()
    made = Alerting({"crm": FakeDestination(REFUSED), "ops": ops, "pager": pager}, to=("ops", "pager"))
    await made.fail(1)
    await made.pass_time(3_600, step=300)
    assert ops.attempts
    assert [kinds_of(each) for each in made.told("pager")] == [[("hookchain.alert.dead_letter", "crm", 1)]]


async def test_an_alert_that_a_webhook_leads_back_to_us_ends_with_its_hops() -> None:
    made = alerting(*[REFUSED] * (MAX_HOPS + 1))
    for hops in range(MAX_HOPS + 1):
        await made.notifier.take(Delivery(replace(EVENT, id=f"{hops:032x}", hops=hops), "back", "crm"))
    await made.pass_time(420)
    [told] = made.told()
    assert (told.merged, told.event.hops) == (MAX_HOPS, MAX_HOPS - 1)


# Destinations


async def test_a_destination_that_is_paused_and_recovers_is_told_of_once_each() -> None:
    options = Options(breaker=BreakerSettings(2, 60.0, 600.0))
    made = alerting(*[RetryLater("503 Service Unavailable")] * 4, crm=options)
    for number in range(6):
        await made.fail(number)
    await made.pass_time(3 * 3_600)
    told = all_lines(made)
    assert told[0] == (
        "its deliveries wait: 2 attempts in a row failed, the last: 503 Service Unavailable · hookchain status"
    )
    assert told[-1].startswith("it takes deliveries again, paused since 2026-09-21 14:16 UTC")
    assert len(told) == 2


async def resumed(failures: int) -> Alerting:
    """Return alerts after so many attempts failed and an operator has ended the pause that followed the second one."""
    options = Options(breaker=BreakerSettings(2, 3_600.0, 7_200.0))
    made = alerting(*[RetryLater("503 Service Unavailable")] * failures, crm=options)
    for number in range(3):
        await made.fail(number)
    await made.pass_time(600)
    await resume_destination(made.notifier.ledger, "crm", made.notifier.clock.now())
    return made


async def test_a_destination_that_is_resumed_has_recovered_once_it_takes_a_delivery() -> None:
    made = await resumed(failures=2)
    made.notifier.clock.advance(60)
    await made.service.sweeper.sweep()  # before anything is tried
    assert len(all_lines(made)) == 1
    await made.pass_time(2 * 3_600)
    _, recovered = all_lines(made)
    assert recovered.startswith("it takes deliveries again, paused since")


async def test_a_destination_that_still_fails_after_it_was_resumed_has_not_recovered() -> None:
    made = await resumed(failures=50)
    await made.pass_time(3_600)
    assert {line.partition(":")[0] for line in all_lines(made)} == {"its deliveries wait"}


async def test_a_disabled_destination_is_told_of_with_the_act_that_repairs_it_and_again_if_it_is_disabled_again() -> (
    None
):
    unverified = "SendGrid sends nothing from a@example.com until you show that it is yours"
    made = alerting(Disabled(unverified), Delivered(), Disabled(unverified))
    await made.fail(1)
    await made.pass_time(600)
    [told] = made.told()
    assert lines_of(told) == [f"its deliveries are held: {unverified} · hookchain resume crm"]
    await made.notifier.ledger.release("crm", made.notifier.clock.now())
    await made.pass_time(600)
    made.start()
    await made.fail(2)
    await made.pass_time(600)
    assert len(made.told()) == 2


async def test_what_an_operator_pauses_is_not_told_of() -> None:
    made = alerting()
    await made.notifier.ledger.disable("crm", PAUSED_BY_OPERATOR, START)
    await made.notifier.ledger.pause("crm", START + 3_600, START, PAUSED_BY_OPERATOR)
    await made.pass_time(600)
    assert made.told() == []


async def test_a_part_that_fails_holds_up_no_retry() -> None:
    made = alerting(RetryLater("503"))
    await made.fail(1)
    made.notifier.records.fault = "down"
    made.notifier.clock.advance(60)
    with pytest.raises(Temporary):
        await made.service.sweeper.sweep()
    assert len(made.notifier.bus.on(DELIVERIES)) == 1


HOUR = 3_600.0
SILENCE = Silence(HOUR, ("ops",), 60.0)


def watching(**made: FakeDestination) -> Alerting:
    names = {"crm": FakeDestination(), "ops": FakeDestination(), **made}
    return Alerting(names, silence={"shop": {"after_seconds": HOUR, "to": ["ops"], "lag_seconds": 60.0}})


async def send(alerting: Alerting) -> None:
    """Have an event of the source arrive, at another instance of transform."""
    notifier = alerting.notifier
    seen = Seen({"shop": 60.0}, lambda: notifier.records, notifier.clock)
    await seen.note(Event("e", "/sources/shop", "order", rfc3339(notifier.clock.now()), "00"))


async def test_somebody_is_told_once_when_a_source_has_gone_quiet_and_once_when_it_is_back() -> None:
    made = watching()
    await made.pass_time(60)
    await send(made)
    await made.pass_time(HOUR)
    assert made.told() == []
    await made.pass_time(2 * HOUR)
    assert all_lines(made) == [
        "no event was accepted since 2026-09-21 14:16 UTC, for longer than 60 minutes"
        " · hookchain events list --source shop"
    ]
    await send(made)
    await made.pass_time(600)
    [_, back] = made.told()
    assert kinds_of(back) == [("hookchain.alert.source_back", "shop", 1)]
    assert lines_of(back) == [
        "it sends again, after 3 hours without an event; how many it missed is unknown"
        " · hookchain events list --source shop"
    ]
    await made.pass_time(HOUR / 2)
    assert len(made.told()) == 2


async def test_a_sweep_that_dies_and_two_at_once_lead_to_one_alert() -> None:
    made = watching()
    await made.pass_time(HOUR)
    made.notifier.clock.advance(600)
    made.notifier.bus.fault = "down"
    with pytest.raises(Temporary):
        await made.monitor.check()
    made.notifier.bus.fault = None
    made.start()
    records = made.notifier.records
    change = records.change

    async def fail_to_store(name: str, _: float, decide: DecideRecord[object]) -> object:
        answer, record = decide(await records.read(name))
        if record is not None:
            raise Temporary("records_unavailable", "down")
        return answer

    records.change = fail_to_store  # type: ignore[method-assign, assignment]
    with pytest.raises(Temporary):
        await made.monitor.check()
    assert len(made.notifier.bus.on(DELIVERIES)) == 1
    records.change = change  # type: ignore[method-assign]
    made.start()
    other = made.monitor
    made.start()
    await asyncio.gather(made.monitor.check(), other.check())
    await made.pass_time(900)
    assert [each.merged for each in made.told()] == [1]


async def test_a_time_in_which_nothing_watched_is_not_a_silence() -> None:
    made = watching()
    await send(made)
    await made.pass_time(600)
    made.notifier.clock.advance(30 * 86_400)  # its silence was not configured, or nothing ran
    await made.pass_time(HOUR)
    assert made.told() == []
    await made.pass_time(HOUR / 2)
    assert len(made.told()) == 1


@pytest.mark.parametrize(("seconds", "is_quiet"), [(HOUR + 60, False), (HOUR + 61, True)])
def test_a_source_is_quiet_once_its_record_cannot_be_behind_its_last_event(seconds: float, is_quiet: bool) -> None:
    record = {"seen_at": START, "watched_from": START - HOUR, "watched_at": START + seconds}
    pending, _ = decide(json.dumps(record), SILENCE, START + seconds)
    assert (pending is not None) is is_quiet
