"""YAML bodies: the core schema, documents, keys and text."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shared.jsontext import Json, to_json
from shared.limits import DEFAULT
from tests.unit.shared.format_outcomes import assert_taken_or_refused
from tests.unit.shared.yaml_bodies import YAML, parsed, rejection

SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5, max_key_characters=10, max_expanded_characters=100)


def test_libyaml_is_there() -> None:
    """Without it there is no parser that is fast enough: PyYAML's own takes seconds for a megabyte."""
    assert yaml.__with_libyaml__


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("yes", "no", "on", "off", "Yes", "NO", "y", "n", "TrUe", "nULL", "none")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("null", "Null", "NULL", "~")),
        *(
            ("0", 0),
            ("-17", -17),
            ("+17", 17),
            ("017", 17),
            ("0o17", 15),
            ("0x1F", 31),
            ("9" * 4_300, int("9" * 4_300)),
        ),
        *(
            (text, text)
            for text in ("0b101", "1_000", "190:20:30", "12:30", "0o8", "0xg", "-0x1", "+0o1", "1,000", "0x")
        ),
        *(
            ("1.5", 1.5),
            ("-1.5e3", -1500.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("1e3", 1000.0),
            ("+1E-2", 0.01),
            ("1.e1", 10.0),
        ),
        *(
            (text, text)
            for text in ("2001-12-14", "2001-12-14t21:59:43.10-05:00", "1.2.3", ".", "e3", "1e", "+", "-.", "=")
        ),
        *(
            ("'1'", "1"),
            ('"true"', "true"),
            ("''", ""),
            ('"\\u263a\\n"', "☺\n"),
            ("! 1", "1"),
            ("|-\n  1", "1"),
            (">-\n a\n b", "a b"),
        ),
        *(
            ("!!str 1", "1"),
            ("!!int '1'", 1),
            ("!!float 1", 1.0),
            ("!!bool 'true'", True),
            ("!!null ''", None),
            ("!!str", ""),
        ),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(text: str, value: Json) -> None:
    found = parsed(f"a: {text}\n")
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("a: 1\nb:\n  - x\n  - {c: d}\n", {"a": 1, "b": ["x", {"c": "d"}]}),
        ("[]", []),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
        ("plain words", "plain words"),
        ("--- 1\n...\n", 1),
        ("%YAML 1.2\n---\na: yes\n", {"a": "yes"}),
        ("a:\nb: ", {"a": None, "b": None}),
        ("{a, b: c}", {"a": None, "b": "c"}),
        ("# only\na: 1 # this\n", {"a": 1}),
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
    "text", [".nan", ".NaN", ".inf", "-.inf", "+.INF", "1e400", "9" * 4_301, "9" * 5_000, "0x" + "f" * 4_300]
)
def test_a_number_that_json_cannot_hold_is_rejected(text: str) -> None:
    assert rejection(f"a: {text}") == "number_out_of_range"
    assert rejection(text) == "number_out_of_range"


@pytest.mark.parametrize(
    "body",
    [
        *(
            "!!python/object/apply:os.system ['true']",
            "!!python/name:os.system",
            "!!python/none",
            "!!binary aGk=",
            "!!set {a}",
        ),
        *(
            "!!omap [a: 1]",
            "!!pairs [a: 1]",
            "!!timestamp 2001-12-14",
            "!custom 1",
            "!custom {}",
            "a: !custom [1]",
            "!c : 1",
        ),
        *(
            "!<tag:example.com,2020:x> 1",
            "!!int a",
            "!!int 1.5",
            "!!bool yes",
            "!!null a",
            "!!seq {}",
            "!!map []",
            "!!str []",
        ),
        *(
            "!!map a",
            "{!!python/none a: 1}",
            "!!float a",
            "!!merge '<<'",
            "%TAG ! tag:example.com,2020:\n--- !x 1",
            "!!Str a",
        ),
    ],
)
def test_any_other_tag_is_rejected(body: str) -> None:
    assert rejection(body) == "tag_not_allowed"


@pytest.mark.parametrize("body", ["--- 1\n--- 2\n", "a: 1\n---\nb: 1\n", "---\n---\n", "---\n" * 100_000])
def test_a_second_document_is_rejected(body: str) -> None:
    assert rejection(body) == "multiple_documents"


@pytest.mark.parametrize(
    "body", ["a: 1\na: 2", "{a: 1, 'a': 2}", "1: a\n'1': b", "[{x: {a: 1, b: 2, a: 3}}]", "~: 1\n~: 2"]
)
def test_a_key_twice_is_rejected(body: str) -> None:
    assert rejection(body) == "duplicate_key"


@pytest.mark.parametrize(
    "body", ["[a]: 1", "? [a]\n: 1", "? {a: b}\n: 1", "{[a, b]: c}", "- &a [1]\n- {*a : 1}", "? - a\n: b"]
)
def test_a_key_that_is_no_scalar_is_rejected(body: str) -> None:
    assert rejection(body) == "invalid_key"


@pytest.mark.parametrize(
    "body", ["é: ☺".encode(), "é: ☺".encode("utf-16"), b"\xef\xbb\xbf" + "é: ☺".encode(), "é: ☺".encode("utf-32")]
)
def test_a_byte_order_mark_says_the_encoding(body: bytes) -> None:
    assert parsed(body) == {"é": "☺"}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"# nothing\n", b"\n\n", b"...\n"),
        *(
            b"a: b: c",
            b"a: [1",
            b"{a",
            b"a\n b: c",
            b"- a\nb",
            b"'a",
            b'"a',
            b"\ta: 1",
            b"@a",
            b"`a",
            b"a: *",
            b"a\n...\nb\n",
            b"%a",
        ),
        *(
            b"a: |x\n b",
            b'"\\x"',
            b'"\\ud800"',
            b"%YAML 9.1\n--- 1",
            b"]",
            b"}",
            b"a: ]",
            b"!%ED%A0%80 1",
            b"!%FF 1",
            b"!<a",
        ),
        *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"a\0b", b"\x01", b"\xff\xfe\x00", b"a: \x7f\x00"),
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


@given(JSON_VALUES)
def test_json_is_yaml(value: Json) -> None:
    assert parsed(to_json({"value": value})) == {"value": value}


def test_characters_that_json_writes_as_two_surrogates_come_out_as_they_were() -> None:
    assert parsed(r'{"a": "\ud83d\ude00"}') == {"a": "\U0001f600"}
    assert rejection(r'{"a": "\ud83d\ude00", }}') == "malformed_body"
    assert rejection(r'a: "\ud83d\ude00"') == "malformed_body"


@given(st.binary(max_size=200) | st.text("ab:-[]{},&*!|>'\"%#?<\\ \n\t01.ex~", max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, YAML, SMALL)
