import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.bounded_texts import MARK, Unit, cut
from functions.notify.http_kind import json_body

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
ENCODINGS: dict[Unit, tuple[str, int]] = {
    "characters": ("utf-32-le", 4),
    "utf-16": ("utf-16-le", 2),
    "bytes": ("utf-8", 1),
}


@given(ANY_TEXT, st.integers(3, 300), st.sampled_from(sorted(ENCODINGS)))
def test_a_cut_text_has_at_most_so_many_units_and_begins_as_before(text: str, limit: int, unit: Unit) -> None:
    encoding, width = ENCODINGS[unit]
    whole = text.encode("utf-8", "replace").decode()

    found = cut(text, limit, unit)

    assert len(found.encode(encoding)) <= limit * width
    assert found == whole or (found.endswith(MARK) and whole.startswith(found.removesuffix(MARK)))


@given(ANY_TEXT, st.integers(60, 300), st.sampled_from(sorted(ENCODINGS)))
def test_a_tail_is_kept_whole(text: str, limit: int, unit: Unit) -> None:
    encoding, width = ENCODINGS[unit]

    found = cut(text, limit, unit, "\nhttps://a.b")

    assert len(found.encode(encoding)) <= limit * width
    assert found.endswith("\nhttps://a.b")


@pytest.mark.parametrize(("unit", "found"), [("characters", "👩👩👩👩"), ("utf-16", "👩…"), ("bytes", "…")])
def test_a_receivers_own_unit_counts(unit: Unit, found: str) -> None:
    assert cut("👩" * 4, 4, unit) == found


@given(ANY_TEXT)
def test_a_body_is_utf_8_whatever_an_event_holds(text: str) -> None:
    assert json_body({"text": text}).decode()
