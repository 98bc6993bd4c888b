"""What a hostile event could make of a template: gigabytes, before its output is looked at."""

import jinja2
import pytest

from shared.errors import Permanent
from shared.jsontext import JsonObject
from shared.templates import Template

TOO_LARGE = "OverflowError: the resulting text, list or number is too large"
HOSTILE: JsonObject = {"data": {"long": "a" * 5_000, "huge": 10**9, "lines": "a\n" * 1_000, "list": ["x"] * 1_000}}
KIND: JsonObject = {"data": {"name": "Ada Lovelace", "few": 3, "lines": "a\nb", "list": ["x", "y", "z"]}}


@pytest.mark.parametrize(
    "source",
    [
        "{{ data.long | replace('a', data.long) }}",
        "{{ data.long | replace('', data.long) }}",
        "{{ data.long.replace('a', data.long) }}",
        "{{ data.long.encode().replace('a'.encode(), data.long.encode()) }}",
        "{{ data.list | join(data.long) }}",
        "{{ data.list | map('upper') | join(data.long) }}",
        "{{ data.list | join(d=data.long) }}",
        "{{ data.long.join(data.list) }}",
        "{{ 'x'.center(data.huge) }}",
        "{{ 'x'.ljust(width) if width is defined else 'x'.rjust(data.huge) }}",
        "{{ '7'.zfill(data.huge) }}",
        "{{ 'x' | center(data.huge) }}",
        "{{ 'x' | center(width=data.huge) }}",
        "{{ '\t'.expandtabs(data.huge) }}",
        "{{ '\t'.expandtabs(tabsize=data.huge) }}",
        "{{ data.long.translate({97: data.long}) }}",
        "{{ (1).to_bytes(data.huge, 'big') | length }}",
        "{{ (data.long.encode() * data.huge) | length }}",
        "{{ '{:{w}}'.format('x', w=data.huge) }}",
        "{{ '{:999999999}'.format('x') }}",
        "{{ '{a:999999999}'.format_map({'a': 1}) }}",
        "{{ '%*d' | format(data.huge, 1) }}",
        "{{ data | tojson(indent=data.huge) }}",
        "{{ data.lines | indent(data.huge) }}",
        "{{ data.lines | indent(data.long) }}",
        "{{ data.long | wordwrap(1, true, data.long) }}",
        "{{ [1] | batch(data.huge, 'x') | list }}",
        "{{ [1] | slice(data.huge) | list }}",
        "{{ (data.list * 5) | map('list') | sum(start=[]) | length }}",
        "{% filter center(data.huge) %}x{% endfilter %}",
        "{{ data.list | map('replace', 'x', data.long * 20) | map('center', data.huge) | list }}",
    ],
)
def test_what_would_be_too_large_is_rejected_before_it_is_made(source: str) -> None:
    template = Template("text", source, known=frozenset({"data", "width"}))

    with pytest.raises(Permanent) as caught:
        template.render(HOSTILE)

    assert (caught.value.code, caught.value.detail) == ("output_too_large", f"template 'text', line 1: {TOO_LARGE}")


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        "{{ data.name | replace('a', '<b>') }} {{ data.name.replace('a', 'b', 1) }}",
        "{{ data.name | replace('a', 'b', 1) }}",
        "{{ data.list | join(', ') }} {{ data.list | map('upper') | join }} {{ ', '.join(data.list) }}",
        "{{ [{'a': 1}, {'a': 2}] | join('-', attribute='a') }}",
        "{{ {'k': 1, 'l': 2} | join('+') }} {{ 'abc' | join('.') }}",
        "{{ 'x' | center(data.few) }}|{{ 5 | center(9) }}|{{ 'x'.ljust(data.few) }}|{{ 'a\tb'.expandtabs() }}",
        "{{ '{:>8} {:,.2f} {n[k]!r:<6}'.format('x', 1234.5, n={'k': 1}) }} {{ '%5.1f' | format(1.25) }}",
        "{{ data.lines | indent(data.few) }} {{ data.lines | indent('> ', first=true) }}",
        "{{ data.list | tojson }} {{ data.list | tojson(indent=2) }} {{ data.name | wordwrap(4) }}",
        "{{ [1, 2] | sum }} {{ [[1], [2]] | sum(start=[]) | join }} {{ [{'a': 1}] | sum('a', 2) }}",
        "{{ data.list | map('length') | sum }}",
        "{{ data.list | batch(2, '-') | list | length }} {{ data.list | slice(2) | list | length }}",
        "{{ 'ab'.translate({97: 'x'}) }} {{ 'é'.encode('utf-8') | length }} {{ (258).to_bytes(2, 'big') | length }}",
    ],
)
def test_what_is_of_an_ordinary_size_comes_out_as_jinja_makes_it(source: str, html: bool) -> None:
    assert Template("text", source, html).render(KIND) == jinja2.Template(source, autoescape=html).render(KIND)
