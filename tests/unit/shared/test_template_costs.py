"""What a hostile event could make of a template: gigabytes, before its output is looked at."""

import re
from collections.abc import Iterator
from typing import Final

import jinja2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jinja2.nodes import EvalContext
from markupsafe import Markup

from shared.errors import Permanent
from shared.jsontext import JsonObject
from shared.templating.costs import FILTERS, METHODS, begin, binop_size, joined_size, sliced_size
from shared.templating.sandbox import environment_of, shown
from shared.templating.template import Template, TemplateFault

TOO_LARGE = "OverflowError: the resulting text, list or number is too large"
HOSTILE: JsonObject = {"data": {"long": "a" * 5_000, "huge": 10**9, "lines": "a\n" * 1_000, "list": ["x"] * 1_000}}
KIND: JsonObject = {"data": {"name": "Ada Lovelace", "few": 3, "lines": "a\nb", "list": ["x", "y", "z"]}}

SHOWN = ("{{ ns.x }}", "{{ ns.x | tojson }}")
LOOP = "{{% set ns = namespace(x={}) %}}{{% for i in range(9000) %}}{}{{% endfor %}}{}"
LOOPS = [
    ("data.long", "{% set ns.x = ns.x ~ ns.x %}", ""),
    ("data.list", "{% set ns.x = ns.x + ns.x %}", ""),
    ("data.long", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}", ""),
    *(("'a'", "{% if i < 40 %}{% set ns.x = [ns.x, ns.x] %}{% endif %}", end) for end in SHOWN),
    ("[]", "{% set ns.x = ns.x + [(data.long * 800)[1:]] %}", ""),
    ("[]", "{% set ns.x = ns.x + [data.long | lower] %}", ""),
]


@pytest.mark.parametrize(
    "source",
    [
        "{{ data.long | replace('a', data.long) }}",
        "{{ data.long.replace('a', data.long) }}",
        "{{ data.list | join(data.long) }}",
        "{{ data.long.join(data.list) }}",
        "{{ 'x'.center(data.huge) }}",
        "{{ 'x'.rjust(data.huge) }}",
        "{{ '7'.zfill(data.huge) }}",
        "{{ 'x' | center(width=data.huge) }}",
        "{{ '{:{w}}'.format('x', w=data.huge) }}",
        "{{ '{a:999999999}'.format_map({'a': 1}) }}",
        "{{ '%*d' | format(data.huge, 1) }}",
        "{{ data | tojson(indent=data.huge) }}",
        "{{ data.long * -99999999 }}{{ data.long * 1000 }}",
        "{{ data.lines | indent(data.huge) }}",
        "{{ data.long | wordwrap(1, true, data.long) }}",
        "{{ [1] | batch(data.huge, 'x') | list }}",
        "{{ [1] | slice(data.huge) | list }}",
        "{{ (data.list * 5) | map('list') | sum(start=[]) | length }}",
        "{{ data.list | map('replace', 'x', data.long * 20) | map('center', data.huge) | list }}",
        *(LOOP.format(start, change, end) for start, change, end in LOOPS),
        "{% macro m() %}{% for i in range(9999) %}{% for j in range(9999) %}{{ data.long[:500] }}{% endfor %}"
        "{% endfor %}{% endmacro %}{{ m() }}",
        "{{ ('{0}' * 9000).format(data.long) }}",
        "{{ ('%s' * 9000) % ((data.long,) * 9000) }}",
        "{{ ('x ' * 200000).split() | length }}",
        "{{ (data.lines * 90) | list | length }}",
    ],
)
def test_what_would_be_too_large_is_rejected_before_it_is_made(source: str) -> None:
    template = Template("text", source)

    with pytest.raises(Permanent) as caught:
        template.render(HOSTILE)

    assert (caught.value.code, caught.value.detail) == ("output_too_large", f"template 'text', line 1: {TOO_LARGE}")


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        "{{ data.name | replace('a', '<b>') }} {{ data.name.replace('a', 'b', 1) }}",
        "{{ data.list | join(', ') }} {{ data.list | map('upper') | join }} {{ ', '.join(data.list) }}",
        "{{ 'x' | center(data.few) }}|{{ 5 | center(9) }}|{{ 'x'.ljust(data.few) }}",
        "{{ '{:>8} {:,.2f} {n[k]!r:<6}'.format('x', 1234.5, n={'k': 1}) }} {{ '%5.1f' | format(1.25) }}",
        "{{ data.lines | indent(data.few) }} {{ data.lines | indent('> ', first=true) }}",
        "{{ data.list | tojson }} {{ data.list | tojson(indent=2) }} {{ data.name | wordwrap(4) }}",
        "{{ [1, 2] | sum }} {{ [[1], [2]] | sum(start=[]) | join }} {{ [{'a': 1}] | sum('a', 2) }}",
        "{{ data.list | batch(2, '-') | list | length }} {{ data.list | slice(2) | list | length }}",
    ],
)
def test_what_is_of_an_ordinary_size_comes_out_as_jinja_makes_it(source: str, html: bool) -> None:
    assert Template("text", source, html).render(KIND) == jinja2.Template(source, autoescape=html).render(KIND)


# each rule, beside what is made

