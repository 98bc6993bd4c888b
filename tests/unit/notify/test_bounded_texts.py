from hypothesis import given
from hypothesis import strategies as st

from functions.notify.bounded_texts import MARK, cut, cut_encoded, json_body

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@given(ANY_TEXT, st.integers(1, 300))
def test_a_cut_text_has_at_most_so_many_characters_and_begins_as_before(text: str, characters: int) -> None:
    found = cut(text, characters)

    assert len(found) <= characters
    assert text.startswith(found.removesuffix(MARK)) or found == text


@given(ANY_TEXT, st.integers(3, 300), st.sampled_from(["utf-8", "utf-16-le"]))
def test_a_cut_text_fits_its_bytes_and_can_always_be_encoded(text: str, size: int, encoding: str) -> None:
    found = cut_encoded(text, size, encoding)

    assert len(found.encode(encoding)) <= size


@given(ANY_TEXT)
def test_a_body_is_utf_8_whatever_an_event_holds(text: str) -> None:
    assert json_body({"text": text}).decode()
