"""Redaction: mask fields, card numbers and mail addresses."""

import itertools
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Final

from functions.transform.paths import (
    DataPath,
    Every,
    MaybeJson,
    Missing,
    MissingPaths,
    Path,
    parse_path,
    update,
    with_attribute,
)
from functions.transform.step import Example, Noted, Settings, Step, StepContext
from shared.config.rules import LISTED, limits, verified_by
from shared.event import Event
from shared.jsontext import Json, to_json

MASK: Final = "***"
# RFC 6531 allows characters of any script on both sides, but text without spaces has its own punctuation.
_PUNCTUATION: Final = (
    r"\u00a1\u00ab\u00bb\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u301f"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff3d\uff5b-\uff65"
)
# RFC 5321, section 4.1.2: a dot-string of the characters of RFC 5322's `atext`, which are all but these, or a quoted
# string.
_UNQUOTED: Final = rf'[^\s\x00-\x1f\x7f"(),:;<>@\[\\\]{_PUNCTUATION}]'
_LOCAL_PART: Final = rf'(?:{_UNQUOTED}++|"(?:[^"\\]|\\.){{1,64}}+")'
_LABEL: Final = rf"[^\s\x00-,./:-@\[-^`{{-\x7f{_PUNCTUATION}]{{1,63}}"
_DOMAIN: Final = rf"(?>{_LABEL}(?:[.\u3002\uff0e\uff61]{_LABEL}){{1,8}}|\[(?:IPv6:)?[0-9A-Fa-f:.]{{2,45}}\])"
# What another `@` follows is no domain: of `a@b.example.c@d.example`, all before the last `@` is masked.
_ADDRESS: Final = rf"{_LOCAL_PART}@(?:{_DOMAIN}@)*(?P<domain>{_DOMAIN})"
# A search begins only where such a run of characters begins, so that its time grows with the text alone. A local part
# may also begin where the domain of another address ends: `?from=a@b.example&to=c@d.example`.
_NEXT_ADDRESS: Final = re.compile(rf'(?:(?<!{_UNQUOTED})|(?=")){_ADDRESS}')
_ADDRESS_HERE: Final = re.compile(_ADDRESS)
# Pages and word processors put non-breaking and narrow spaces, hyphens and dashes between the groups of a card number.
# A full stop counts only between groups of four to six digits, as cards have them, because amounts (1.234.567) and
# times (1772366400.000247) have full stops too.
_AFTER_CARD_GROUP: Final = "|".join(rf"(?<=(?<![0-9])[0-9]{{{digits}}}\.)" for digits in (4, 5, 6))
_FULL_STOP: Final = rf"\.(?:{_AFTER_CARD_GROUP})(?=[0-9]{{4,6}}(?![0-9]))"
_BETWEEN_DIGITS: Final = rf"(?:[ \u00a0\u2009\u202f\u2010-\u2015-]|{_FULL_STOP})"
_FEWEST_DIGITS: Final = 13
_MOST_DIGITS: Final = 19
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN_DIGITS}?[0-9]){{{_FEWEST_DIGITS - 1},}}+")
_GROUP: Final = re.compile("[0-9]+")
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_ALL_BUT_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
_DOUBLED: Final = bytes.maketrans(bytes(range(10)), bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
"""The sum of the digits of twice each digit."""

Span = tuple[int, int]
"""Start and end in the text."""


def _redactable(text: str) -> str:
    """Return the path as it is written. Raises ValueError for `type`, which every event must have."""
    path = parse_path(text)
    if path.root == "type":
        raise ValueError("'type' cannot be redacted")
    return text


RedactPath = Annotated[str, verified_by(_redactable)]


class Redact(Settings, Step):
    """A path, a list of paths, or {paths, cards, emails, within, mask, keep_last}.

    paths      one path, or a list. Each value is masked as a whole; null and missing values stay as they are
    cards      mask the numbers of payment cards in texts, numbers and the names of fields (default: false). One has 13
               to 19 digits with a right check digit, perhaps in groups with spaces or hyphens between them, or with
               full stops between groups of 4 to 6 digits. A number that goes on in another line stays
    emails     mask mail addresses, except for the domain, in texts and the names of fields (default: false).
               All that RFC 5321 allows before the `@` is masked: `to=ada@example.com` becomes `***@example.com`. An
               address without a dot in its domain, such as `root@localhost`, stays
    within     paths that `cards` and `emails` search (default: all of `data`, the subject and the actor)
    mask       the text that replaces a value (default: `***`)
    keep_last  how many characters at the end of a masked value stay readable (default: 0)
    """

    summary: ClassVar[str] = "Mask the values at paths, card numbers and mail addresses."
    example: ClassVar[Example] = Example(
        settings={"paths": ["data.password"], "cards": True, "emails": True, "keep_last": 4},
        before={"password": "hunter2hunter2", "note": "ada@example.com paid with 4111 1111 1111 1111", "n": 12},
        after={"password": "***ter2", "note": "***@example.com paid with ***1111", "n": 12},
    )

    short_form: ClassVar[str] = "paths"
    short_form_lists: ClassVar[bool] = True

    paths: Annotated[Sequence[RedactPath], LISTED] = ()
    cards: bool = False
    emails: bool = False
    within: Annotated[Sequence[DataPath], LISTED, limits(min_length=1)] | None = None
    mask: Annotated[str, limits(max_length=100)] = MASK
    keep_last: Annotated[int, limits(ge=0, le=8)] = 0

    def prepare(self) -> None:
        if not (self.paths or self.cards or self.emails):
            raise ValueError("set `paths`, `cards: true` or `emails: true`")
        paths = _outermost(parse_path(text) for text in self.paths)
        self._attributes = [path for path in paths if path.root != "data"]
        self._changes = [(path, path, self._mask_whole) for path in paths if path.root == "data"]
        self._within = [parse_path(text) for text in self.within or ["data"]]
        self._missing = MissingPaths()

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        for path in self._attributes:
            event = self._mask_attribute(event, path)
        masked = self._missing.updated(event, self._changes, "nothing is masked there")
        if isinstance(masked, Noted):
            return Noted(self._with_masked_texts(masked.event), masked.note)
        return self._with_masked_texts(masked)

    def _with_masked_texts(self, event: Event) -> Event:
        """Return the event with card numbers and mail addresses masked, as the settings say."""
        if not self.cards and not self.emails:
            return event
        for path in self._within:
            event = update(event, path, self._mask_texts)
        if self.within is None:
            subject, actor = event.subject, event.actor
            event = replace(
                event,
                subject=None if subject is None else self._mask_text(subject),
                actor=None if actor is None else self._mask_text(actor),
            )
        return event

    def _mask_attribute(self, event: Event, path: Path) -> Event:
        value = event.subject if path.root == "subject" else event.actor
        if value is None:
            return event
        return with_attribute(event, path, mask_value(value, self.mask, self.keep_last))

    def _mask_whole(self, value: MaybeJson, _: str) -> MaybeJson:
        if value is None or isinstance(value, Missing):
            return value
        return mask_value(value, self.mask, self.keep_last)

    def _mask_texts(self, value: MaybeJson, _: str) -> MaybeJson:
        return value if isinstance(value, Missing) else mask_everywhere(value, self._mask_text)

    def _mask_text(self, text: str) -> str:
        """Return the text with card numbers and mail addresses masked; the same object if it has none.

        `mask_everywhere` compares objects to find out that a value needs no copy.
        """
        without_cards = mask_cards(text, self.mask, self.keep_last) if self.cards else text
        masked = mask_emails(without_cards, self.mask) if self.emails else without_cards
        return text if masked == text else masked


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the paths without those in a value that another path masks: a mask has no inner values."""
    outermost: list[Path] = []
    for path in sorted(paths, key=lambda each: len(each.parts)):
        if not any(_is_within(path, each) for each in outermost):
            outermost.append(path)
    return outermost


def _is_within(path: Path, outer: Path) -> bool:
    """Return whether the path leads to the place of `outer` or into it. `outer` has at most as many parts."""
    pairs = zip(outer.parts, path.parts, strict=False)
    return outer.root == path.root and all(
        outer_part == part or (isinstance(outer_part, Every) and isinstance(part, int)) for outer_part, part in pairs
    )


def mask_value(value: Json, mask: str, keep_last: int) -> str:
    """Return the mask, and the last `keep_last` characters of the value, unless that would be all of it."""
    text = value if isinstance(value, str) else to_json(value)
    if 0 < keep_last < len(text):
        return mask + text[-keep_last:]
    return mask


def mask_cards(text: str, mask: str, keep_last: int) -> str:
    """Return the text with each card's number masked. Only its digits count for `keep_last`."""
    if not may_hold_card(text):
        return text
    pieces: list[str] = []
    end_of_last_card = 0
    for start, end in find_cards(text):
        digits = re.sub("[^0-9]", "", text[start:end])
        pieces += [text[end_of_last_card:start], mask_value(digits, mask, keep_last)]
        end_of_last_card = end
    pieces.append(text[end_of_last_card:])
    return "".join(pieces)


def mask_emails(text: str, mask: str) -> str:
    """Return the text with each mail address masked, except for its domain."""
    if "@" not in text:  # faster than the search, and so for most texts
        return text
    pieces: list[str] = []
    end_of_last = 0
    while address := _ADDRESS_HERE.match(text, end_of_last) or _NEXT_ADDRESS.search(text, end_of_last):
        pieces += [text[end_of_last : address.start()], f"{mask}@{address['domain']}"]
        end_of_last = address.end()
    pieces.append(text[end_of_last:])
    return "".join(pieces)


def mask_everywhere(value: Json, mask_text: Callable[[str], str]) -> Json:
    """Return the value with each text, number and name of a field masked; the same object if nothing changes."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return _mask_object(value, mask_text)
    if isinstance(value, list):
        items = [mask_everywhere(item, mask_text) for item in value]
        is_unchanged = all(masked is item for masked, item in zip(items, value, strict=True))
        return value if is_unchanged else items
    if isinstance(value, int | float) and _is_as_long_as_a_card(abs(value)):
        text = str(int(value))
        masked = mask_text(text)
        return value if masked == text else masked
    return value


def _is_as_long_as_a_card(number: float) -> bool:
    """Return whether the number is a whole one of 13 to 19 digits, as those of cards are."""
    return 10**12 <= number < 10**19 and number == int(number)


def _mask_object(fields: dict[str, Json], mask_text: Callable[[str], str]) -> dict[str, Json]:
    """Return the fields with names and values masked; the same object if nothing changes.

    Names that become equal get a number, so that no field is lost.
    """
    names = [mask_text(name) for name in fields]
    if names != list(fields):
        names = _number_equal_names(names)
    masked = {name: mask_everywhere(item, mask_text) for name, item in zip(names, fields.values(), strict=True)}
    is_unchanged = all(name in fields and masked[name] is fields[name] for name in names)
    return fields if is_unchanged else masked


def _number_equal_names(names: list[str]) -> list[str]:
    """Return `a`, `a (2)`, `a (3)` for `a`, `a`, `a`; a number whose name is in use is skipped."""
    all_names = set(names)
    used_names: set[str] = set()
    # One count for all names, so that no name starts its search at 2 again.
    numbers = itertools.count(2)
    different_names: list[str] = []
    for name in names:
        new_name = name
        if name in used_names:
            new_name = next(f"{name} ({n})" for n in numbers if f"{name} ({n})" not in all_names)
        used_names.add(new_name)
        different_names.append(new_name)
    return different_names


# The numbers of payment cards in a text
#
# One has 13 to 19 digits, spaced or not, with a check digit (ISO/IEC 7812-1). Other digits may be beside it, as in
# `2 4111 1111 1111 1111 12 28`, so each sequence of whole groups is checked.


def may_hold_card(text: str) -> bool:
    """Return False for a text without as many digits in a row as a card has: this is faster than `find_cards`."""
    return _RUN.search(text) is not None


def find_cards(text: str) -> Iterator[Span]:
    """Yield the span of each card; of cards that overlap, the span of all of them.

    A date before the first groups of a card can look like the start of a card. It is better to mask a digit too many.
    """
    joined: Span | None = None
    for run in _RUN.finditer(text):
        for start, end in _cards(text, run.span()):
            if joined and start < joined[1]:
                joined = joined[0], max(end, joined[1])
                continue
            if joined:
                yield joined
            joined = start, end
    if joined:
        yield joined


def _cards(text: str, run: Span) -> Iterator[Span]:
    """Yield the longest card that begins with each group of digits.

    Digits are added up once for the whole run, because a digit may be in many sequences: `1 1 1 …` of a megabyte has
    3.5 million of them.

    The run `12 4111 11` has the groups 0 to 2, and `counts` is 0, 2, 6, 8: so many digits stand before group 0, before
    group 1, before group 2, and before the end. One sign stands between two groups. So group 1 begins in the text after
    2 digits and 1 sign, and ends after 6 digits and 1 sign.
    """
    begin, end = run
    digits = text[begin:end].encode("ascii", "replace").translate(_VALUES, _ALL_BUT_DIGITS)
    sums = _luhn_sums(digits, 0), _luhn_sums(digits, 1)
    counts = array("I", itertools.accumulate((len(group[0]) for group in _GROUP.finditer(text, *run)), initial=0))
    last = len(counts) - 1
    reach = 0  # the first group that does not end within _MOST_DIGITS
    for first, digits_before in enumerate(counts):
        while reach < last and counts[reach + 1] - digits_before <= _MOST_DIGITS:
            reach += 1
        for after in range(reach, first, -1):  # the group after the card, first that of the longest card
            digits_until_end = counts[after]
            if digits_until_end - digits_before < _FEWEST_DIGITS:
                break
            sums_of_card = sums[digits_until_end % 2]  # the last digit but one is doubled
            if sums_of_card[digits_until_end] == sums_of_card[digits_before]:
                signs_before, signs_until_end = first, after - 1
                yield begin + digits_before + signs_before, begin + digits_until_end + signs_until_end
                break


def _luhn_sums(digits: bytes, first: int) -> bytes:
    """Return the last digits of the sums of no digits, of the first one, of two, …, with every second one from `first`
    on doubled."""
    values = bytearray(digits)
    values[first::2] = digits[first::2].translate(_DOUBLED)
    sums: Iterator[int] = itertools.accumulate(values, lambda total, value: (total + value) % 10, initial=0)
    return bytes(sums)
