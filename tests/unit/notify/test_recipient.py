"""The recipient of a delivery: the list of people, whom `to` names, and that no event reaches anybody else."""

import asyncio
import json
import string
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from functions.notify.recipients.people import (
    MAX_BYTES,
    Directory,
    Listed,
    Person,
    ReadPeople,
    UnreadableList,
    parse_rows,
    read_entry,
    read_rows,
)
from functions.notify.recipients.people_list import people_reader
from functions.notify.recipients.recipient import NoRecipient, Recipients
from functions.notify.registry import DeliveryOptions, RecipientRule
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.event import event_json
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import Options
from tests.fakes.fetch import FakeFetch
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier
from tests.fakes.people import ANNA, BOB, FakePeople, recipients_of
from tests.fakes.secrets import FakeSecrets
from tests.fakes.steps import finished

CSV = b"""name,email,phone,slack,timezone,language,github,aliases
anna,anna@example.com,+44 7700 900123,U0ANNA1,Europe/Berlin,de-CH,anna-gh;anna-bot,"Anna.B; 583231"
bob,bob@example.com,,,,,,
"""
KEYS = ("email", "phone", "push", "slack", "timezone", "language", "aliases", "github")
LISTED_ANNA = Listed(
    Person("anna", "anna@example.com", "+447700900123", None, {"slack": "U0ANNA1"}, "Europe/Berlin", "de-CH"),
    ("Anna.B", "583231"),
    {"github": ("anna-gh", "anna-bot"), "slack": ("U0ANNA1",)},
)
LISTED_BOB = Listed(Person("bob", "bob@example.com"))


def test_a_csv_file_and_json_in_both_forms_are_the_same_list() -> None:
    anna: dict[str, Json] = {
        "email": "anna@example.com",
        "phone": "+447700900123",
        "slack": "U0ANNA1",
        "timezone": "Europe/Berlin",
        "language": "de-CH",
        "github": ["anna-gh", "anna-bot"],
        "aliases": ["Anna.B", 583231],
    }
    bob: dict[str, Json] = {"email": "bob@example.com", "phone": None}
    by_name = json.dumps({"anna": anna, "bob": bob}).encode()
    as_list = json.dumps([{"name": "anna", **anna}, {"name": "bob", **bob}]).encode()
    for content in (CSV, b"\xef\xbb\xbf" + CSV, CSV.replace(b",", b"\t"), by_name, as_list, b"\xef\xbb\xbf" + as_list):
        assert read_rows(parse_rows(content)) == ([LISTED_ANNA, LISTED_BOB], [])


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must list 1 to 20,000 people"),
        (b'["anna"]', "must list"),
        (b"{broken", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"name,name\na,b\n", "neither JSON nor CSV"),
        (b"\xff\xfe\x00", "."),
        (b"name\n" + b"x\n" * 20_001, "must list"),
    ],
)
def test_a_text_that_is_no_list_is_rejected(content: bytes, rule: str) -> None:
    with pytest.raises(UnreadableList, match=rule):
        parse_rows(content)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("email", "Ada <ada@example.com>", "without a name"),
        ("email", "ada@example.com\r\nBcc: eve@evil.example", "not one mail address"),
        ("phone", 447700900123, "with its country's code, in quotes"),
        ("slack", "@anna", "the id of a user in Slack"),
        ("telegram", "-100200300", "the id of a user"),
        ("push", "a b", "the token of an app"),
        ("timezone", "../../etc/passwd", "the name of a time zone"),
        ("language", "de_CH", "a language tag"),
        ("aliases", ["", "a"], "names of 1 to 254"),
        ("aliases", [str(n) for n in range(51)], "at most 50 names"),
        ("github", "a\x00b", "printable"),
    ],
)
def test_a_field_with_a_fault_is_left_out(key: str, value: Json, rule: str) -> None:
    listed, faults = read_entry({"name": "anna", key: value})

    assert listed == Listed(Person("anna"))
    assert [fault.key for fault in faults] == [key]
    assert rule in faults[0].rule


