"""Bounds on the memory of a template's values: a rule for each filter, method and operator, and a list of the tests.

Jinja's sandbox bounds `range` only. Replacing each letter of a text of 100 KB by that text makes 10 GB in memory,
before any bound on the output applies. A rule gets the arguments of a call and returns an upper bound of the size of
its result, which is charged (budget.py) before the result is made. A template cannot use a filter or method without a
rule, and so none that a later version of Jinja adds. The rules are the functions `_bound_…`; their tables, FILTERS and
METHODS, are at the end.

All sizes are in characters. An item of a list costs ITEM_CHARACTERS, for the place that the list has for it; an item
that is made with the list costs _NEW_ITEM, which includes the place.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import wraps
from string import Formatter
from typing import Final, Protocol, TypeAlias

from jinja2 import Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, LoopContext, Macro
from jinja2.sandbox import safe_range
from jinja2.utils import Cycler, Joiner, Namespace
from markupsafe import Markup

from shared.jsontext import to_json
from shared.templating.budget import ITEM_CHARACTERS, MAX_OUTPUT_CHARACTERS, charge

MAX_NUMBER_BITS: Final = 10_000
"""The most bits of a number that a template computes. Larger ones take long."""
SMALL: Final = 64
"""The size of a number, a boolean, or a text of no more characters."""
_TOO_LARGE: Final = MAX_OUTPUT_CHARACTERS + 1
"""The size that a rule returns for a value that may be too large, or that it cannot bound."""
_NEW_ITEM: Final = 64
"""The size of an item of a list if the item is made too."""
_NUMBER_FIELD: Final = 2_500
"""The most characters of a formatted number: 310 digits before its point, 999 after it, and as many separators or
spaces."""
_ESCAPE: Final = 6
"""The most characters of a character that is escaped: `&#39;` in HTML, and `\\u0026` in JSON."""
_SURROGATE_ESCAPES: Final = 12
"""The characters of one that JSON writes as two escapes."""
_WIDE: Final = re.compile(r"%(?:\([^()]*\))?[^A-Za-z%(]*(?:\d{4}|\*)|%\([^()]*\(")
"""A field of Python's `%` whose width may be over 999: a width of four digits, or one that an argument has (`*`)."""
_WIDE_SPEC: Final = re.compile(r"\d{4}|\{")
"""The same in a field of `str.format`, where a width that is an argument begins with `{`."""
_PLAIN: Final = re.compile(r"[ !#-&(-;=?-\[\]-~]*")
"""A text that has no character which JSON or Python's repr escapes."""
_LINE_BREAK: Final = re.compile("[\n-\r\x1c-\x1e\x85\u2028\u2029]")
_WORD: Final = re.compile(r"\S+")


_LISTS: Final = (list, tuple)


class NotAValue(TypeError):
    """A value that is not data: as text it would show an address in this process's memory."""


class Called(Protocol):
    """A filter, or a method that returns text."""

    def __call__(self, *args: object, **kwargs: object) -> object: ...


Rule: TypeAlias = Callable[..., float]  # type: ignore[explicit-any] # each takes the arguments of what it bounds
"""A function of a call's arguments that returns an upper bound of the result's size. The first argument is the value
that a filter is applied to, or that has the method."""


