import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transform.paths import Every, Part, PathFault, parse_path, with_value
from functions.transform.steps.shape import Drop, without
from shared.errors import Permanent
from shared.jsontext import Json
from tests.fakes.steps import data_after

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=10,
)
parts: st.SearchStrategy[Part] = st.sampled_from(["a", "b", 0, 1, Every()])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("data", ()),
        ("data.password", ("password",)),
        ("data.items[0].x", ("items", 0, "x")),
        ("data[10]", (10,)),
        ('data["a.b"].c', ("a.b", "c")),
        (r'data["\"é"]', ('"é',)),
        ('data[""]', ("",)),
        ("data.items[*].card-number", ("items", Every(), "card-number")),
    ],
)
def test_a_path_is_read_into_its_parts(text: str, parts: tuple[Part, ...]) -> None:
    path = parse_path(text)

    assert (path.root, path.parts) == ("data", parts)


@pytest.mark.parametrize("name", ["type", "subject", "actor"])
def test_an_attribute_that_steps_may_change_is_a_path(name: str) -> None:
    assert parse_path(name).root == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with 'data', or be one of type, subject, actor"),
        ("password", "must begin with 'data', or be one of type, subject, actor; did you mean 'data.password'?"),
        ("date.items[0]", "did you mean 'data.items[0]'?"),
        ("actr", "did you mean 'actor'?"),
        ("id", "must begin with 'data'"),
        ("actor.name", "must begin with 'data', or be one of type, subject, actor"),
        ("database", "column 5"),
        ("data.", "column 5"),
        ("data..x", "column 5"),
        ("data.a b", "column 7"),
        ("data[-1]", "column 5"),
        ("data[01]", "column 5"),
        ("data['a']", "column 5"),
        ('data["a]', "column 5"),
        (r'data["\x"]', "not a JSON string"),
        ("data." + "a" * 1_000, "at most 1000 characters"),
    ],
)
def test_a_faulty_path_is_rejected_with_its_place(text: str, message: str) -> None:
    with pytest.raises(PathFault) as caught:
        parse_path(text)

    assert message in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_a_fault(text: str) -> None:
    for candidate in (text, f"data{text}", f"data[{text}]", f"data.{text}"):
        try:
            assert parse_path(candidate).text == candidate
        except PathFault:
            continue


def test_taking_out_what_is_there_leaves_the_rest() -> None:
    value: Json = {"a": [{"x": 1, "y": 2}, {"x": 3}], "b": 1}

    assert without(value, ("a", Every(), "x")) == {"a": [{"y": 2}, {}], "b": 1}
    assert without(value, ("a", 0)) == {"a": [{"x": 3}], "b": 1}
    assert without(value, ("a", Every())) == {"a": [], "b": 1}
    assert without(value, ("b",)) == {"a": [{"x": 1, "y": 2}, {"x": 3}]}


@pytest.mark.parametrize("path", [("z",), ("b", "x"), ("a", 9), ("a", "x"), ("b", Every()), ("a", Every(), "z"), (0,)])
def test_taking_out_what_is_not_there_gives_the_very_same_value(path: tuple[Part, ...]) -> None:
    value: Json = {"a": [{"x": 1}], "b": 1}

    assert without(value, path) is value


def test_missing_objects_are_made_along_the_way() -> None:
    assert with_value(None, ("a", "b"), 1) == {"a": {"b": 1}}
    assert with_value({"a": None}, ("a", "b"), 1) == {"a": {"b": 1}}
    assert with_value({"a": [{"b": 0}, {}]}, ("a", Every(), "b"), 1) == {"a": [{"b": 1}, {"b": 1}]}
    assert with_value({"a": [1, 2]}, ("a", 1), 9) == {"a": [1, 9]}
    assert with_value("anything", (), 1) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("a", "b"), "data.a is text, not an object"),
        (("b", "x"), "data.b is a list, not an object"),
        (("b", 1), "data.b has 1 items; there is no [1]"),
        (("a", 0), "data.a is text, not a list"),
        (("c", Every()), "data.c is a boolean, not a list"),
        (("b", Every(), "x"), "data.b[0] is a number, not an object"),
    ],
)
def test_what_cannot_be_placed_says_where_and_what_kind_is_there(path: tuple[Part, ...], message: str) -> None:
    with pytest.raises(Permanent) as caught:
        with_value({"a": "hunter2", "b": [1], "c": True}, path, 1)

    assert (caught.value.code, caught.value.detail) == ("path_conflict", message)


@given(json_values, st.lists(parts, min_size=1, max_size=4))
def test_the_value_it_began_with_stays_as_it_was(value: Json, path: list[Part]) -> None:
    before = copy.deepcopy(value)

    without(value, tuple(path))
    with contextlib.suppress(Permanent):
        with_value(value, tuple(path), "new")

    assert value == before


@given(json_values, st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4))
def test_what_was_placed_can_be_taken_out(value: Json, path: list[str]) -> None:
    try:
        placed = with_value(value, tuple(path), "new")
    except Permanent:
        return

    assert "new" not in str(without(placed, tuple(path))) or "new" in str(value)


def test_of_a_list_items_are_dropped_as_they_were_before_the_step() -> None:
    dropped = data_after(
        Drop, ["data.a[0]", "data.a[1].x", "data.a[3]", "data.a[2]", "actor"], {"a": [1, {"x": 1}, 2, 3, 4]}
    )

    assert dropped == {"a": [{}, 4]}
