import pytest

from functions.notify.bounded_texts import MARK
from functions.notify.chat_messages import MessageSettings
from functions.notify.http_kind import template_view
from functions.notify.message_text import (
    MAX_LINK_CHARACTERS,
    default_text,
    link_url,
    without_mentions,
)
from shared.jsontext import Json
from tests.unit.notify.http_kinds import delivery_of


def filled(template: str, data: Json) -> str:
    return MessageSettings(secret="s", text=template).message(delivery_of(data)).text


def test_without_a_template_the_message_tells_of_the_event_and_some_of_its_fields() -> None:
    text = default_text(
        delivery_of({"number": 17, "customer": {"name": "Bob"}, "lines": [{"n": 1}], "x": None}, actor="Ann").event
    )
    assert text == "Order created\nfrom shop · 1042 · by Ann\nnumber: 17\ncustomer.name: Bob\nlines[0].n: 1"


def test_many_and_long_fields_are_cut() -> None:
    lines = default_text(delivery_of({f"f{n}": "x" * 5_000 for n in range(500)}).event).splitlines()
    assert len(lines) == 12
    assert all(len(line) < 300 and line.endswith(MARK) for line in lines[2:])


@pytest.mark.parametrize(
    "mention",
    [
        "<!channel>",
        "<@U1>",
        "@everyone",
        "x@here",
        "<users/all>",
        "@ann",
        "<@&5>",
        "<#C1>",
        "<https://a|b>",
        "-@ann",
        ".@ann",
        "<mailto:a|b>",
        "</x:1>",
    ],
)
def test_a_mention_is_inert_and_looks_the_same(mention: str) -> None:
    text = without_mentions(f"a {mention}")
    assert mention not in text
    assert text.replace("\u200b", "") == f"a {mention}"


def test_a_value_closes_no_block_of_code_and_hides_no_address() -> None:
    data: Json = {"log": "a\n```\n*b*", "list": [{"t": "[bank](https://evil.example.com)"}]}
    text = filled("```\n{{ data.log }}\n``` {{ data.list[0].t }} [x](y)", data)
    assert text.count("```") == 2
    assert "[bank](" not in text
    assert "[x](y)" in text


@pytest.mark.parametrize(
    ("template", "data"),
    [
        ("{{ data.a }}{{ data.b }}", {"a": "[bank]", "b": "(https://evil.example.com)"}),
        ("{{ data.a }} is {{ data.b }}({{ data.c }})", {"a": "", "b": "[bank]", "c": "https://evil.example.com"}),
        ("{{ data }}", {"[bank](https://evil.example.com)": 1}),
        ("{{ data.a }}({{ data.b }})", {"a": ["bank"], "b": "https://evil.example.com"}),
    ],
)
def test_two_values_or_a_key_make_no_link_that_the_template_has_not(template: str, data: Json) -> None:
    assert "](" not in filled(template, data)


def test_invisible_characters_are_shown_and_line_feeds_are_one_kind() -> None:
    text = filled("{{ data }}", "a\r\nb\u202ec\x00\ud800")
    assert text == "a\nb\ufffdc\ufffd\ufffd"


@pytest.mark.parametrize(
    ("template", "data", "url"),
    [
        ("https://shop.example.com/o/{{ data.id }}", {"id": "a/../b?c"}, "https://shop.example.com/o/a%2F..%2Fb%3Fc"),
        ("myapp://open?event={{ data }}", {"id": 1}, "myapp://open?event=%7B%22id%22%3A1%7D"),
        ("{{ data.url }}", {"url": "https://a.example.com/x?y=z#1"}, "https://a.example.com/x?y=z#1"),
        ("{{ data.url }}", {"url": 'https://a.example.com/|b> "c'}, "https://a.example.com/%7Cb%3E%20%22c"),
        ("{{ data.url }}", {"url": "javascript:alert(1)"}, None),
        ("{{ data.url }}", {"url": ""}, None),
        ("https://shop.example.com/o/{{ data.id }}", {"id": ""}, None),
        ("https://shop.example.com/{{ data.id }}", {"id": "x" * MAX_LINK_CHARACTERS}, None),
    ],
)
def test_a_link_is_the_operators_address_or_a_web_address(template: str, data: Json, url: str | None) -> None:
    assert link_url(template, template_view(delivery_of(data))) == url
