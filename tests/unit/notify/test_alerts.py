"""Alerts about dead letters and destinations: bundled, told once, lost by no crash, and never about themselves."""

import json
from dataclasses import replace
from random import Random

import pytest

from functions.notify.alerts.paused_destinations import decide
from functions.notify.chat_messages import MessageSettings
from functions.notify.destination import Attempt
from functions.notify.digests.digest import digest_text, read_digest
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Temporary
from shared.event import MAX_HOPS
from shared.journal import DeadLetter
from shared.ledger import PAUSED_BY_OPERATOR
from shared.outgoing.circuit import BreakerSettings
from shared.ports import DELIVERIES
from tests.fakes.destinations import Answer, FakeDestination, Options
from tests.fakes.notifier import EVENT
from tests.unit.notify.alerting import ALERTS, START, Alerting, data_of, kinds_of, lines_of

REFUSED = Failed("request_rejected", "the receiver answered 422")
KEEPS_ALL = ALERTS._replace(keeps_all=True)
DEAD_LETTER = "hookchain.alert.dead_letter"


def alerting(*answers: Answer, **options: Options) -> Alerting:
    return Alerting({"crm": FakeDestination(*answers), "ops": FakeDestination()}, options=options)


# Dead letters


async def test_dead_letters_of_five_minutes_are_one_message() -> None:
    made = alerting(*[REFUSED] * 3)
    for number in range(3):
        await made.fail(number, card="4111 1111 1111 1111")
    await made.pass_time(240)
    assert made.told() == []
    await made.pass_time(180)
    [told] = made.told()
    assert (told.merged, told.route, kinds_of(told)) == (3, "alerts", [(DEAD_LETTER, "crm", 3)])
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


async def test_the_message_begins_with_the_counts_of_its_kinds() -> None:
    made = alerting(*[REFUSED] * 3, Disabled("create another webhook, then run `hookchain resume crm`"))
    for number in range(4):
        await made.fail(number)
    await made.pass_time(420)
    [told] = made.told()
    assert digest_text(read_digest(told.event)).splitlines() == [
        "Hookchain: 3 dead letters, 1 destination disabled: crm",
        "21 Sep 2026, 14:15 to 14:16 UTC",
        "",
        "Destination disabled (1)",
        "• its deliveries are held: create another webhook, then run `hookchain resume crm`",
        "",
        "Dead letter (3)",
        *[
            "• request_rejected: the receiver answered 422 · route tell the list · hookchain events show"
            " 0000000000000000"
        ]
        * 3,
    ]


@pytest.mark.slow
async def test_ten_thousand_dead_letters_in_a_minute_are_a_few_messages_that_count_all_of_them() -> None:
    made = alerting()
    for number in range(10_000):
        made.notifier.clock.advance(0.006)
        await made.alerts.publish_for(letter(number, at=made.notifier.clock.now()))
    await made.pass_time(1_200)
    told = made.told()
    assert len(told) <= 4
    assert sum(each.merged for each in told) == 10_000
    assert sum(int(str(count)) for each in told for _, _, count in kinds_of(each)) == 10_000


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
    made = Alerting({"crm": FakeDestination(*[REFUSED] * 2), "ops": FakeDestination()}, gather=KEEPS_ALL)
    for number in range(2):
        await made.fail(number)
    await made.pass_time(420)
    [told] = made.told()
    assert (told.event.type, data_of(told)["count"]) == ("hookchain.coalesced", 2)
    events = data_of(told)["events"]
    assert isinstance(events, list)
    assert events[0] == {
        "kind": "dead_letter",
        "destination": "crm",
        "route": "tell the list",
        "code": "request_rejected",
        "event_id": f"{0:032x}",
        "reason": "the receiver answered 422",
        "command": "hookchain events show 0000000000000000",
    }


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


