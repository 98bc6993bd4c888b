"""Entries of people, and lists of them in CSV and JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.recipients.people import (
    Directory,
    Listed,
    Person,
    UnreadableList,
    parse_rows,
    read_entry,
    read_rows,
)
from shared.jsontext import Json

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
