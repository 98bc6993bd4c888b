"""The kinds of messages: Slack, Teams, Discord, Google Chat and Telegram, and the texts of messages."""

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Final

import pytest
from hypothesis import given, strategies as st

from functions.notify.bounded_texts import MARK, Unit, cut
from functions.notify.chat_messages import MessageSettings
from functions.notify.destinations import discord, google_chat, slack, teams, telegram
from functions.notify.http_kind import OutgoingRequest, template_view
from functions.notify.message_text import MAX_LINK_CHARACTERS, default_text, link_url, without_mentions
from shared.jsontext import Json, JsonObject, to_json, value_at
from tests.unit.notify import http_kinds
from tests.unit.notify.http_kinds import delivery_of, json_of

SECRETS: Final = {"key": "https://hooks.example.com/T1?x=y"}
TOKEN: Final = {"key": "123456:ABC-DEF1234567890"}
KINDS: Final[list[tuple[ModuleType, JsonObject, dict[str, str]]]] = [
    (slack, {}, SECRETS),
    (slack, {"channel": "C1"}, {"key": "xoxb-1"}),
    (teams, {}, SECRETS),
    (discord, {}, SECRETS),
    (google_chat, {}, SECRETS),
    (telegram, {"chat": "-100"}, TOKEN),
]
HOSTILE: Final = "<!channel> @everyone <@U1> <users/all> <at>Ann</at> ```"
LIVE: Final[dict[ModuleType, tuple[str, ...]]] = {
    slack: ("<!", "<@"),
    teams: ("<at>",),
    discord: ("@everyone", "<@"),
    google_chat: ("<users/",),
    telegram: ("@everyone",),
}
"""The beginnings of what calls somebody."""
each_kind = pytest.mark.parametrize(("kind", "settings", "secrets"), KINDS)


def request_of(
    kind: ModuleType, settings: JsonObject, data: Json = None, secrets: Mapping[str, str] = SECRETS
) -> OutgoingRequest:
    return http_kinds.request_of(kind, {"secret": "key", **settings}, data, secrets)


def text_in(body: Json) -> str:
    """Return the message's text, wherever the service has it."""
    card = value_at(body, "attachments", 0, "content", "body")
    return str(value_at(body, "text") or value_at(body, "content") or card)


@each_kind
def test_hostile_text_calls_nobody(kind: ModuleType, settings: JsonObject, secrets: dict[str, str]) -> None:
    for template in ({}, {"text": "```\n{{ data.text }}"}):
        body = json_of(request_of(kind, {**settings, **template}, {"text": HOSTILE}, secrets))
        text = text_in(body)
        assert not any(mention in text for mention in LIVE[kind])
        assert text.count("```") == len(template)
    assert body.get("allowed_mentions", {"parse": []}) == {"parse": [], "users": [], "roles": []} or kind is not discord


@each_kind
def test_a_long_text_is_cut_and_keeps_its_link(kind: ModuleType, settings: JsonObject, secrets: dict[str, str]) -> None:
    link = "https://shop.example.com/orders/17"
    for text in ("x" * 60_000, '<&>\n"' * 12_000, "👩‍💻" * 12_000):
        request = request_of(kind, {**settings, "text": "{{ data }}", "link": link}, text, secrets)
        body = json_of(request)
        assert MARK in text_in(body)
        assert link in to_json(body)
        assert len(request.body) < 28_000
        if kind in {discord, telegram}:
            assert len(text_in(body)) <= {discord: 2_000, telegram: 4_096}[kind]


@pytest.mark.parametrize(
    ("kind", "mention", "start"),
    [
        (slack, ["channel", "U0123", "S0123"], "<!channel> <@U0123> <!subteam^S0123> "),
        (discord, ["everyone", "123456789012345678"], "@everyone <@123456789012345678> "),
        (google_chat, ["all", "1234567890"], "<users/all> <users/1234567890> "),
    ],
)
def test_a_mention_that_the_settings_name_calls(kind: ModuleType, mention: list[Json], start: str) -> None:
    assert text_in(json_of(request_of(kind, {"mention": mention}))).startswith(start)


def test_a_thread_in_google_chat_is_left_out_where_the_event_names_none() -> None:
    request = request_of(google_chat, {"thread": "{{ data.id }}"}, {"id": ""})
    assert "thread" not in json_of(request)
    assert "messageReplyOption" not in request.url