def text_size(value: object) -> int:
    """Return the number of characters of a text; of any other value, a bound of those of its JSON and of its repr.

    Counting stops once the number is too large, because a list may hold one other list many times. Raises NotAValue for
    an object that is not data.
    """
    if isinstance(value, str):
        return len(value)
    size, stack = 0, [value]
    while stack and size <= MAX_OUTPUT_CHARACTERS:
        item = stack.pop()
        if isinstance(item, str):
            written = len(item) if _PLAIN.fullmatch(item) else max(len(repr(item)), len(to_json(item)))
            size += written + 14  # quotation marks, and the name of its class if it is Markup
        elif isinstance(item, int):
            size += item.bit_length() // 3 + 6  # a digit has over 3 bits; a sign, or the letters of a boolean
        elif item is None or isinstance(item, float):
            size += len("-2.2250738585072014e-308")  # there is no longer one
        elif isinstance(item, _LISTS):
            size += 3 + 2 * len(item)  # brackets, and a comma and a space for each item
            stack += item
        elif isinstance(item, dict):
            size += 3 + 4 * len(item)  # the same, and a colon and a space for each key
            stack += item
            stack += item.values()
        elif isinstance(item, range):
            size += SMALL
        elif isinstance(item, Undefined):
            str(item)  # raises UndefinedError
        else:
            raise NotAValue
    return size


def escaped_size(value: object) -> int:
    """Return a bound of the value's number of characters as HTML. Markup is HTML already."""
    if isinstance(value, Markup):
        return len(value)
    if isinstance(value, str):
        return len(value) + (_ESCAPE - 1) * _occurrences("&<>'\"", value)
    return _ESCAPE * text_size(value)


def _either_size(value: object, is_markup: bool) -> int:
    return escaped_size(value) if is_markup else text_size(value)


def joined_size(separator: object, items: Iterable[object]) -> float:
    """Return the size of the joined items. If one of them is markup, Jinja escapes all others."""
    values = list(items)
    is_markup = any(isinstance(each, Markup) for each in (separator, *values))
    size = escaped_size if is_markup else text_size
    return len(values) * size(separator) + sum(map(size, values))


def binop_size(operator: str, left: object, right: object) -> float:
    """Return a bound of the size of the result of an operator that computes.

    What is not matched here results in a number or boolean, or raises TypeError: no other operands can make a text, a
    list or a set.
    """
    is_markup = isinstance(left, Markup) or isinstance(right, Markup)
    if operator == "*":
        for repeated, times in ((left, right), (right, left)):
            if isinstance(repeated, str | list | tuple) and isinstance(times, int):
                item_size = 1 if isinstance(repeated, str) else ITEM_CHARACTERS
                return len(repeated) * _at_least_0(times) * item_size
    if operator == "%" and isinstance(left, str):
        return _percent_size(left, list(right) if isinstance(right, tuple) else [right])
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
        return SMALL if bits <= MAX_NUMBER_BITS else _TOO_LARGE
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return _either_size(left, is_markup) + _either_size(right, is_markup)
    if operator == "+" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return ITEM_CHARACTERS * (len(left) + len(right))
    if operator == "-" and isinstance(left, Sized):
        # The keys or items of an object, from which another list is taken away, or the other way round, make a set.
        return _bound_new_items(left) + _bound_new_items(right)
    return SMALL


def sliced_size(value: object, start: int | None, stop: int | None, step: int | None) -> int:
    """Return the size of `value[start:stop:step]`."""
    if not isinstance(value, Sized):
        return SMALL
    count = len(range(*slice(start, stop, step).indices(len(value))))
    return count if isinstance(value, str) else ITEM_CHARACTERS * count


def bounded_format(formatted: Called, text: str) -> Called:
    """Return a method `format` of the text that raises OverflowError before it makes too large a text.

    `formatted` is the method without the check.
    """

    @wraps(formatted)
    def bounded(*args: object, **kwargs: object) -> object:
        charge(_formatted_size(text, [*args, *kwargs.values()]))
        return formatted(*args, **kwargs)

    # Read by _is_jinjas, which lets a template call it. Nothing else that a template can call has this attribute.
    bounded.counts_itself = True  # type: ignore[attr-defined]
    return bounded


def bounded_filters(filters: Mapping[str, Called]) -> dict[str, Called]:
    """Return the filters that have a rule. They raise OverflowError before they make too large a value."""
    return {name: _bounded(filters[name], rule) for name, rule in FILTERS.items()}


