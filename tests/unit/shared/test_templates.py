"""Templates: what they print, what they may not do, and how large an output may become."""

import re
from collections.abc import Iterator
from typing import Final

import jinja2
import pytest
from hypothesis import assume, given, strategies as st
from jinja2.nodes import EvalContext
from markupsafe import Markup

from functions.notify.destinations.email.mail import MAX_SUBJECT_CHARACTERS, subject_line
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from shared.templating.budget import begin_rendering
from shared.templating.costs import FILTERS, METHODS, binop_size, joined_size, sliced_size
from shared.templating.sandbox import as_shown, environment_of
from shared.templating.template import Template, TemplateFault
from tests.unit.shared.json_values import values_of

VIEW: JsonObject = {
    "type": "order",
    "data": {
        "name": "Ada",
        "items": [{"sku": "A"}, {"sku": "B"}],
        "nothing": None,
        "paid": True,
        "html": "<b>&</b>",
        "secret": "hunter2",
        "keys": 3,
    },
}


def rendered(source: str, html: bool = False) -> str:
    return Template("text", source, html).render(VIEW)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("{{ data.name }}: {{ type }}", "Ada: order"),
        ("{% for item in data.items %}{{ loop.index }}{{ item.sku }}{% endfor %}", "1A2B"),
        ("{{ data.nothing }}|{{ data.paid }}|{{ data.items }}", '|true|[{"sku":"A"},{"sku":"B"}]'),
        ("{{ data['name'] | upper }} {{ data.keys }}", "ADA 3"),
        ("{{ '%.2f' | format(1.5) }} {{ '%s' % data.name }}", "1.50 Ada"),
        ("{{ data.html }}", "<b>&</b>"),
        ("{{ data.customer.name | default('none') }} {{ data.keys.a.b | default('none') }}", "none none"),
        ("{{ data.items[2].sku[:9] | default('none') }} {{ data.customer.name is defined }}", "none false"),
    ],
)
def test_a_template_sees_the_event(source: str, output: str) -> None:
    assert rendered(source) == output


