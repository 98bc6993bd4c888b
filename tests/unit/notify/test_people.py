"""The list of people: its entries, and where it is read from."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.recipients.people import (
    MAX_BYTES,
    Directory,
    Listed,
    People,
    Person,
    UnreadableList,
    parse_rows,
    read_entry,
    read_rows,
)
from functions.notify.recipients.recipient import people_of
from shared.errors import Temporary
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets

CSV = b"""name,email,phone,slack,timezone,language,github,aliases
anna,anna@example.com,+44 7700 900123,U0ANNA1,Europe/Berlin,de-CH,anna-gh;anna-bot,"Anna.B; 583231"
bob,bob@example.com,,,,,,
"""
KEYS = ("email", "phone", "push", "slack", "timezone", "language", "aliases", "github")
ANNA = Listed(
    Person("anna", "anna@example.com", "+447700900123", None, {"slack": "U0ANNA1"}, "Europe/Berlin", "de-CH"),
    ("Anna.B", "583231"),
    {"github": ("anna-gh", "anna-bot"), "slack": ("U0ANNA1",)},
)
BOB = Listed(Person("bob", "bob@example.com"))


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
        assert read_rows(parse_rows(content)) == ([ANNA, BOB], [])


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must list 1 to 20,000 people"),
        (b"[]", "must list"),
        (b"{}", "must list"),
        (b'["anna"]', "must list"),
        (b"{broken", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"name,name\na,b\n", "neither JSON nor CSV"),
        (b'name,email\n"a', "neither JSON nor CSV"),
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
        ("email", "ada@example.com, eve@evil.example", "not one mail address"),
        ("email", "ada@example.com\r\nBcc: eve@evil.example", "not one mail address"),
        ("phone", 447700900123, "with its country's code, in quotes"),
        ("phone", "07700 900123", "with its country's code"),
        ("slack", "@anna", "the id of a user in Slack"),
        ("telegram", "@anna", "the id of a user in Telegram"),
        ("telegram", "-100200300", "the id of a user"),
        ("discord", "anna#1", "the id of a user in Discord"),
        ("push", "a b", "the token of an app"),
        ("timezone", "Mars/Base", "the name of a time zone"),
        ("timezone", "../../etc/passwd", "the name of a time zone"),
        ("language", False, "write it in quotes"),
        ("language", "de_CH", "a language tag"),
        ("aliases", ["", "a"], "names of 1 to 254"),
        ("aliases", {"a": "b"}, "names of 1 to 254"),
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
        self.people: People = people_of(written, lambda: self.fetch, secrets, self.clock)

    def answer(self, content: bytes, status: int = 200) -> None:
        self.fetch.answers[URL] = Fetched(status, (), content)

    async def name(self, who: str = "anna-gh") -> str | None:
        person = await self.people.find(who, "web")
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


async def test_csv_is_read_as_well_and_people_are_found_by_name() -> None:
    source = Source(b"name,email,github\r\nanna,anna@example.com,anna-gh\r\n")
    assert await source.name() == "anna"
    person = await source.people.named("anna")
    assert person
    assert person.email == "anna@example.com"


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

    with pytest.raises(Temporary) as error:
        await source.name()
    assert (error.value.code, error.value.detail) == (
        "people_unavailable",
        "the list of people cannot be read: it answered 503",
    )


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 404, "answered 404"),
        (LIST, 302, "answered 302"),
        (b"[]", 200, "must list 1 to 20,000 people"),
        (b"<!DOCTYPE html><p>Sign in</p>", 200, "must list"),
        (b"<html>\n<p>Sign in</p>", 200, "lists nobody with a name"),
        (b" " * (MAX_BYTES + 1), 200, "more than 4,194,304 bytes"),
    ],
)
async def test_a_url_that_was_never_readable_is_temporary_and_asked_again_later(
    content: bytes, status: int, reason: str
) -> None:
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
    assert (
        line["detail"]
        == "row 1: 'email' is not one mail address such as ada@example.com; two people have the name 'som…'"
    )


async def test_a_delivery_does_not_wait_while_another_one_reads_the_list_anew() -> None:
    source = Source()
    await source.name()
    source.clock.advance(600)
    go_on = asyncio.Event()
    fetch = source.fetch.fetch

    async def slow(request: Outgoing) -> Fetched:
        await go_on.wait()
        return await fetch(request)

    source.fetch.fetch = slow  # type: ignore[method-assign]
    reading = asyncio.create_task(source.name())
    await asyncio.sleep(0)
    assert await source.name() == "anna"
    go_on.set()
    assert await reading == "anna"


async def test_a_compiled_list_is_read_without_a_request() -> None:
    people = people_of({"rows": json.loads(LIST), "providers": {}}, FakeFetch, FakeSecrets({}), FakeClock())
    person = await people.find("anna-gh", "github")
    assert person
    assert person.name == "anna"


def test_a_letter_that_only_looks_like_a_listed_one_makes_another_name() -> None:
    directory = Directory([Listed(Person("kim"))], {})
    assert directory.find("KIM", "shop")
    assert directory.find("\u212aim", "shop") is None, "the sign of Kelvin"