TEXTS = st.text(st.sampled_from("aZß\u0390é😀<&>'\"\\\n\r\t\u2028 .@:%{}/0"), max_size=12)
MARKUPS = st.one_of(TEXTS, TEXTS.map(Markup))
NUMBERS = st.integers(-3, 30)
VALUES = st.recursive(
    st.one_of(MARKUPS, st.integers(), st.floats(allow_nan=False), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SEVERAL = st.lists(VALUES, max_size=5)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
TEXT_FIRST: Final[dict[str, list[st.SearchStrategy[object]]]] = {
    "center": [NUMBERS],
    "indent": [st.one_of(NUMBERS, TEXTS), st.booleans(), st.booleans()],
    "join": [st.one_of(st.lists(MARKUPS, max_size=5), TEXTS)],
    "ljust": [NUMBERS],
    "replace": [MARKUPS, MARKUPS, NUMBERS],
    "rjust": [NUMBERS],
    "rsplit": [TEXTS, NUMBERS],
    "split": [TEXTS, NUMBERS],
    "truncate": [NUMBERS, st.booleans(), TEXTS, NUMBERS],
    "urlize": [NUMBERS, st.booleans(), TEXTS, TEXTS],
    "wordwrap": [NUMBERS, st.booleans(), TEXTS],
    "zfill": [NUMBERS],
    "format": [VALUES, VALUES],
    "format_map": [OBJECTS],
}
LIST_FIRST: Final[dict[str, list[st.SearchStrategy[object]]]] = {
    "batch": [NUMBERS, VALUES],
    "join": [MARKUPS],
    "slice": [NUMBERS, VALUES],
    "sum": [st.none(), st.one_of(NUMBERS, st.lists(NUMBERS))],
}
OF_OBJECTS: Final = ("dictsort", "items", "xmlattr")


def made_size(value: object) -> float:
    """Return the size that a rule must not be below: characters of a text, and eight of each item of a list."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple | dict):
        return 8 * len(value)
    return 0


def listed(value: object) -> object:
    return list(value) if isinstance(value, Iterator) else value


@given(st.data(), st.sampled_from(sorted(FILTERS)))
def test_no_filter_makes_more_than_its_rule_says(data: st.DataObject, name: str) -> None:
    first = data.draw(OBJECTS if name in OF_OBJECTS else SEVERAL if name in LIST_FIRST else VALUES)
    wanted: dict[str, list[st.SearchStrategy[object]]] = {
        **TEXT_FIRST,
        **LIST_FIRST,
        "tojson": [st.one_of(st.none(), st.integers(0, 9), TEXTS)],
    }
    args = list(map(data.draw, wanted.get(name, [])))
    begin()
    environment = environment_of(data.draw(st.booleans()), shown)
    try:
        made = listed(environment.call_filter(name, first, args, eval_ctx=EvalContext(environment)))
    except Exception:  # a filter fails in many ways on values that are not its own, and makes nothing then
        return
    most = FILTERS[name](first, *args)
    assert made_size(made) <= most or most == 0  # what is given, or a part of it


@given(st.data(), st.sampled_from(sorted(METHODS)), st.one_of(MARKUPS, VALUES))
def test_no_method_makes_more_than_its_rule_says(data: st.DataObject, name: str, owner: object) -> None:
    args = list(map(data.draw, TEXT_FIRST.get(name, [])))
    args = args[: data.draw(st.integers(0, len(args)))]
    try:
        made = getattr(owner, name)(*args)
    except Exception:  # the value has no such method, or the method takes other arguments
        return
    assert made_size(made) <= METHODS[name](owner, *args) or name in {"get", "items", "keys", "values"}


@given(VALUES, VALUES, st.sampled_from(["+", "*", "%", "-", "/", "//", "**"]))
def test_no_operator_makes_more_than_its_rule_says(left: object, right: object, operator: str) -> None:
    most = binop_size(operator, left, right)
    assume(most < 1e6)
    try:
        made = environment_of(False, shown).binop_table[operator](left, right)
    except Exception:  # the operator does not take these values
        return
    assert made_size(made) <= most


@given(VALUES, VALUES, st.integers(-9, 9), st.booleans())
def test_no_joining_and_no_slice_makes_more_than_its_rule_says(
    left: object, right: object, stop: int, escapes: bool
) -> None:
    environment = environment_of(escapes, shown)
    begin()
    made = environment.concatenated(EvalContext(environment), (left, right))
    assert made_size(made) <= joined_size("", [left, right])
    if isinstance(left, str | list):
        assert made_size(left[:stop]) <= sliced_size(left, None, stop, None)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{{ data.a | pprint }}", "No filter named 'pprint'"),
        ("{% if data.b %}{{ data.a | random }}{% endif %}", "No filter named 'random'"),
        ("{{ data.list | select('evn') | list }}", "No test named 'evn'; did you mean 'even'?"),
        ("{{ data.a.maketrans('a', 'b') }}", "No method named 'maketrans'"),
        ("{{ data.a['fromkeys'](data.list) }}", "No method named 'fromkeys'"),
        ("{{ data.a.uper() }}", "No method named 'uper'; did you mean 'upper'?"),
    ],
)
def test_what_has_no_rule_is_refused_when_the_template_is_loaded(source: str, fault: str) -> None:
    with pytest.raises(TemplateFault, match=f"line 1: {re.escape(fault)}"):
        Template("text", source)


@pytest.mark.parametrize("source", ["{{ data.a[data.b]() }}", "{{ (data.a | attr(data.b))() }}", "{{ data.a.format }}"])
def test_what_has_no_rule_is_not_called_however_it_is_named(source: str) -> None:
    with pytest.raises(Permanent) as caught:
        Template("text", source).render({"data": {"a": "text", "b": "maketrans"}})
    assert caught.value.code == "template_failed"
