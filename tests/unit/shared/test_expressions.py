import contextlib
from typing import Final

import jmespath
import pytest
from hypothesis import given, strategies as st

from shared.errors import Permanent
from shared.expressions import Expression, ExpressionFault, is_true
from shared.jsontext import Json

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("data.plan = 'free'", "column 11: '=' is not expected there; `==` compares"),
        ("data.total > 10", "column 14: 10 is not expected there; write a number in backticks: `10`"),
        ("data.a and data.b", "column 8: 'and' is not expected there; `&&` is and"),
        ("data.a && data['first-name'] == 'x'", 'in double quotes: data."first-name"'),
        ("data.first-name", "write a name with other characters in double quotes"),
        ("data.a in ['b']", "'in' is not expected there; contains(LIST, VALUE) is in"),
        ("data.a =~ 'b.*'", "'=' is not expected there; there are no regular expressions"),
        ("lower(data.a)", "no function 'lower', and none that changes or matches parts of a text"),
        ("len(data)", "JMESPath has no function 'len'; did you mean length()?"),
        ("lenght(data)", "JMESPath has no function 'lenght'; did you mean length()?"),
        ("data[?starts_with(ref)]", "starts_with() takes 2 arguments; found 1"),
        ("(" * 3_000 + "a" + ")" * 3_000, "at most 4096 characters"),
        ("(" * 2_000 + "a" + ")" * 2_000, "nested too deeply"),
    ],
)
def test_a_faulty_expression_is_rejected_when_it_is_compiled(text: str, message: str) -> None:
    with pytest.raises(ExpressionFault) as caught:
        Expression(text)

    assert message in str(caught.value)
    assert message in caught.value.reason
    assert repr(text) not in caught.value.reason


@pytest.mark.parametrize(
    "text", ["contains(data, 'x')", "ceil(to_number('inf'))", "sum(data)", "contains('text', `1`)", "data2[::0]"]
)
def test_what_cannot_be_computed_is_permanent_and_says_nothing_of_the_value(text: str) -> None:
    with pytest.raises(Permanent) as caught:
        Expression(text).search({"data": {"hunter2": "hunter2"}, "data2": ["hunter2"]})

    assert caught.value.code == "expression_failed"
    assert "hunter2" not in str(caught.value)


def test_a_join_that_makes_a_very_long_text_is_rejected_before_it_is_made() -> None:
    join = Expression("join(data.separator, data.texts)")

    assert join.search({"data": {"separator": ", ", "texts": ["a", "b"]}}) == "a, b"
    with pytest.raises(Permanent, match="it has no result for these values"):
        join.search({"data": {"separator": "-" * 100_000, "texts": ["x"] * 100}})
    with pytest.raises(Permanent, match="it has no result for these values"):
        join.search({"data": {"separator": "", "texts": ["x" * 100_000] * 100}})


@given(json_values)
def test_no_value_makes_an_expression_raise_anything_else(value: Json) -> None:
    functions = ("sort_by(@, &a)", "join(',', @)", "max(@)", "avg(@)", "to_number(@)", "floor(@)", "to_string(@)")
    for text in (*functions, "map(&length(@), @)", "@ > `1` && @[?a < `2`]", "merge(@, @)", "reverse(@)"):
        with contextlib.suppress(Permanent):
            Expression(text).search(value)


@pytest.mark.parametrize(
    ("value", "truth"),
    [(None, False), (False, False), ("", False), ([], False), ({}, False), (0, True), (True, True), ("no", True)],
)
def test_truth_is_jmespaths_own(value: Json, truth: bool) -> None:
    assert is_true(value) is truth


GOLD: Final = "text is in single quotes: 'gold'; or did you mean 'data.gold'? There are data, type"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("typ == 'order'", "there is no 'typ'; did you mean 'type'? There are data, type"),
        ("total == 'order'", "there is no 'total'; did you mean 'data.total'? There are data, type"),
        ("data.plan == gold", f"there is no 'gold'; {GOLD}"),
        ("{a: gold}", f"there is no 'gold'; {GOLD}"),
        (
            "payload.plan == 'gold'",
            "there is no 'payload'; did you mean 'data', which is the body? There are data, type",
        ),
        ('data.plan == "gold"', "there is no 'gold'; write text in single quotes: 'gold'"),
        ("data.paid == true", "there is no 'true'; `true`, in backticks, is the value"),
    ],
)
def test_a_name_that_can_never_be_there_is_rejected_with_what_was_likely_meant(text: str, meant: str) -> None:
    with pytest.raises(ExpressionFault) as caught:
        Expression(text, {"data", "type"})

    assert str(caught.value) == f"{text!r}: {meant}"
    assert caught.value.reason == meant


@given(st.lists(st.sampled_from(["a", "data", '"first name"', '"ü"']), min_size=1, max_size=4), json_values)
def test_a_path_finds_what_the_interpreter_finds(names: list[str], value: Json) -> None:
    text = ".".join(names)
    nested: Json = value
    for name in reversed(names):
        nested = {name.strip('"'): nested, "other": value}
    path = Expression(text)

    assert path.is_path
    for searched in (value, nested):
        found, expected = path.search(searched), jmespath.search(text, searched)
        assert found is expected
