from contextlib import nullcontext

from hypothesis import given
from hypothesis import strategies as st

from functions.notify.bounded_texts import MARK, Unit, bound_of, bounded_templates, cut
from functions.notify.http_kind import json_body
from shared.expressions import Expression

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200) | st.text("ab \n", max_size=400)
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
    assert (found == whole) == (len(whole.encode(encoding)) <= limit * width)
    assert found == whole or (found.endswith(MARK) and whole.startswith(found.removesuffix(MARK)))


@given(ANY_TEXT, st.integers(60, 300), st.sampled_from(sorted(ENCODINGS)))
def test_a_tail_is_kept_whole(text: str, limit: int, unit: Unit) -> None:
    encoding, width = ENCODINGS[unit]

    found = cut(text, limit, unit, "\nhttps://a.b")

    assert len(found.encode(encoding)) <= limit * width
    assert found.endswith("\nhttps://a.b")


def test_only_expressions_that_are_no_paths_are_bounded() -> None:
    path, computes = Expression("data.a"), Expression("length(data)")

    assert bound_of([path, path]) is nullcontext
    assert bound_of([path, computes]) is bounded_templates


@given(ANY_TEXT)
def test_a_body_is_utf_8_whatever_an_event_holds(text: str) -> None:
    assert json_body({"text": text}).decode()
