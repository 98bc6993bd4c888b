"""The headers of a request by name."""

from hypothesis import given
from hypothesis import strategies as st

from shared.http import Request

NAMES = ("a", "b", "c")


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text("xy, ", max_size=3))))
def test_all_lines_of_a_name_are_joined_in_their_order(headers: list[tuple[str, str]]) -> None:
    request = Request("POST", "/", headers=tuple(headers))
    for name in NAMES:
        values = [value for each, value in headers if each == name]
        assert request.header(name.upper()) == (",".join(values) if values else None)