async def test_an_alert_that_a_webhook_leads_back_to_us_ends_with_its_hops() -> None:
    made = alerting(*[REFUSED] * (MAX_HOPS + 1))
    for hops in range(MAX_HOPS + 1):
        await made.notifier.take(Delivery(replace(EVENT, id=f"{hops:032x}", hops=hops), "back", "crm"))
    await made.pass_time(420)
    [told] = made.told()
    assert (told.merged, told.event.hops) == (MAX_HOPS, MAX_HOPS - 1)


@pytest.mark.parametrize("seed", range(16))
async def test_whatever_fails_alerts_come_to_an_end(seed: int) -> None:
    """Destinations that lead to each other, and fail at random. After the last event, all of it comes to rest."""
    random = Random(seed)
    names = ["crm", "ops", "pager", "backup"]
    comes_and_goes = [0.0, 0.6, 0.0, 0.4]
    weights = comes_and_goes if seed % 2 else [random.random() for _ in range(4)]

    async def attempt(_: Delivery, __: Attempt) -> Outcome:
        outcomes: list[Outcome] = [REFUSED, RetryLater("503"), Disabled("set another key"), Delivered()]
        return random.choices(outcomes, weights)[0]

    options = {name: Options(breaker=BreakerSettings(1, 60.0, 60.0)) for name in names}
    for number, name in enumerate(names[:-1]):
        if random.random() < 0.5:
            options[name]["otherwise"] = random.choice(names[number + 1 :])
    to = random.sample(names, 1 + seed // 2 % 3)
    made = Alerting({name: FakeDestination(*[attempt] * 2_000) for name in names}, to=to, options=options)
    for number in range(12):
        await made.fail(number, random.choice(names))
        await made.pass_time(60)
    for _ in range(2):
        for name in names:
            await made.notifier.ledger.release(name, made.notifier.clock.now())
        await made.pass_time(2 * 3_600)
    rest_at = made.notifier.clock.now()
    await made.pass_time(1_800)
    rows = await made.notifier.ledger.rows(10_000)
    assert [row for row in rows if row.created_at > rest_at] == []


# Destinations


async def test_a_destination_that_is_paused_and_recovers_is_told_of_once_each() -> None:
    options = Options(breaker=BreakerSettings(2, 60.0, 600.0))
    made = alerting(*[RetryLater("503 Service Unavailable")] * 4, crm=options)
    for number in range(6):
        await made.fail(number)
    await made.pass_time(3 * 3_600)
    told = [line for each in made.told() for line in lines_of(each)]
    assert told[0] == (
        "its deliveries wait: 2 attempts in a row failed, the last: 503 Service Unavailable · hookchain status"
    )
    assert told[-1].startswith("it takes deliveries again, paused since 2026-09-21 14:16 UTC")
    assert len(told) == 2


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


async def test_a_sweep_that_dies_before_it_marks_an_alert_as_told_leads_to_one_alert() -> None:
    made = alerting(Disabled("gone"))
    await made.fail(1)
    change, calls = made.notifier.records.change, 0

    async def dying(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Temporary("records_unavailable", "it died")
        return await change(*arguments)  # type: ignore[arg-type]

    made.notifier.records.change = dying  # type: ignore[method-assign, assignment]
    with pytest.raises(Temporary):
        await made.service.sweeper.sweep()
    made.start()
    await made.pass_time(600)
    assert [each.merged for each in made.told()] == [1]


async def test_a_part_that_fails_holds_up_no_retry() -> None:
    made = alerting(RetryLater("503"))
    await made.fail(1)
    made.notifier.records.fault = "down"
    made.notifier.clock.advance(60)
    with pytest.raises(Temporary):
        await made.service.sweeper.sweep()
    assert len(made.notifier.bus.on(DELIVERIES)) == 1


def test_a_record_that_a_later_version_wrote_more_into_is_read() -> None:
    pending = {"kind": "destination_paused", "name": "crm", "at": START, "reason": "503", "since": START, "later": 1}
    alerts, _ = decide(json.dumps({"destinations": {}, "pending": [pending]}), {}, START)
    assert [(each.kind, each.name, each.reason) for each in alerts] == [("destination_paused", "crm", "503")]