def test_two_people_of_one_name_are_both_left_out() -> None:
    listed, faults = read_rows([{"name": "a"}, {"name": "b"}, {"name": "a"}, {"email": "c@example.com"}])

    assert [each.person.name for each in listed] == ["b"]
    assert [(number, fault.key) for number, fault in faults] == [(1, "name"), (3, "name"), (4, "name")]


def test_a_name_of_two_people_names_nobody() -> None:
    a, b = Listed(Person("a", "team@example.com"), ("x",)), Listed(Person("b", "team@example.com"), ("X", "y"))
    directory = Directory((a, b), {})

    assert directory.find("x", "shop") is None
    assert directory.find("y", "shop") == b.person
    assert directory.find("team@example.com", "shop") is None  # a mailbox that two share
    assert list(directory.shared) == [("", "x")]


def test_a_name_of_the_source_comes_before_one_of_its_provider_and_one_of_all() -> None:
    everywhere, provider, source = (Listed(Person(name)) for name in ("a", "b", "c"))
    directory = Directory(
        (
            everywhere._replace(aliases=("x",)),
            provider._replace(scoped={"github": ("x",)}),
            source._replace(scoped={"inner": ("x",)}),
        ),
        {"inner": "github", "outer": "github", "shop": "stripe"},
    )
    found = [directory.find("x", name) for name in ("inner", "outer", "shop", "github")]
    assert [each and each.name for each in found] == ["c", "b", "a", "b"]


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=10)


@given(
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), SCALARS | st.lists(SCALARS, max_size=3), max_size=6)
)
def test_no_entry_fails(row: dict[str, Json]) -> None:
    listed, faults = read_entry({"name": "anna", **row})
    assert listed or faults


URL = "https://hr.example.com/people"
LIST = json.dumps([{"name": "anna", "email": "anna@example.com", "github": "anna-gh"}]).encode()


class Source:
    """A list at the URL, with a faked clock."""

    def __init__(self, content: bytes = LIST, status: int = 200, **settings: bool | str) -> None:
        self.clock = FakeClock()
        self.fetch = FakeFetch({URL: Fetched(status, (), content)})
        written: JsonObject = {"url": URL, "providers": {"web": "github"}, **settings}
        secrets = FakeSecrets({"people-token": "t0ken"})
        self.read_people: ReadPeople = people_reader(written, lambda: self.fetch, secrets, self.clock)

    def answer(self, content: bytes, status: int = 200) -> None:
        self.fetch.answers[URL] = Fetched(status, (), content)

    async def name(self, who: str = "anna-gh") -> str | None:
        people = await self.read_people()
        person = people.find(who, "web")
        return person.name if person else None


async def test_the_list_is_read_once_in_ten_minutes_with_its_token() -> None:
    source = Source(secret="people-token")
    assert [await source.name() for _ in range(3)] == ["anna"] * 3
    assert ("authorization", "Bearer t0ken") in source.fetch.asked[0].headers
    source.clock.advance(599)
    await source.name()
    assert len(source.fetch.asked) == 1
    source.answer(LIST.replace(b"anna-gh", b"other"))
    source.clock.advance(1)

    assert await source.name() is None
    assert await source.name("other") == "anna"
    assert len(source.fetch.asked) == 2


async def test_many_deliveries_read_it_once() -> None:
    source = Source()
    assert await asyncio.gather(*[source.name() for _ in range(50)]) == ["anna"] * 50
    assert len(source.fetch.asked) == 1


async def test_the_last_list_serves_for_a_day_while_the_url_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    source = Source()
    await source.name()
    source.answer(b"<html>maintenance</html>", 503)
    source.clock.advance(86_000)
    assert await source.name() == "anna"
    assert "its last content serves for a day" in capsys.readouterr().out
    source.clock.advance(401)

    with pytest.raises(Temporary, match="people_unavailable"):
        await source.name()


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 404, "answered 404"),
        (LIST, 302, "answered 302"),
        (b"[]", 200, "must list 1 to 20,000 people"),
        (b"<html>\n<p>Sign in</p>", 200, "lists nobody with a name"),
        (b" " * (MAX_BYTES + 1), 200, "more than 4,194,304 bytes"),
    ],
)
async def test_a_url_that_was_never_readable_is_asked_again_later(content: bytes, status: int, reason: str) -> None:
    source = Source(content, status)
    for _ in range(3):
        with pytest.raises(Temporary, match=reason):
            await source.name()
    assert len(source.fetch.asked) == 1
    source.answer(LIST)
    source.clock.advance(30)

    assert await source.name() == "anna"


