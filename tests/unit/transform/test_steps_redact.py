"""Redaction of fields, card numbers and mail addresses."""

import tracemalloc
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jsontext import Json
from tests.fakes.steps import finished
from tests.unit.transform.written_steps import EVENT, chain, data_after, run

CARD: Final = "4111 1111 1111 1111"


def test_redact_finds_cards_and_addresses_wherever_they_stand() -> None:
    event = replace(EVENT, subject=f"paid with {CARD}", data={"a": [f"{CARD}!"], "n": 4111111111111111, "m": 41111})

    [after] = finished(chain([{"redact": {"cards": True, "emails": True}}]).run(event)).events
    assert after.data == {"a": ["***!"], "n": "***", "m": 41111}
    assert (after.subject, after.actor) == ("paid with ***", "***@example.com")


@pytest.mark.parametrize("text", ["4111 1111 1111 1112", "1234567890123", "41111111111111111111111", "no", "1" * 12])
def test_redact_leaves_numbers_that_are_no_card(text: str) -> None:
    assert data_after({"redact": {"cards": True}}, text) == text


def test_redact_masks_the_whole_of_what_a_path_names() -> None:
    data: Json = {"pin": 1234, "token": "abcdefgh", "deep": {"a": 1}, "none": None}
    paths: list[Json] = ["data.pin", "data.token", "data.deep", "data.none", "data.missing", "actor"]
    step: Json = {"redact": {"paths": paths, "keep_last": 4, "mask": "#"}}

    [after] = finished(chain([step]).run(replace(EVENT, data=data))).events
    assert after.data == {"pin": "#", "token": "#efgh", "deep": "#:1}".replace(":1}", "") + '":1}', "none": None}
    assert after.actor == "#.com"


@given(st.text(alphabet="0123456789 -", max_size=30), st.text(alphabet="0123456789 -", max_size=30))
def test_no_card_number_is_left(before: str, after: str) -> None:
    left = data_after({"redact": {"cards": True}}, f"{before}, {CARD} {after}")

    assert CARD not in str(left)
    assert CARD not in str(data_after({"redact": {"cards": True}}, f"{before} {CARD}, {after}"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("378282246310005", "***"),
        ("4111111111111111", "***"),
        ("4111111111111112", "4111111111111112"),
        ("order 12 4111111111111111", "order 12 ***"),
        ("2 4111 1111 1111 1111 x", "2 *** x"),
        ("4111 1111 1111 1111 - 12 28", "*** - 12 28"),
        ("4111-1111-1111-1111 3782 822463 10005", "***"),
        ("4111\u00a01111\u202f1111\u20111111", "***"),
        (f"{CARD} 12/27 123", "*** 12/27 123"),
        ("4111111111111111 123", "*** 123"),
        (f"order 12 {CARD}", "order 12 ***"),
        (f"order 14 {CARD}", "order ***"),  # 14 and the first three groups prove each other as well
        (f"4111-1111-1111-1111 5, {CARD} {CARD}", "*** 5, ***"),
        ("3782 822463 10005 1234", "*** 1234"),
        ("x4111111111111111y", "x***y"),
    ],
)
def test_a_card_number_is_found_beside_other_digits(text: str, left: str) -> None:
    assert data_after({"redact": {"cards": True}}, text) == left


@pytest.mark.parametrize("text", ["1 " * 50_000, "4111 " * 50_000])
def test_many_digits_are_looked_through_in_the_time_of_a_chain_and_little_memory(text: str) -> None:
    assert run({"redact": {"cards": True}}, text).faults == ()
    tracemalloc.start()
    try:
        run({"redact": {"cards": True}}, text)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("jörg@example.com", "***@example.com"),
        ("bob@münchen.de, x@例え.jp", "***@münchen.de, ***@例え.jp"),
        ("a@b", "a@b"),
    ],
)
def test_a_mail_address_in_any_script_is_masked(text: str, left: str) -> None:
    assert data_after({"redact": {"emails": True}}, text) == left


EVERYTHING: Json = {"redact": {"cards": True, "emails": True}}


def test_redact_masks_names_of_fields_and_their_values_stay() -> None:
    members: Json = {"ada@example.com": {"role": "owner"}, CARD: [1], "team": "sales"}
    assert data_after(EVERYTHING, members) == {"***@example.com": {"role": "owner"}, "***": [1], "team": "sales"}


def test_redact_tells_names_apart_that_are_one_once_masked_so_that_no_field_is_lost() -> None:
    members: Json = {"ada@x.org": 1, "***@x.org (2)": 2, "bob@x.org": 3, "***@x.org": 4}
    after = data_after(EVERYTHING, members)
    assert isinstance(after, dict)
    assert list(after.values()) == [1, 2, 3, 4]
    assert not {"ada@x.org", "bob@x.org"} & set(after)


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0])
def test_redact_masks_a_card_that_was_sent_as_a_number(number: int | float) -> None:
    assert data_after(EVERYTHING, {"card": number}) == {"card": "***"}


@pytest.mark.parametrize("number", [4111111111111112, 4111111111111111.5, 1.5e12, -4111111111111111, 1e300, True])
def test_redact_leaves_other_numbers(number: int | float) -> None:
    after = data_after(EVERYTHING, {"n": number})
    assert (after, type(after)) == ({"n": number}, dict)


@pytest.mark.parametrize("step", ["data.iban", ["data.iban"], {"paths": "data.iban"}])
def test_one_path_may_stand_alone(step: Json) -> None:
    assert data_after({"redact": step}, {"iban": "GB33", "name": "Ada"}) == {"iban": "***", "name": "Ada"}
