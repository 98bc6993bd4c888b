import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.destinations.email.mail import MAX_SUBJECT_CHARACTERS, subject_line
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
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
def test_what_fails_for_an_event_is_permanent_and_says_nothing_of_the_event(
    source: str, code: str, message: str
) -> None:
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