def test_html_is_escaped() -> None:
    assert rendered("<p>{{ data.html }}</p>", html=True) == "<p>&lt;b&gt;&amp;&lt;/b&gt;</p>"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ data.name", "line 1: unexpected end of template"),
        ("{{ name }}", "there is no 'name'; did you mean 'data.name'?"),
        ("{{ dta.name }}", "there is no 'dta'; did you mean 'data'?"),
        ("{{ customer.name }}", "there is no 'customer'; did you mean 'data.customer'?"),
        ("{{ body.name }}", "there is no 'body'; did you mean 'data', which is the body?"),
        ("{{ data.a.customer-name }}", "there is no 'name'; write a name with a hyphen as data.a['customer-name']"),
        ("{{ headers.x }}", "there is no 'headers'; a source's `type`, `id`, `subject` and `actor` can read a header"),
        ("{{ secrets.KEY }}", "there is no 'secrets'; templates and conditions cannot read secrets"),
        ("{{ now() }}", "there is no 'now'; `receivedat` is the time"),
        ("{{ $json.name }}", "unexpected char '$' at 3; a path begins without $"),
        ("{{#each data.list}}", "unexpected char '#' at 2; Jinja has {% for"),
        ("{{ data.list[*].a }}", "unexpected '*'; [*] is JMESPath; Jinja has {% for"),
        ("{{ data.a && data.b }}", "unexpected char '&' at 10; write `and`"),
        ("{{ data.a > `1` }}", "without backticks"),
        ("{% if data.a = 'b' %}{% endif %}", "got '='; `==` compares"),
        ("{{ data.a | date: '%Y' }}", "got ':'; write a filter's arguments in parentheses"),
        ("{{ data.a | upcase }}", "No filter named 'upcase'; did you mean 'upper'?"),
        ("{% include '/etc/passwd' %}", "a template stands alone"),
        ("{% extends 'x' %}", "a template stands alone"),
        ("x" * 300_000, "at most 262144 characters"),
    ],
)
def test_a_faulty_template_is_rejected_when_it_is_compiled(source: str, message: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        Template("text", source)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        (
            "\n{{ data.missing }}",
            "undefined_field",
            "template 'text', line 2: 'data.missing' is not in this event; write",
        ),
        ("{{ data[data.secret] }}", "undefined_field", "a field that it names is not in this event"),
        ("{% for a in [data] %}{{ a.type }}{% endfor %}", "undefined_field", "a value that it reads has no 'type'"),
        ("{{ data.none.__class__.__init__.__globals__ }}", "undefined_field", "'data.none.__class__.__init__"),
        ("{% if data.none.a %}{% endif %}", "undefined_field", "'data.none.a' is not in this event"),
        ("{{ data.none.a[0:2] ~ '' }}", "undefined_field", "is not in this event"),
        ("{{ ('x' * (2 * 1024 * 1024)) ~ (data.none.a | default('y' * (3 * 1024 * 1024))) }}", "output_too_large", ""),
        ("{{ data.name + 1 }}", "template_failed", "template 'text', line 1: TypeError: a value has the wrong type"),
        ("{{ data.name.__class__.__mro__ }}", "template_failed", "SecurityError"),
        ("{{ (data | attr('update'))({}) }}", "template_failed", "SecurityError: it uses an attribute that templates"),
        ("{{ 1 / 0 }}", "template_failed", "ZeroDivisionError: it divides by zero"),
        (
            "{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
            "output_too_large",
            "more than",
        ),
        ("{{ 10 ** (10 ** 10) }}", "output_too_large", "OverflowError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template_failed", "RecursionError"),
    ],
)
def test_what_fails_for_an_event_is_permanent_and_quotes_none_of_it(source: str, code: str, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        rendered(source)

    assert caught.value.code == code
    assert message in caught.value.detail
    assert "hunter2" not in caught.value.detail


CUSTOMER: JsonObject = {
    "type": "order",
    "data": {"customer": {"name": "Ada", "e-mail": "a@b"}, "lines": [{"sku": "A"}], "x y": 1, "note": None, "none": []},
}


@pytest.mark.parametrize(
    ("source", "missing", "near"),
    [
        ("{{ data.custmer.name }}", "data.custmer.name", "data.customer.name"),
        ("{{ data.name }}", "data.name", "data.customer.name"),
        ("{{ data.customer.email }}", "data.customer.email", "data.customer.e-mail"),
        ("{{ data.type }}", "data.type", "type"),
        ("{{ data.number }}", "data.number", None),
        ("{{ data.items[0].sku }}", "data.items.0.sku", None),
        ("{{ data.line[0].sku }}", "data.line.0.sku", "data.lines"),
        ("{{ data.lines[0].sku }}{{ data.lines[0].amount }}", "data.lines.0.amount", None),
        ("{% for line in data.lines %}{{ line.amount }}{% endfor %}", "amount", None),
    ],
)
def test_a_field_that_the_event_lacks_is_named_with_its_whole_path_and_the_nearest_one(
    source: str, missing: str, near: str | None
) -> None:
    with pytest.raises(Permanent) as caught:
        Template("text", source).render(CUSTOMER)

    meant = f"; did you mean {near!r}? Write {{{{" if near else "; write {{"
    assert caught.value.code == "undefined_field"
    assert f"line 1: {missing!r} is not in this event{meant}" in caught.value.detail


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("{{ data.customer.name.first }}", "text"),
        ("{{ data.note.text }}", "null"),
        ("{{ data.lines.sku }}", "a list"),
        ("{{ data.none[0].sku }}", "an empty list"),
    ],
)
def test_a_value_on_the_way_that_has_no_fields_is_named_with_its_kind(source: str, kind: str) -> None:
    with pytest.raises(Permanent, match=f"is not in this event, where 'data\\.[a-z.]+' is {kind}; write"):
        Template("text", source).render(CUSTOMER)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (
            {"payload": '{"ref": 1}'},
            "data.payload holds it, as JSON in a text: set `unpack: data.payload` on the source",
        ),
        ('{"ref": 1}', "the sender must encode the object once, not twice"),
        ({"payload": "{no JSON"}, "write {{ … | default('') }} where it may be missing"),
        ({"re-f": 1}, "a name with a hyphen is written as in data['first-name']"),
    ],
)
def test_a_field_that_is_there_in_another_form_is_named_with_the_form(data: Json, hint: str) -> None:
    with pytest.raises(Permanent) as caught:
        Template("text", "{{ data.ref }}").render({"data": data})

    assert caught.value.detail.endswith(hint)


@pytest.mark.parametrize(
    "source",
    [
        "{{ data.name.upper }}",
        "{{ data.name['upper'] | string }}",
        "{{ data.name.upper ~ '' }}",
        "{{ data.tags | map('upper') }}",
        "{{ data.tags | map(attribute='upper') | join }}",
        "{% macro m() %}{% endmacro %}{{ m }}",
        "{% for tag in data.tags %}{{ loop }}{% endfor %}",
    ],
)
def test_what_would_show_an_address_in_memory_is_rejected(source: str) -> None:
    template = Template("text", source)
    with pytest.raises(Permanent, match=r"template.*NotAValue"):
        template.render({"data": {"name": "Ada", "tags": ["a"]}})


