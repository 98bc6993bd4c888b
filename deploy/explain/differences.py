"""The differences between two JSON values, as lines for people.

From `{"a": {"b": 1}, "c": [1, 2]}` to `{"a": {"b": 2}, "c": [2]}` they are `- a.b: 1`, `+ a.b: 2` and `- c[0]: 1`.
A line begins with a mark, `-` for what was there or `+` for what is there now. A place follows: the path to the value.
"""

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from shared.jsontext import Json, to_json

MAX_LINES: Final = 200
MAX_VALUE_CHARACTERS: Final = 300
MAX_ITEMS: Final = 1_000
MAX_EQUAL_PAIRS: Final = 5_000
"""The limit for pairs of equal items in two lists. Matching compares each pair many times: two lists of a thousand
zeros would take a minute."""
ENCRYPTED: Final = "<encrypted>"
"""In what a test expects, it stands for any text that the step `encrypt` makes: no two of them are the same."""
_CIPHERTEXT: Final = re.compile(r"hc1(?:\.[\w-]+){2,3}|[\w-]+(?:\.[\w-]*){4}")
"""A text of `encrypt`: `hc1.2026-03.AAEC.ZUWU`, or a JWE of five parts such as `eyJh.AAAA.BBBB.CCCC.DDDD`."""
_PLAIN_KEY: Final = re.compile(r"[^\s.\[\]\"]{1,80}")
"""A key that can stand in a path without quotes."""


def differences(before: Json, after: Json, place: str = "") -> list[str]:
    """Return the differences; no line if the values are equal. `place` is the name of the whole value."""
    lines = list(itertools.islice(_walk(before, after, place), MAX_LINES + 1))
    return [*lines[:MAX_LINES], "…"] if len(lines) > MAX_LINES else lines


def missing(wanted: Json, found: Json, place: str = "") -> Iterator[str]:
    """Yield what `found` lacks of `wanted`. An object may have further fields; a list must have the same length."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key in found:
                yield from missing(value, found[key], _below(place, key))
            else:
                yield line_of("-", _below(place, key), value)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (wanted_item, found_item) in enumerate(zip(wanted, found, strict=True)):
            yield from missing(wanted_item, found_item, f"{place}[{number}]")
    elif not same(wanted, found):
        yield line_of("-", place, wanted)
        yield line_of("+", place, found)


def same(expected: Json, found: Json) -> bool:
    """Return whether the values are equal in JSON: 1 equals 1.0, but not true. ENCRYPTED equals any encrypted text."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(same(expected[key], found[key]) for key in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    if expected == ENCRYPTED and isinstance(found, str) and _CIPHERTEXT.fullmatch(found):
        return True
    return expected == found


def _walk(before: Json, after: Json, place: str) -> Iterator[str]:
    if before is after or same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            inner = _below(place, key)
            if key not in after:
                yield line_of("-", inner, before[key])
            elif key not in before:
                yield line_of("+", inner, after[key])
            else:
                yield from _walk(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list) and max(len(before), len(after)) <= MAX_ITEMS:
        yield from _walk_items(before, after, place)
    else:
        yield line_of("-", place, before)
        yield line_of("+", place, after)


def _walk_items(before: list[Json], after: list[Json], place: str) -> Iterator[str]:
    """Compare two lists. Items that only moved, because another one was added or removed, are not reported."""
    opcodes = _opcodes([to_json(item) for item in before], [to_json(item) for item in after])
    for tag, before_start, before_end, after_start, after_end in opcodes:
        if tag == "equal":
            continue
        removed = before[before_start:before_end]
        added = after[after_start:after_end]
        if len(removed) == len(added):  # as many items as before: each was changed where it stands
            for number, (old, new) in enumerate(zip(removed, added, strict=True), after_start):
                yield from _walk(old, new, f"{place}[{number}]")
        else:
            yield from (line_of("-", f"{place}[{number}]", item) for number, item in enumerate(removed, before_start))
            yield from (line_of("+", f"{place}[{number}]", item) for number, item in enumerate(added, after_start))


def _opcodes(before: list[str], after: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """Return the steps from one list to the other, as difflib's get_opcodes does."""
    before_counts = Counter(before)
    if sum(before_counts[item] for item in after) > MAX_EQUAL_PAIRS:
        return [("replace", 0, len(before), 0, len(after))]
    return difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _below(place: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{place}[{to_json(key)}]"
    return f"{place}.{key}" if place else key


def line_of(mark: str, place: str, value: Json) -> str:
    text = to_json(value)
    cut = text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"
    return f"{mark} {place}: {cut}" if place else f"{mark} {cut}"