def _bounded(filter_: Called, rule: Rule) -> Called:
    # Some filters get the environment, or Jinja's context, before their own arguments.
    first_own = 1 if hasattr(filter_, "jinja_pass_arg") else 0

    @wraps(filter_)  # keeps Jinja's attributes, which say whether the filter gets the environment
    def bounded(*args: object, **kwargs: object) -> object:
        values = args[first_own:]
        if values and isinstance(values[0], Iterator):
            # A rule needs all items. What makes each of them is counted when it is made.
            values = (list(values[0]), *values[1:])
        charge(rule(*values, **kwargs))
        return filter_(*args[:first_own], *values, **kwargs)

    return bounded


def charge_call(called: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """Count the result of a call. Raises SecurityError for a method without a rule, and OverflowError."""
    owner = getattr(called, "__self__", None)
    name = getattr(called, "__name__", "")
    if called is dict:
        items = len(kwargs) + sum(len(each) for each in args if isinstance(each, Sized))
        charge(_NEW_ITEM * items)
    elif isinstance(owner, str | int | float | list | tuple | dict) and name in METHODS:
        charge(METHODS[name](owner, *args, **kwargs))
    elif callable(called) and not _is_jinjas(called, owner):
        raise SecurityError(f"a template cannot call {name}")


def _is_jinjas(called: object, owner: object) -> bool:
    """Return whether Jinja provides what is called, so that it needs no rule here."""
    is_object = isinstance(called, _OBJECTS) or isinstance(owner, _OBJECTS)
    return is_object or called in _GLOBALS or hasattr(called, "counts_itself")


# The rules


def _bound_small(*_: object, **__: object) -> float:
    """Bound a call that returns a number, a boolean or a short text."""
    return SMALL


def _bound_file_size(*_: object, **__: object) -> float:
    """Bound `filesizeformat`, which writes all digits of a number above the largest unit, 285 at most."""
    return 5 * SMALL


def _bound_existing(*_: object, **__: object) -> float:
    """Bound a filter that returns one of its arguments, or a part of one.

    `map` and its like return an iterator, which makes no items before they are asked for. What each item costs is
    charged by the filter, method or Buffer that makes it.
    """
    return 0


def _bound_text(value: object, *_: object, **__: object) -> float:
    """Bound a call that returns the value as text, or a part of it."""
    return text_size(value)


def _bound_markup(value: object, *_: object, **__: object) -> float:
    """Bound a filter that escapes the value, but not markup."""
    return escaped_size(value)


def _bound_escaped_again(value: object, *_: object, **__: object) -> float:
    """Bound a filter that escapes markup too."""
    return escaped_size(str(value) if isinstance(value, Markup) else value)


def _bound_cased(value: object, *_: object, **__: object) -> float:
    """Bound a filter that changes the case. It can make three characters of one, as of `ΐ` in capitals."""
    return text_size(value) * (1 if isinstance(value, str) and value.isascii() else 3)


def _bound_items(value: object, *_: object, **__: object) -> float:
    """Bound a call that returns a list of the items that exist already."""
    return ITEM_CHARACTERS * len(value) if isinstance(value, Sized) else SMALL


def _bound_new_items(value: object, *_: object, **__: object) -> float:
    """Bound a call that makes a new item, such as a pair, for each item."""
    return _NEW_ITEM * len(value) if isinstance(value, Sized) else SMALL


def _bound_list(value: object) -> float:
    """Bound `list`, which makes a text of each character of a text."""
    return _bound_new_items(value) if isinstance(value, str) else _bound_items(value)


def _bound_reversed(value: object) -> float:
    """Bound `reverse`, which returns a text for a text, and the items of anything else."""
    return len(value) if isinstance(value, str) else _bound_items(value)


def _bound_split(text: object, sep: object = None, maxsplit: object = -1) -> float:
    """Bound `split`. Without a separator, it splits between words."""
    pieces = text_size(text)
    if isinstance(text, str):
        pieces = text.count(sep) if isinstance(sep, str) and sep else _match_count(_WORD, text)
    if isinstance(maxsplit, int) and maxsplit >= 0:
        pieces = min(pieces, maxsplit)
    return text_size(text) + _NEW_ITEM * (pieces + 1)


def _bound_lines(text: object, *_: object, **__: object) -> float:
    """Bound `splitlines`."""
    lines = _match_count(_LINE_BREAK, text) if isinstance(text, str) else text_size(text)
    return text_size(text) + _NEW_ITEM * (lines + 1)


def _bound_replaced(text: object, old: object, new: object, *_: object, **__: object) -> float:
    """Bound `replace`. If one of the texts is markup, Jinja escapes the others."""
    is_markup = any(isinstance(each, Markup) for each in (text, old, new))
    content = str(text) if text_size(text) <= MAX_OUTPUT_CHARACTERS else ""
    times = content.count(str(old))
    return _either_size(text, is_markup) + times * _either_size(new, is_markup)


def _bound_wide(text: object, width: object = 80, *_: object) -> float:
    """Bound a call that makes the text as wide as the width."""
    return max(text_size(text), _at_least_0(width))


def _bound_truncated(text: object, *args: object, **kwargs: object) -> float:
    """Bound `truncate`, which adds an end, by default `...`. The end is the only argument that is a text."""
    end = sum(len(each) for each in (*args, *kwargs.values()) if isinstance(each, str))
    return text_size(text) + end + len("...")


def _bound_wrapped(text: object, width: object = 79, *args: object, **kwargs: object) -> float:
    """Bound `wordwrap`, which adds the text `wrapstring` after each line.

    A line may be half empty, because the next word did not fit. So there may be twice as many lines as the width gives,
    one more for each line break of the text, and a begun one at either end.
    """
    size = text_size(text)
    line_breaks = _match_count(_LINE_BREAK, text) if isinstance(text, str) else size
    full_lines = size // max(1, _at_least_0(width))
    lines = 2 * full_lines + line_breaks + 2
    longest_argument = max((len(each) for each in (*args, *kwargs.values()) if isinstance(each, str)), default=1)
    return size + lines * longest_argument


def _bound_indented(text: object, width: object = 4, *_: object, **__: object) -> float:
    """Bound `indent`. The width is a number of spaces, or the text to put before each line."""
    indent = _at_least_0(width) if isinstance(width, int) else text_size(width)
    size = text_size(text)
    lines = _match_count(_LINE_BREAK, text) + 2 if isinstance(text, str) else size
    return size + lines * (indent + 1)


def _bound_json(value: object, indent: object = None) -> float:
    """Bound `tojson`, which writes `&<>'` as `\\u0026`, and any character outside ASCII as one or two such escapes."""
    width = (
        len(indent) + (_ESCAPE - 1) * _occurrences("&<>'", indent) if isinstance(indent, str) else _at_least_0(indent)
    )
    if width > 100 or text_size([value]) > MAX_OUTPUT_CHARACTERS:
        return _TOO_LARGE
    text = to_json(value)  # type: ignore[arg-type] # it was sized as data
    not_ascii = len(text) - len(text.encode("ascii", "ignore"))
    # Beyond `to_json`: a space after each comma and colon, and the escapes.
    escapes = (_ESCAPE - 1) * _occurrences("&<>'", text) + (_SURROGATE_ESCAPES - 1) * not_ascii
    size = len(text) + _occurrences(",:", text) + escapes
    return size if indent is None else size + _indents(value) * (width + 1)


def _indents(value: object) -> int:
    """Return how many indents all lines of the value's JSON have together."""
    indents, stack = 0, [(value, 1)]
    while stack and indents <= MAX_OUTPUT_CHARACTERS:
        item, depth = stack.pop()
        inner: Sequence[object] = []
        if isinstance(item, dict):
            inner = list(item.values())
        elif isinstance(item, list | tuple):
            inner = item
        indents += depth * (len(inner) + 1)
        stack += [(each, depth + 1) for each in inner]
    return indents


def _bound_summed(items: object, *args: object, **kwargs: object) -> float:
    """Bound `sum`. To add lists takes much memory, because each addition copies all earlier items."""
    start = kwargs.get("start", args[1] if len(args) > 1 else 0)
    if not isinstance(start, list | tuple) or not isinstance(items, Iterable):
        return SMALL
    lengths = [len(item) if isinstance(item, Sized) else 1 for item in items]
    return (len(start) + sum(lengths)) * (len(lengths) + 1) * ITEM_CHARACTERS


def _bound_joined(items: object, d: object = "", attribute: object = None) -> float:
    """Bound the filter `join`. With an attribute, it joins parts of the items, which may be escaped."""
    if not isinstance(items, Iterable):
        return SMALL
    values = list(items)
    if attribute is None:
        return joined_size(d, values)
    return len(values) * escaped_size(d) + _ESCAPE * text_size(values)


def _bound_joined_by(separator: object, items: object) -> float:
    """Bound the method `join`. An iterator is rejected, because to measure its items would use them up."""
    if isinstance(items, Iterator):
        return _TOO_LARGE
    return joined_size(separator, items) if isinstance(items, Iterable) else SMALL


def _bound_format_filter(text: object, *args: object, **kwargs: object) -> float:
    """Bound the filter `format`, which is Python's `%`."""
    template = text if isinstance(text, str) else ""
    if not isinstance(text, str) and text_size(text) <= MAX_OUTPUT_CHARACTERS:
        template = str(text)
    return _percent_size(template, [*args, *kwargs.values()])


def _percent_size(text: str, values: list[object]) -> float:
    """Return the size of a text that Python's `%` fills."""
    return _TOO_LARGE if _WIDE.search(text) else _filled_size(text, text.count("%"), values)


def _bound_formatted(text: str, *args: object, **kwargs: object) -> float:
    """Bound `str.format`."""
    return _formatted_size(text, [*args, *kwargs.values()])


def _formatted_size(text: str, values: list[object]) -> float:
    """Return the size of a text that `str.format` fills."""
    specs = [spec for _, name, spec, _ in Formatter().parse(text) if name is not None]
    is_wide = any(_WIDE_SPEC.search(spec or "") for spec in specs)
    return _TOO_LARGE if is_wide else _filled_size(text, len(specs), values)


def _filled_size(text: str, fields: int, values: list[object]) -> float:
    """Return the size of a text with this number of fields, each of which may show the largest of the values."""
    largest = max((text_size([value]) for value in values), default=0)
    if isinstance(text, Markup):
        largest *= _ESCAPE
    # A field can write an integer in binary, with a separator after every fourth digit.
    bits = max((value.bit_length() for value in values if isinstance(value, int)), default=0)
    return len(text) + fields * (largest + 2 * bits + _NUMBER_FIELD)


def _bound_urlencoded(value: object) -> float:
    """Bound `urlencode`. A character has at most four bytes in UTF-8, and each byte becomes three, as in `%20`."""
    return text_size(value) * (3 if isinstance(value, str) and value.isascii() else 12)


def _bound_linked(value: object, *args: object, **kwargs: object) -> float:
    """Bound `urlize`. Each word may be an address, which it writes twice: in a link, and as the link's text."""
    # 40 is enough for `<a href="mailto:" rel="" target=""></a>`, to which the escaped arguments are added.
    attributes = 40 + _ESCAPE * sum(text_size(each) for each in (*args, *kwargs.values()) if each is not None)
    links = _occurrences(".@:", value) if isinstance(value, str) else text_size(value)
    return 2 * escaped_size(value) + (links + 1) * attributes


def _occurrences(characters: str, text: str) -> int:
    return sum(map(text.count, characters))


def _match_count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))