def test_what_can_never_be_filled_is_rejected_when_it_is_compiled() -> None:
    with pytest.raises(TemplateFault, match="can never be rendered"):
        Template("text", "{{ ''.nothing ~ '' }}")


def test_a_long_subject_is_cut_with_a_mark() -> None:
    assert subject_line("x" * 500) == "x" * (MAX_SUBJECT_CHARACTERS - 1) + "…"
    assert subject_line("a\tb ") == "a b"


FIELDS = ["type", "data", "data.a", "data['a'].b", "data.items", "data[0]", "data['0']", "data.upper", "range"]
PLAIN = st.lists(st.sampled_from(["Hi ", "\n", "{# nothing #}", *(f"{{{{ {field} }}}}" for field in FIELDS)]))


@given(
    PLAIN.map("".join),
    values_of(st.none() | st.booleans() | st.integers() | st.text()) | st.just({"a": {"b": "c"}, "0": "d"}),
)
def test_fields_between_words_are_shown_as_the_sandbox_shows_them(source: str, data: Json) -> None:
    view: JsonObject = {"type": "order", "data": data}
    plain, in_sandbox = Template("text", source), Template("text", "{% if false %}{% endif %}" + source)

    assert not in_sandbox.is_plain
    assert outcome_of(plain, view) == outcome_of(in_sandbox, view)


def outcome_of(template: Template, view: JsonObject) -> str | tuple[str, str]:
    try:
        return template.render(view)
    except Permanent as error:
        return error.code, error.detail


def test_a_template_that_computes_anything_is_not_plain() -> None:
    assert Template("text", "Order {{ data.number }} of {{ data['customer name'] }}").is_plain
    for source in ("{{ data.a | upper }}", "{{ data.a ~ data.b }}", "{{ data[data.a] }}", "{{ data.get('a') }}"):
        assert not Template("text", source).is_plain
    assert not Template("html", "{{ data.a }}", html=True).is_plain


# What a hostile event could make of a template: gigabytes, before its output is looked at

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


@pytest.mark.parametrize(
    ("name", "value", "args"),
    [("tojson", [[""]], ["'"]), ("filesizeformat", 1e300, []), ("filesizeformat", -1e308, [])],
)
def test_a_rule_counts_escapes_in_an_indent_and_many_digits(name: str, value: object, args: list[object]) -> None:
    environment = environment_of(True, as_shown)
    made = environment.call_filter(name, value, args, eval_ctx=EvalContext(environment))
    assert made_size(made) <= FILTERS[name](value, *args)


@given(st.data(), st.sampled_from(sorted(FILTERS)))
def test_no_filter_makes_more_than_its_rule_says(data: st.DataObject, name: str) -> None:
    first = data.draw(OBJECTS if name in OF_OBJECTS else SEVERAL if name in LIST_FIRST else VALUES)
    wanted: dict[str, list[st.SearchStrategy[object]]] = {
        **TEXT_FIRST,
        **LIST_FIRST,
        "tojson": [st.one_of(st.none(), st.integers(0, 9), TEXTS)],
    }
    args = list(map(data.draw, wanted.get(name, [])))
    begin_rendering()
    environment = environment_of(data.draw(st.booleans()), as_shown)
    try:
        made = listed(environment.call_filter(name, first, args, eval_ctx=EvalContext(environment)))
    except Exception:  # a filter fails in many ways on values that are not its own, and makes nothing then
        return
    most = FILTERS[name](first, *args)
    assert made is first or made_size(made) <= most or most == 0  # what is given, or a part of it


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
        made = environment_of(False, as_shown).binop_table[operator](left, right)
    except Exception:  # the operator does not take these values
        return
    assert made_size(made) <= most


def test_the_set_of_the_keys_that_are_left_of_an_object_has_a_size() -> None:
    keys = {f"k{number}": number for number in range(1_000)}.keys()
    assert made_size(list(keys - ["k1"])) <= binop_size("-", keys, ["k1"])
    assert made_size(list(["x"] * 9 - keys)) <= binop_size("-", ["x"] * 9, keys)


@given(VALUES, VALUES, st.integers(-9, 9), st.booleans())
def test_no_join_and_no_slice_makes_more_than_its_rule(left: object, right: object, stop: int, escapes: bool) -> None:
    environment = environment_of(escapes, as_shown)
    begin_rendering()
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
