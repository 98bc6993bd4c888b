"""YAML bodies: the core schema, documents, keys and text."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st

from shared.jsontext import Json, list_at
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused

YAML = "application/yaml"


parsed = partial(format_outcomes.parsed, content_type=YAML)
rejection = partial(format_outcomes.rejection, content_type=YAML)


SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5, max_key_characters=10, max_expanded_characters=100)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("[?x]", [{"x": None}]),
        ("{ ?foo: bar }", {"foo": "bar"}),
        ("key: &an:chor value", {"key": ":chor value"}),
        ("foo: |\n  x\n   ", {"foo": "x\n "}),
    ],
)
def test_the_four_values_that_differ_from_yaml_1_2_are_as_the_page_says(body: str, value: Json) -> None:
    assert parsed(body) == value
    page = (Path(__file__).parents[3] / "functions" / "receive" / "README.md").read_text(encoding="utf-8")
    assert "\n" in body or f"| `{body}` | `{json.dumps(value)}` |" in page


@pytest.mark.parametrize(
    "body", [": a", "-\t-1", "{x: :x}", "{foo\n: bar}", "%FOO bar\n---\na", "a\n...\nb: c", "# a\n"]
)
def test_valid_yaml_that_the_page_names_as_rejected_is(body: str) -> None:
    assert rejection(body) == "malformed_body"


@pytest.mark.parametrize("body", ["[-]", "[ a ]#b", "a:\n  b: [c,\nd]"])
def test_invalid_yaml_that_the_page_names_as_accepted_is(body: str) -> None:
    parsed(body)


SCALARS: list[tuple[str, Json]] = [
    *((word, word) for word in ("yes", "no", "on", "Yes", "y", "TrUe", "none", "0b101", "1_000", "190:20:30", "0o8")),
    *((word, word) for word in ("-0x1", "1,000", "0x", "2001-12-14", "1.2.3", ".", "e3", "1e", "-.", "=")),
    *((word, True) for word in ("true", "True", "TRUE")),
    *((word, False) for word in ("false", "False", "FALSE")),
    *((word, None) for word in ("null", "Null", "NULL", "~")),
    *(("0", 0), ("-17", -17), ("+17", 17), ("017", 17), ("0o17", 15), ("0x1F", 31), ("9" * 4_300, int("9" * 4_300))),
    *(("1.5", 1.5), ("-1.5e3", -1500.0), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("+1E-2", 0.01)),
    *(("'1'", "1"), ('"\\u263a\\n"', "☺\n"), ("! 1", "1"), ("|-\n  1", "1"), (">-\n a\n b", "a b")),
    *(("!!str 1", "1"), ("!!int '1'", 1), ("!!float 1", 1.0), ("!!bool 'true'", True), ("!!null ''", None)),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_means_what_the_core_schema_says(text: str, value: Json) -> None:
    found = parsed(f"a: {text}\n")
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("a: 1\nb:\n  - x\n  - {c: d}\n", {"a": 1, "b": ["x", {"c": "d"}]}),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
        ("plain words", "plain words"),
        ("--- 1\n...\n", 1),
        ("%YAML 1.2\n---\na: yes\n", {"a": "yes"}),
        ("{a, b: c}", {"a": None, "b": "c"}),
        ('{"json": [1, 2.5, true, null, "x"]}', {"json": [1, 2.5, True, None, "x"]}),
        ("%TAG !c! tag:yaml.org,2002:\n--- !c!str 1", "1"),
    ],
)
def test_documents_become_data(body: str, value: Json) -> None:
    assert parsed(body) == value


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *((key, key) for key in ("1", "0x1F", "1.50", "true", "~", "yes", "2001-12-14")),
        ("'a b'", "a b"),
        ("!!str 1", "1"),
    ],
)
def test_a_key_is_named_as_it_is_written(key: str, name: str) -> None:
    assert parsed(f"{key}: x") == {name: "x"}


@pytest.mark.parametrize(
    "body",
    [
        *("!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!binary aGk=", "!!set {a}"),
        *("!!omap [a: 1]", "!!timestamp 2001-12-14", "!custom 1", "a: !custom [1]", "!<tag:example.com,2020:x> 1"),
        *(
            "!!int a",
            "!!float 0x1F",
            "!!float 0o17",
            "!!bool yes",
            "!!seq {}",
            "!!map []",
            "!!merge '<<'",
            "{!!python/none a: 1}",
            "!!Str a",
        ),
        "%TAG ! tag:example.com,2020:\n--- !x 1",
    ],
)
def test_any_other_tag_is_rejected(body: str) -> None:
    assert rejection(body) == "tag_not_allowed"


@pytest.mark.parametrize(
    "body", ["[a]: 1", "? [a]\n: 1", "? {a: b}\n: 1", "{[a, b]: c}", "- &a [1]\n- {*a : 1}", "? - a\n: b"]
)
def test_a_key_that_is_no_scalar_is_rejected(body: str) -> None:
    assert rejection(body) == "invalid_key"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"# nothing\n", b"...\n", b"a: b: c", b"a: [1", b"{a", b"a\n b: c", b"'a", b"\ta: 1", b"@a", b"a: *"),
        b"%a",
        *(b"a: |x\n b", b'"\\x"', b'"\\ud800"', b"%YAML 9.1\n--- 1", b"]", b"!%FF 1", b"!<a", b"\xff", b"a\0b"),
        b"\x01",
    ],
)
def test_what_is_no_yaml_does_not_parse(body: bytes) -> None:
    assert rejection(body) == "malformed_body"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab:#é-\n 01"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
)


@given(JSON_VALUES)
def test_what_an_independent_writer_writes_comes_out_as_it_was(value: Json) -> None:
    assert parsed(yaml.safe_dump({"value": value})) == {"value": value}


def test_characters_that_json_writes_as_two_surrogates_come_out_as_they_were() -> None:
    assert parsed(r'{"a": "\ud83d\ude00"}') == {"a": "\U0001f600"}
    assert rejection(r'{"a": "\ud83d\ude00", }}') == "malformed_body"
    assert rejection(r'a: "\ud83d\ude00"') == "malformed_body"


@given(st.binary(max_size=200) | st.text("ab:-[]{},&*!|>'\"%#?<\\ \n\t01.ex~", max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, YAML, SMALL)


def bomb(first: str, level: str, aliases: int, levels: int = 9) -> str:
    """Each level is `level` with `*` of the level before, so many times."""
    lines = [f"a: &a0 {first}"]
    for number in range(1, levels + 1):
        lines.append(f"{'a' * (number + 1)}: &a{number} " + level.format(", ".join([f"*a{number - 1}"] * aliases)))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("- &a {x: [1]}\n- *a\n- *a", [{"x": [1]}] * 3),
        ("a: &a 1\nb: *a", {"a": 1, "b": 1}),
        ("- &a 1\n- &a 2\n- *a", [1, 2, 2]),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        (
            "- &a {x: 1}\n- &b {x: 2, y: 2}\n- <<: [*a, *b, {z: 3}]",
            [{"x": 1}, {"x": 2, "y": 2}, {"x": 1, "y": 2, "z": 3}],
        ),
        ("{<<: {a: 1}, b: 2}", {"b": 2, "a": 1}),
        ("'<<': 1", {"<<": 1}),
    ],
)
def test_aliases_and_merge_keys_bring_what_they_stand_for(body: str, value: Json) -> None:
    assert parsed(body) == value


def test_an_alias_is_a_copy() -> None:
    data = list_at(parsed("- &a {x: [1]}\n- *a\n- <<: *a"))
    first, second, third = data
    assert isinstance(first, dict)
    assert first is not second
    first["x"] = "changed"
    assert second == third == {"x": [1]}


@pytest.mark.parametrize(
    "body",
    [
        bomb("[x, x, x, x, x, x, x, x, x]", "[{}]", 9),
        bomb("lol", "[{}]", 99, levels=3),
        bomb("{k: v}", "{{<<: [{}]}}", 9),
        "a: &a " + "x" * 500_000 + "\nb: [" + "*a, " * 100 + "]",
        "&a [*a]",
        "&a {<<: *a}",
    ],
)
def test_what_stands_for_too_much_is_rejected(body: str) -> None:
    assert rejection(body) == "expanded_too_large"


def test_each_alias_counts_as_a_value() -> None:
    assert rejection("- &a 1\n" + "- *a\n" * 20, limits=SMALL) == "expanded_too_large"


def test_depth_counts_what_an_alias_stands_for() -> None:
    deep = "- &a " + "[" * 40 + "]" * 40 + "\n- "
    assert parsed(deep + "[" * 23 + "*a" + "]" * 23)
    assert rejection(deep + "[" * 24 + "*a" + "]" * 24) == "nested_too_deeply"


@pytest.mark.parametrize("body", ["*a", "- *a\n- &a 1", "{<<: *a}"])
def test_an_alias_of_nothing_does_not_parse(body: str) -> None:
    assert rejection(body) == "malformed_body"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<<: 1", "invalid_key"),
        ("<<: [1]", "invalid_key"),
        ("{<<: {}, <<: {}}", "duplicate_key"),
    ],
)
def test_a_merge_key_takes_objects_and_stands_once(body: str, code: str) -> None:
    assert rejection(body) == code


@pytest.mark.parametrize("count", [65, 1_000_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{x: ", "- - ? "])
def test_deep_nests_are_rejected_however_they_are_written(opening: str, count: int) -> None:
    assert rejection((opening * count)[: 5 * 2**20]) == "nested_too_deeply"


def test_a_deep_nest_ends_no_process(root: Path) -> None:
    """PyYAML's C loader dies of this one, past any exception."""
    script = (
        "from shared.errors import Rejected\nfrom shared.formats.parse import parse_body\n"
        "try: parse_body(b'['*30_000 + b']'*30_000, 'application/yaml')\nexcept Rejected as error: print(error.code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "nested_too_deeply\n")


def test_values_and_keys_are_counted() -> None:
    assert parsed("- a\n" * 19, limits=SMALL) == ["a"] * 19
    assert rejection("- a\n" * 20, limits=SMALL) == "too_many_values"
    assert rejection("".join(f"k{number}: 1\n" for number in range(6)), limits=SMALL) == "too_many_values"
    assert rejection(f"? {'k' * 11}\n: 1", limits=SMALL) == "too_many_values"


def test_tag_directives_that_would_be_compared_with_one_another_are_rejected() -> None:
    for end in ("\n", "\r"):
        many = "".join(f"%TAG !t{number}! tag:yaml.org,2002:{end}" for number in range(100_000))
        assert rejection(f"{many}--- 1") == "tag_not_allowed"
