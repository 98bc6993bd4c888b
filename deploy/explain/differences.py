"""The differences between two JSON values, as lines: `-` for what was there, `+` for what is there now."""

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
_ENCRYPTED: Final = re.compile(r"hc1(?:\.[\w-]+){2,3}|[\w-]+(?:\.[\w-]*){4}")
_PLAIN_KEY: Final = re.compile(r"[^\s.\[\]\"]{1,80}")


def differences(before: Json, after: Json, place: str = "") -> list[str]:
    """Return the differences; no line if the values are equal. `place` is the name of the whole value."""
    found = list(itertools.islice(_walk(before, after, place), MAX_LINES + 1))
    return [*found[:MAX_LINES], "…"] if len(found) > MAX_LINES else found


def missing(wanted: Json, found: Json, place: str = "") -> Iterator[str]:
    """Yield what `found` lacks of `wanted`. Objects may have further fields; lists have as many items."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            inner = _below(place, key)
            yield from missing(value, found[key], inner) if key in found else (line_of("-", inner, value),)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from missing(one, other, f"{place}[{number}]")
    elif not same(wanted, found):
        yield from (line_of("-", place, wanted), line_of("+", place, found))


def same(one: Json, other: Json) -> bool:
    """Return whether the values are equal in JSON: 1 equals 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one == ENCRYPTED and isinstance(other, str) and _ENCRYPTED.fullmatch(other) is not None)


def _walk(before: Json, after: Json, place: str) -> Iterator[str]:
    if before is after or same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
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
    old, new = ([to_json(item) for item in items] for items in (before, after))
    for what, first, end, start, stop in _opcodes(old, new):
        if what == "replace" and end - first == stop - start:
            for number in range(end - first):
                yield from _walk(before[first + number], after[start + number], f"{place}[{start + number}]")
        elif what != "equal":
            yield from (line_of("-", f"{place}[{number}]", before[number]) for number in range(first, end))
            yield from (line_of("+", f"{place}[{number}]", after[number]) for number in range(start, stop))


def _opcodes(old: list[str], new: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    counted = Counter(old)
    if sum(counted[item] for item in new) > MAX_EQUAL_PAIRS:
        return [("replace", 0, len(old), 0, len(new))]
    return difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()


def _below(place: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{place}[{to_json(key)}]"
    return f"{place}.{key}" if place else key


def line_of(mark: str, place: str, value: Json) -> str:
    text = to_json(value)
    cut = text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"
    return f"{mark} {place}: {cut}" if place else f"{mark} {cut}"