def test_a_telegram_message_goes_to_a_topic_silently_and_calls_whom_the_settings_name() -> None:
    body = json_of(
        request_of(telegram, {"chat": "@news", "topic": 7, "silent": True, "mention": ["@ann"]}, None, TOKEN)
    )
    assert (body["chat_id"], body["message_thread_id"], body["disable_notification"]) == ("@news", 7, True)
    assert str(body["text"]).startswith("@ann Order created")


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
        *("<!channel>", "<@U1>", "@everyone", "x@here", "<users/all>"),
        *("@ann", "<@&5>", "<#C1>", "<https://a|b>", "</x:1>"),
    ],
)
def test_a_mention_is_inert_and_looks_the_same(mention: str) -> None:
    text = without_mentions(f"a {mention}")
    assert mention not in text
    assert text.replace("\u200b", "") == f"a {mention}"


@pytest.mark.parametrize(
    ("template", "data"),
    [
        ("{{ data.a }}{{ data.b }}", {"a": "[bank]", "b": "(https://evil.example.com)"}),
        ("{{ data.a }} is {{ data.b }}({{ data.c }})", {"a": "", "b": "[bank]", "c": "https://evil.example.com"}),
        ("{{ data }}", {"[bank](https://evil.example.com)": 1}),
        ("{{ data.a }}({{ data.b }})", {"a": ["bank"], "b": "https://evil.example.com"}),
        ("{{ data.a }}({{ data.b }})\n[x](y)", {"a": "[bank]", "b": "https://evil.example.com"}),
        ("[bank]{{ data }}\n[x](y)", "(https://evil.example.com)"),
        ("{{ data | replace('\r', '') }}", "[bank]\r(https://evil.example.com)"),
        ("{{ data }}", "[bank]\ufdd1https://evil.example.com)"),
        (
            "```\n{{ data.log }}\n``` {{ data.t }} [x](y)",
            {"log": "a\n```\n*b*", "t": "[bank](https://evil.example.com)"},
        ),
    ],
)
def test_values_and_keys_make_no_link_and_no_block_that_the_template_has_not(template: str, data: Json) -> None:
    text = filled(template, data)
    assert (text.count("]("), text.count("```")) == (template.count("]("), template.count("```"))


def test_the_default_text_hides_no_address() -> None:
    event = delivery_of({"[a](b)": 1}, actor="[bank](https://evil.example.com)").event
    assert "](" not in default_text(event)


VALUES: Final = [
    "{{ data }}",
    "{{ data | tojson }}",
    "{{ data.list | join }}",
    "{{ data.text | replace('\r', '') }}",
    "{% filter replace('\r', '') %}{{ data.text }}{% endfilter %}",
    "{{ data.text ~ data.list[0] }}",
    "{% for key in data %}{{ key }}{% endfor %}",
    "{{ data.text }}{{ data.list[0] }}",
    "{% set joined %}{{ data.text }}{{ data.text }}{% endset %}{{ joined | replace('\r', '') }}",
]
OWN: Final = ["```\n%s```\n[docs](%s)", "{{ '```' if data }}%s{{ '```' }} [docs](a)%s", "[docs]%s ```%s```[x](y)"]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(OWN),
    st.sampled_from(VALUES),
    st.lists(st.text("`](\r\n\ufdd0\ufdd1\u2028/a", max_size=6), min_size=3, max_size=3),
)
def test_no_value_makes_a_block_of_code_or_a_link(
    kind: tuple[ModuleType, JsonObject, dict[str, str]], own: str, value: str, texts: list[str]
) -> None:
    module, settings, secrets = kind
    template = own % (value, value)
    data: Json = {"text": texts[0], "list": [texts[1], texts[2]], texts[2]: texts[0]}
    body = json_of(request_of(module, {**settings, "text": template}, data, secrets))
    text = text_in(body)
    backticks_in_blocks = sum(map(len, re.findall("`{3,}", text)))
    assert (backticks_in_blocks, text.count("](")) == (6, own.count("]("))


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


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200) | st.text("ab \n", max_size=400)
ENCODINGS: dict[Unit, tuple[str, int]] = {
    "characters": ("utf-32-le", 4),
    "utf-16": ("utf-16-le", 2),
    "bytes": ("utf-8", 1),
}


@given(ANY_TEXT, st.integers(3, 300), st.sampled_from(sorted(ENCODINGS)))
def test_a_cut_text_has_at_most_so_many_units_and_begins_as_before(text: str, limit: int, unit: Unit) -> None:
    encoding, width = ENCODINGS[unit]
    whole = text.encode("utf-8", "replace").decode()

    found = cut(text, limit, unit)

    assert len(found.encode(encoding)) <= limit * width
    assert (found == whole) == (len(whole.encode(encoding)) <= limit * width)
    assert found == whole or (found.endswith(MARK) and whole.startswith(found.removesuffix(MARK)))