def _at_least_0(value: object) -> int:
    """Return a number of at least 0; 0 for what is no whole number, with which the call itself fails."""
    return max(0, value) if isinstance(value, int) else 0


FILTERS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("abs", "count", "float", "int", "length", "round", "wordcount"), _bound_small),
    **dict.fromkeys(("attr", "d", "default", "first", "last", "max", "min"), _bound_existing),
    **dict.fromkeys(("map", "reject", "rejectattr", "select", "selectattr"), _bound_existing),
    **dict.fromkeys(("oneline", "string", "striptags", "trim"), _bound_text),
    **dict.fromkeys(("e", "escape"), _bound_markup),
    "forceescape": _bound_escaped_again,
    **dict.fromkeys(("capitalize", "lower", "title", "upper"), _bound_cased),
    **dict.fromkeys(("sort", "unique"), _bound_items),
    **dict.fromkeys(("dictsort", "groupby", "items"), _bound_new_items),
    "batch": lambda value, linecount, *_, **__: _bound_new_items(value) + ITEM_CHARACTERS * _at_least_0(linecount),
    "center": _bound_wide,
    "format": _bound_format_filter,
    "indent": _bound_indented,
    "join": _bound_joined,
    "list": _bound_list,
    "replace": lambda s, old, new, *_, **__: _bound_replaced(s, old, new),
    "reverse": _bound_reversed,
    "safe": _bound_text,
    "slice": lambda value, slices, *_, **__: _bound_items(value) + 2 * _NEW_ITEM * _at_least_0(slices),
    "sum": _bound_summed,
    "filesizeformat": _bound_file_size,
    "tojson": _bound_json,
    "truncate": _bound_truncated,
    "urlencode": _bound_urlencoded,
    "urlize": _bound_linked,
    "wordwrap": _bound_wrapped,
    "xmlattr": lambda d, *_: _ESCAPE * text_size(d),
}
_GLOBALS: Final = (safe_range, Namespace, Cycler, Joiner)
_OBJECTS: Final = (Undefined, Macro, LoopContext, BlockReference, Cycler, Joiner)
"""Jinja's objects that a template can call, or whose methods it can call. Each returns what it was given, or a text
whose pieces are counted."""
OBJECT_METHODS: Final = frozenset({"changed", "cycle", "next", "reset"})
TESTS: Final = frozenset(
    {"!=", "<", "<=", "==", ">", ">=", "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped"}
    | {"even", "false", "filter", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan"}
    | {"lower", "lt", "mapping", "ne", "none", "number", "odd", "sameas", "sequence", "string", "test", "true"}
    | {"undefined", "upper"}
)
"""The tests, each of which makes a boolean."""
METHODS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("count", "endswith", "find", "index", "rfind", "rindex", "startswith"), _bound_small),
    **dict.fromkeys(("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower"), _bound_small),
    **dict.fromkeys(
        ("isnumeric", "isprintable", "isspace", "istitle", "isupper", "bit_length", "is_integer"), _bound_small
    ),
    **dict.fromkeys(
        ("lstrip", "partition", "removeprefix", "removesuffix", "rpartition", "rstrip", "strip"), _bound_text
    ),
    **dict.fromkeys(("capitalize", "casefold", "lower", "swapcase", "title", "upper"), _bound_cased),
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _bound_wide),
    **dict.fromkeys(("get", "items", "keys", "values"), _bound_existing),
    **dict.fromkeys(("format", "format_map"), _bound_formatted),
    **dict.fromkeys(("rsplit", "split"), _bound_split),
    **dict.fromkeys(("unescape", "striptags"), _bound_text),
    "copy": _bound_items,
    "join": _bound_joined_by,
    "replace": _bound_replaced,
    "splitlines": _bound_lines,
}
"""The methods of texts, numbers, lists and objects. If several types have a method of a name, the rule bounds each."""