async def test_the_way_out_is_guarded() -> None:
    source = Source()
    source.fetch.names = {"hr.example.com": ["10.0.0.7"]}
    with pytest.raises(Temporary, match="not public"):
        await source.name()

    inside = Source(allow_private=True)
    inside.fetch.names = {"hr.example.com": ["10.0.0.7"]}
    assert await inside.name() == "anna"


async def test_a_missing_token_is_no_request_without_one() -> None:
    source = Source(secret="other-token")
    with pytest.raises(Temporary, match="other-token"):
        await source.name()
    assert not source.fetch.asked


async def test_what_is_at_fault_in_a_list_is_logged_without_names_and_the_rest_serves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        {"name": "anna", "github": "anna-gh", "email": "broken", "aliases": ["somebody"]},
        {"name": "bob", "aliases": ["somebody"]},
    ]
    source = Source(json.dumps(rows).encode())
    assert await source.name() == "anna"
    assert await source.name("somebody") is None
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert line["count"] == 2
    assert line["detail"].startswith("row 1: 'email' is not one mail address")
    assert line["detail"].endswith("two people have the name 'som…'")


async def test_a_compiled_list_is_read_without_a_request() -> None:
    written: JsonObject = {"rows": json.loads(LIST), "providers": {}}
    people = await people_reader(written, FakeFetch, FakeSecrets({}), FakeClock())()
    person = people.find("anna-gh", "github")
    assert person
    assert person.name == "anna"


TO_ACTOR = RecipientRule("email", "actor")
ALLOWING = RecipientRule("email", "actor", allowed=("example.com", "@partner.example", "one@else.example"))


def of(recipient: RecipientRule, **attributes: Json) -> Person | NoRecipient:
    """Return the recipient of an event with those attributes."""
    configured = DeliveryOptions("crm", "email", None, (5.0,), 15.0, "resend", recipient=recipient)
    delivery = Delivery(replace(EVENT, **attributes), "route", "crm")  # type: ignore[arg-type]
    return finished(recipients_of().find_person(configured, delivery))


def reason_of(found: Person | NoRecipient) -> str:
    assert isinstance(found, NoRecipient)
    return found.reason


@pytest.mark.parametrize("actor", ["anna", " Anna\t", "Anna-Login", "ANNA-LOGIN", "Anna@Example.COM", "anna-gh"])
def test_the_actor_is_found_by_any_name_in_any_case(actor: str) -> None:
    assert of(TO_ACTOR, actor=actor) == ANNA


def test_an_expression_names_the_person_by_text_or_number() -> None:
    recipient = RecipientRule("email", "data.assignee.id")
    assert of(recipient, data={"assignee": {"id": 583231}}) == BOB
    assert of(recipient, data={"assignee": {"id": "583231"}}) == BOB
    assert "'data.assignee.id' is not in this event; name the field" in reason_of(of(recipient, data={}))
    assert "found a list" in reason_of(of(recipient, data={"assignee": {"id": ["583231"]}}))
    assert "found a boolean" in reason_of(of(recipient, data={"assignee": {"id": True}}))


def test_an_operational_event_goes_to_the_tenant_whose_address_it_has_and_no_senders_event_does() -> None:
    tenant, address = RecipientRule("email", "data.email"), "ops@customer.example"
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
    configured = DeliveryOptions(
        "crm", "email", None, (5.0,), 15.0, "resend", recipient=RecipientRule("email", "data.who")
    )

    assert await recipients_of(blobs=blobs).find_person(configured, Delivery(light, "r", "crm")) == BOB


def test_a_configured_person_is_found_by_their_name_in_people_alone() -> None:
    assert of(RecipientRule("email", person="anna")) == ANNA
    assert "`people` has nobody" in reason_of(of(RecipientRule("email", person="anna-gh")))


