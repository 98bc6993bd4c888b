"""The recipient of a delivery: whom `to` names, and that no event reaches anybody else."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.recipients.people import Person
from functions.notify.recipients.recipient import NoRecipient, Recipients, masked
from functions.notify.registry import Configured, Recipient
from shared.delivery import Delivery
from shared.event import event_json
from shared.jsontext import Json
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier
from tests.fakes.people import ANNA, BOB, FakePeople, recipients_of
from tests.fakes.steps import finished

TO_ACTOR = Recipient("email", "actor")
ALLOWING = Recipient("email", "actor", allowed=("example.com", "@partner.example", "one@else.example"))


def of(recipient: Recipient, **attributes: Json) -> Person | NoRecipient:
    """Return the recipient of an event with those attributes."""
    configured = Configured("crm", "email", None, (5.0,), 15.0, "resend", recipient=recipient)
    delivery = Delivery(replace(EVENT, **attributes), "route", "crm")  # type: ignore[arg-type]
    return finished(recipients_of().recipient_of(configured, delivery))


def reason_of(found: Person | NoRecipient) -> str:
    assert isinstance(found, NoRecipient)
    return found.reason


@pytest.mark.parametrize("actor", ["anna", "Anna-Login", "ANNA-LOGIN", "Anna@Example.COM", "anna-gh"])
def test_the_actor_is_found_by_any_name_in_any_case(actor: str) -> None:
    assert of(TO_ACTOR, actor=actor) == ANNA


def test_a_providers_name_only_counts_for_its_sources() -> None:
    assert of(TO_ACTOR, actor="anna-gh", source="/sources/web") == ANNA
    assert "nobody in `people`" in reason_of(of(TO_ACTOR, actor="anna-gh", source="/sources/shop"))


def test_an_expression_names_the_person_by_text_or_number() -> None:
    recipient = Recipient("email", "data.assignee.id")
    assert of(recipient, data={"assignee": {"id": 583231}}) == BOB
    assert of(recipient, data={"assignee": {"id": "583231"}}) == BOB
    assert "has nobody at `data.assignee.id`" in reason_of(of(recipient, data={}))
    assert "found a list" in reason_of(of(recipient, data={"assignee": {"id": ["583231"]}}))
    assert "found a boolean" in reason_of(of(recipient, data={"assignee": {"id": True}}))


def test_an_operational_event_goes_to_the_tenant_whose_address_it_has_and_no_senders_event_does() -> None:
    tenant, address = Recipient("email", "data.email"), "ops@customer.example"
    told = of(tenant, source=SUBSCRIBERS_SOURCE, data={"email": address})
    assert told == Person(address, email=address)
    assert "nobody in `people`" in reason_of(of(tenant, source="/sources/hookchain", data={"email": address}))
    hostile = of(tenant, source=SUBSCRIBERS_SOURCE, data={"email": "a@b.example, c@d.example"})
    assert "nobody in `people`" in reason_of(hostile)


async def test_an_expression_reads_the_data_of_a_large_event() -> None:
    blobs = FakeBlobs()
    whole = replace(EVENT, data={"who": "bob"})
    await blobs.put("blob", event_json(whole))
    light = replace(EVENT, data=None, dataref="blob")
    configured = Configured("crm", "email", None, (5.0,), 15.0, "resend", recipient=Recipient("email", "data.who"))

    assert await recipients_of(blobs=blobs).recipient_of(configured, Delivery(light, "r", "crm")) == BOB


def test_a_configured_person_is_found_by_their_name_in_people_alone() -> None:
    assert of(Recipient("email", person="anna")) == ANNA
    assert "`people` has nobody" in reason_of(of(Recipient("email", person="anna-gh")))


def test_a_digest_goes_to_the_person_that_it_was_made_for() -> None:
    assert of(TO_ACTOR, source="/digests/team", actor="bob", data={"person": "anna"}) == ANNA
    assert of(ALLOWING, source="/digests/team", data={"person": "zoe@example.com"}) == Person(
        "zoe@example.com", email="zoe@example.com"
    )
    assert "`people` has nobody" in reason_of(of(TO_ACTOR, source="/digests/team", data={"person": "zoe"}))
    assert reason_of(of(TO_ACTOR, source="/digests/team", actor="anna")) == "the digest names no person"


def test_a_person_without_the_address_is_nobody_for_this_kind() -> None:
    reason = reason_of(of(Recipient("phone", "actor"), actor="bob"))
    assert reason.startswith("'bob' in `people` has no `phone`")
    assert of(Recipient("ntfy", "actor"), actor="anna") == ANNA


def test_an_address_of_an_allowed_domain_needs_no_entry() -> None:
    assert of(ALLOWING, actor="zoe@example.com") == Person("zoe@example.com", email="zoe@example.com")
    assert of(ALLOWING, actor="zoe@Partner.Example") == Person("zoe@Partner.Example", email="zoe@Partner.Example")
    assert isinstance(of(ALLOWING, actor="zoe@else.example"), NoRecipient)
    assert isinstance(of(ALLOWING, actor="zoe@sub.example.com"), NoRecipient)
    assert isinstance(of(TO_ACTOR, actor="zoe@example.com"), NoRecipient)
    assert isinstance(of(replace_address(ALLOWING), actor="zoe@example.com"), NoRecipient)


def replace_address(recipient: Recipient) -> Recipient:
    return recipient._replace(address="phone")


HOSTILE = [
    "anna@example.com\r\nBcc: eve@evil.example",
    "zoe@example.com, eve@evil.example",
    "zoe@example.com;eve@evil.example",
    "eve@evil.example zoe@example.com",
    "Anna <anna@example.com>",
    "<zoe@example.com>",
    "zoe@example.com\x00",
    "\x00anna",
    "*",
    "*@example.com",
    "%@example.com",
    "eve%evil.example@example.com",
    "evil.example!eve@example.com",
    '"eve@evil.example"@example.com',
    "eve@evil.example@example.com",
    "zoe@example.com.",
    "zoe@ex\u0430mple.com",
    "zoe@example\u3002com",
    "zoe@\uff45xample.com",
    "zoe@example.com@",
    "\u0430nna",
    "ann\u0430",
    "anna\u200b",
    "\u202eanna",
    " anna",
    "anna ",
    "Anna\u2010Login",
    "\uff41nna",
    "an\u0578a",
    "zoe@e\u212axample.com",
    "..@example.com",
    "",
]


@given(st.text() | st.from_regex(r"[a-z]{0,3}[ ,;<>\"@%!*\x00\r\n]{1,4}(anna|zoe)@[a-z]{1,7}\.(com|example)[\r\n ,]?"))
def test_no_event_reaches_anybody_but_those_who_are_listed_or_allowed(actor: str) -> None:
    found = of(ALLOWING, actor=actor)
    if isinstance(found, NoRecipient):
        assert len(found.reason) < 500
        assert found.reason.isprintable()
        return
    assert found in (ANNA, BOB) or (
        found.email == actor
        and actor.isascii()
        and actor.count("@") == 1
        and actor.lower().endswith(("@example.com", "@partner.example", "one@else.example"))
        and set(actor) <= {*string.ascii_letters, *string.digits, *"._+'=-@"}
    )


@given(st.text(min_size=1, max_size=300))
def test_a_masked_name_is_short_and_not_whole(name: str) -> None:
    assert len(masked(name)) <= 45
    assert "\n" not in masked(name)


def notifier_for(recipient: Recipient, people: FakePeople | None = None, otherwise: str | None = None) -> FakeNotifier:
    crm = FakeDestination()
    options = Options(recipient=recipient, **({"otherwise": otherwise} if otherwise else {}))
    destinations = FakeDestinations({"crm": crm, "office": FakeDestination()}, options={"crm": options})
    return FakeNotifier(crm, destinations, recipients=Recipients(people or FakePeople(), FakeBlobs()))


def by(actor: str) -> Delivery:
    return replace(DELIVERY, event=replace(EVENT, actor=actor))


async def test_the_attempt_has_the_person() -> None:
    notifier = notifier_for(TO_ACTOR)

    assert (await notifier.take(by("anna"))).outcome == "delivered"
    assert [attempt.person for attempt in notifier.crm.attempts] == [ANNA]


async def test_an_unknown_person_is_a_dead_letter_that_says_what_to_add() -> None:
    notifier = notifier_for(TO_ACTOR)
    result = await notifier.take(by("octocat"))

    assert (result.outcome, result.code) == ("dead_lettered", "unknown_person")
    assert result.reason == (
        "nobody in `people` is the event's actor, 'oct…': add that name to `aliases` of a person in `people`, or as "
        "`web: NAME`"
    )
    assert not notifier.crm.attempts
    assert len(notifier.dead_letters) == 1


async def test_an_unknown_person_s_event_goes_to_the_other_destination() -> None:
    notifier = notifier_for(TO_ACTOR, otherwise="office")
    result = await notifier.take(by("octocat"))

    assert result.code == "unknown_person"
    assert "'office' gets it instead" in (result.reason or "")


async def test_a_list_that_cannot_be_read_delays_deliveries_without_attempts() -> None:
    people = FakePeople()
    people.fault = "the list of people cannot be read: 503"
    notifier = notifier_for(TO_ACTOR, people)
    result = await notifier.take(by("anna"))
    assert (result.outcome, result.reason) == ("deferred", people.fault)

    people.fault = ""
    notifier.clock.advance(60)
    assert [each.outcome for each in await notifier.sweep_and_take()] == ["delivered"]
    assert notifier.crm.attempts[0].attempt_number == 1
