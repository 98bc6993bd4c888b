"""YAML bodies: anchors, aliases, merge keys and limits."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.jsontext import Json
from tests.unit.shared.yaml_bodies import parsed, rejection


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
        ("- &a k\n- {*a : 1}", ["k", {"k": 1}]),
        ("- &a 1\n- &a 2\n- *a", [1, 2, 2]),
        ("&a [&b 1, *b]", [1, 1]),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        (
            "- &a {x: 1}\n- &b {x: 2, y: 2}\n- <<: [*a, *b, {z: 3}]",
            [{"x": 1}, {"x": 2, "y": 2}, {"x": 1, "y": 2, "z": 3}],
        ),
        ("{<<: {a: 1}, b: 2}", {"b": 2, "a": 1}),
        ("'<<': 1", {"<<": 1}),
        ("<<: {}", {}),
    ],
)
def test_aliases_and_merge_keys_bring_what_they_stand_for(body: str, value: Json) -> None:
    assert parsed(body) == value


def test_an_alias_is_a_copy() -> None:
    data = parsed("- &a {x: [1]}\n- *a\n- <<: *a")
    assert isinstance(data, list)
    first, second, third = data
    assert isinstance(first, dict)
    assert first is not second
    first["x"] = "changed"
    assert second == third == {"x": [1]}


@pytest.mark.parametrize(
    "body",
    [
        bomb("[x, x, x, x, x, x, x, x, x]", "[{}]", 9),
        bomb("lol", "[{}]", 11),
        bomb("lol", "[{}]", 99, levels=3),
        bomb("{k: v}", "{{<<: [{}]}}", 9),
        bomb("{k: v}", "{{<<: [{}]}}", 99, levels=3),
        bomb("{k: v}", "{{x: [{}]}}", 9),
        "a: &a " + "x" * 500_000 + "\nb: [" + "*a, " * 100 + "]",
        "&a [*a]",
        "a: &a {b: *a}",
        "&a {<<: *a}",
        "- &a 1\n" + "- *a\n" * 250_000,
    ],
)
def test_what_stands_for_too_much_is_rejected(body: str) -> None:
    assert rejection(body) == "expanded_too_large"


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
        ("<<:", "invalid_key"),
    ],
)
def test_a_merge_key_takes_objects_and_stands_once(body: str, code: str) -> None:
    assert rejection(body) == code


@pytest.mark.parametrize("count", [65, 1_000, 30_000, 1_000_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{x: ", "[\n", "- - ? "])
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


def test_sixty_four_levels_are_accepted_and_one_more_is_not() -> None:
    assert parsed("[" * 64 + "]" * 64)
    assert rejection("[" * 65 + "]" * 65) == "nested_too_deeply"


def test_values_and_keys_are_counted() -> None:
    assert parsed("- a\n" * 249_999) == ["a"] * 249_999
    assert rejection("- a\n" * 250_000) == "too_many_values"
    assert rejection("- {a: b}\n" * 100_000) == "too_many_values"
    assert rejection("".join(f"k{number}: 1\n" for number in range(10_001))) == "too_many_values"
    assert rejection(f"? {'k' * 65_537}\n: 1") == "too_many_values"


def test_tag_directives_that_would_be_compared_with_one_another_are_rejected() -> None:
    assert (
        rejection("".join(f"%TAG !t{number}! tag:yaml.org,2002:\n" for number in range(100_000)) + "--- 1")
        == "tag_not_allowed"
    )
    assert rejection("\r".join(f"%TAG !t{number}! x" for number in range(100_000)) + "\r--- 1") == "tag_not_allowed"