def test_a_digest_goes_to_the_person_that_it_was_made_for() -> None:
    assert of(TO_ACTOR, source="/digests/team", actor="bob", data={"person": "anna"}) == ANNA
    assert of(ALLOWING, source="/digests/team", data={"person": "zoe@example.com"}) == Person(
        "zoe@example.com", email="zoe@example.com"
    )
    assert "`people` no longer has" in reason_of(of(TO_ACTOR, source="/digests/team", data={"person": "zoe"}))
    assert reason_of(of(TO_ACTOR, source="/digests/team", actor="anna")) == "the digest names no person"


def test_a_person_without_the_address_is_nobody_for_this_kind() -> None:
    reason = reason_of(of(RecipientRule("phone", "actor"), actor="bob"))
    assert reason.startswith("'bob' in `people` has no `phone`")
    assert of(RecipientRule("ntfy", "actor"), actor="anna") == ANNA


def test_an_address_of_an_allowed_domain_needs_no_entry() -> None:
    assert of(ALLOWING, actor="zoe@example.com") == Person("zoe@example.com", email="zoe@example.com")
    assert of(ALLOWING, actor="zoe@Partner.Example") == Person("zoe@Partner.Example", email="zoe@Partner.Example")
    assert isinstance(of(ALLOWING, actor="zoe@else.example"), NoRecipient)
    assert isinstance(of(ALLOWING, actor="zoe@sub.example.com"), NoRecipient)
    assert isinstance(of(TO_ACTOR, actor="zoe@example.com"), NoRecipient)
    assert "nobody in `people`" in reason_of(of(ALLOWING._replace(address="phone"), actor="zoe@example.com"))


HOSTILE = [
    *("anna@example.com\r\nBcc: eve@evil.example", "zoe@example.com, eve@evil.example", "Anna <anna@example.com>"),
    *("zoe@example.com\x00", "*@example.com", "eve%evil.example@example.com", "eve@evil.example@example.com"),
    *("zoe@ex\u0430mple.com", "zoe@example\u3002com", "\u0430nna", "anna\u200b", " anna", "\uff41nna"),
]


@given(
    st.text()
    | st.sampled_from(HOSTILE)
    | st.from_regex(r"[a-z]{0,3}[ ,;<>\"@%!*\x00\r\n]{1,4}(anna|zoe)@[a-z]{1,7}\.(com|example)[\r\n ,]?")
)
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


def notifier_for(recipient: RecipientRule, people: FakePeople | None = None) -> FakeNotifier:
    recipients = Recipients(people or FakePeople(), FakeBlobs())
    return FakeNotifier(options=Options(recipient=recipient), recipients=recipients)


def by(actor: str) -> Delivery:
    return replace(DELIVERY, event=replace(EVENT, actor=actor))


async def test_an_unknown_person_is_a_dead_letter_that_says_what_to_add() -> None:
    notifier = notifier_for(TO_ACTOR)
    result = await notifier.take(by("octocat"))

    assert (result.outcome, result.code) == ("dead_lettered", "unknown_person")
    assert (result.reason or "").startswith(
        "nobody in `people` is the event's actor, shown by `hookchain events show`: add that name to `aliases`"
    )
    assert "oct" not in (result.reason or ""), "a reason is logged"
    assert not notifier.crm.attempts
    assert len(notifier.dead_letters) == 1


async def test_a_list_that_cannot_be_read_delays_deliveries_without_attempts_until_it_names_the_person() -> None:
    people = FakePeople()
    people.fault = "the list of people cannot be read: 503"
    notifier = notifier_for(TO_ACTOR, people)
    result = await notifier.take(by("anna"))
    assert (result.outcome, result.reason) == ("deferred", people.fault)

    people.fault = ""
    notifier.clock.advance(60)
    assert [each.outcome for each in await notifier.sweep_and_take()] == ["delivered"]
    assert [(attempt.person, attempt.attempt_number) for attempt in notifier.crm.attempts] == [(ANNA, 1)]
