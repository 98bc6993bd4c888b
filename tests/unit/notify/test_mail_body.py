"""The mail that nobody had to write."""

import html
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.destinations.email.default_body import (
    MAX_NAME_CHARACTERS,
    MAX_ROWS,
    MAX_VALUE_CHARACTERS,
    rows_of,
)
from functions.notify.destinations.email.default_page import MAX_PREVIEW_CHARACTERS, MAX_PREVIEW_ROWS
from functions.notify.destinations.email.render import text_of, without_unsafe_links
from functions.notify.message_text import title_of, visible
from shared.jsontext import Json
from shared.times import read_time
from tests.unit.notify.mail_bodies import DATA, EVENT, HOSTILE, body_of


def test_a_row_is_made_of_no_more_of_a_name_and_a_value_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    data: Json = {str(number): "v" * 100_000 for number in range(MAX_ROWS)}
    for _ in range(30):
        data = {"\u202e" * 65_000: data}
    lengths: list[int] = []

    def measured(text: str) -> str:
        lengths.append(len(text))
        return visible(text)

    monkeypatch.setattr("functions.notify.destinations.email.default_page.visible", measured)
    body_of(EVENT.with_data(data))
    assert len(rows_of(data)[0].names) == MAX_ROWS
    assert 0 < max(lengths) <= MAX_ROWS * (MAX_NAME_CHARACTERS + MAX_VALUE_CHARACTERS + 50)


def cells(data: Json) -> list[tuple[str, str]]:
    rows, _ = rows_of(data)
    return list(zip(map(visible, rows.names), map(visible, rows.values), strict=True))


@pytest.mark.parametrize("part", ["text", "html"])
def test_it_says_what_happened_when_by_whom_and_every_field(part: str) -> None:
    body = body_of(replace(EVENT, subject="account 7"))
    written = body.text if part == "text" else body.html

    for message in (
        "Password created",
        "Sunday, 1 March 2026, 12:00:00 UTC",
        "chuckufarley@example.com",
        "account 7",
        "signup-form",
        "customerName",
        "Chuck U Farley",
        "12345",
        "e1",
        "tell the list",
    ):
        assert message in written


def test_without_its_own_time_it_says_when_it_was_received() -> None:
    assert "12:00:05 UTC (received)" in body_of(replace(EVENT, time=None)).text
    assert "soon" in body_of(replace(EVENT, time="soon")).text


@pytest.mark.parametrize(
    ("event_type", "title"),
    [
        ("password_created", "Password created"),
        ("signup.created", "Signup created"),
        ("received", "Webhook from signup-form"),
        ("...", "Webhook from signup-form"),
        ("a\u202eb", "A\ufffdb"),
    ],
)
def test_the_title_is_the_type_as_a_phrase(event_type: str, title: str) -> None:
    assert title_of(replace(EVENT, type=event_type)) == title


def test_nested_fields_are_rows_named_by_their_paths() -> None:
    data: Json = {
        "user": {"mail": "a@b", "gone": None, "admin": False, "tags": ["x", "y"], "none": [], "blank": " "},
        "items": [{"sku": "A"}, {"sku": "B", "sizes": [[1], 2]}],
        "a.b": {"c d": 1},
        "": 2,
    }

    assert cells(data) == [
        ("user.mail", "a@b"),
        ("user.gone", "—"),
        ("user.admin", "false"),
        ("user.tags", "x, y"),
        ("user.none", "—"),
        ("user.blank", "—"),
        ("items[0].sku", "A"),
        ("items[1].sku", "B"),
        ("items[1].sizes[0]", "1"),
        ("items[1].sizes[1]", "2"),
        ('["a.b"]["c d"]', "1"),
        ('[""]', "2"),
    ]


def test_long_values_and_many_fields_are_cut_with_a_mark() -> None:
    [long, _] = rows_of({"text": "x" * 12_345})
    rows, has_more = rows_of({f"k{n}": n for n in range(MAX_ROWS + 1)})

    assert (long.values, long.cuts) == (["x" * MAX_VALUE_CHARACTERS], {0: "… 500 of 12,345 characters"})
    assert (len(rows.names), has_more) == (MAX_ROWS, True)
    assert "There are more fields" in body_of(EVENT.with_data({f"k{n}": n for n in range(MAX_ROWS + 1)})).html


@pytest.mark.parametrize(
    ("value", "is_link"),
    [
        ("https://example.com/a?b=c&d=e#f", True),
        ("HTTP://example.com", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("see https://example.com", False),
        ('https://example.com/"onmouseover="x', False),
        ("https://example.com/\nx", False),
        ("//example.com", False),
    ],
)
def test_only_a_plain_web_address_becomes_a_link(value: str, is_link: bool) -> None:
    html = body_of(EVENT.with_data({"link": value})).html

    assert (0 in rows_of({"link": value})[0].links) is is_link
    assert ("href=" in html) is is_link


@pytest.mark.parametrize(
    "hostile", ["<img src=x onerror=1>", "</body><script>alert(1)</script>", "\"'><b>", "{{ 77 * 77 }}", "<!--", "]]>"]
)
def test_what_a_sender_wrote_is_text_in_the_html(hostile: str) -> None:
    event = replace(EVENT, data={hostile: hostile}, actor=hostile, subject=hostile, type=hostile, rawbody=hostile)

    html = body_of(event).html

    assert "<script" not in html
    assert "<img" not in html
    assert "<b>" not in html
    assert "5929" not in html
    assert html.count("<!--") == 2
    assert html.count("</body>") == 1


@given(st.text(), st.text(max_size=200))
def test_any_text_makes_a_mail_without_controls(key: str, value: str) -> None:
    event = replace(EVENT, data={key: [value, {key: value}]}, type=value or "x", actor=key, rawbody=value)
    body = body_of(event)

    for written in (body.text, body.html):
        written.encode()
        assert not any(ord(c) < 32 and c not in "\n\t" for c in written)


class Cells(HTMLParser):
    """The text of each table cell up to the first tag that ends in it, and the names of all tags."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self._is_in_cell = False
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in {"td", "th"}:
            self.cells.append("")
            self._is_in_cell = True

    def handle_endtag(self, _: str) -> None:
        self._is_in_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            self.cells[-1] += data


@given(DATA, HOSTILE.filter(bool), st.none() | HOSTILE, st.none() | HOSTILE)
def test_the_html_shows_each_value_as_the_text_that_it_is(
    data: Json, event_type: str, actor: str | None, raw_body: str | None
) -> None:
    event = replace(EVENT, data=data, type=event_type, actor=actor, rawbody=raw_body)
    page, harmless = Cells(body_of(event).html), Cells(body_of(EVENT).html)
    shown = [*([visible(actor)] if actor else []), *chain.from_iterable(cells(data))]

    assert Counter(shown) <= Counter(page.cells)
    assert page.tags <= harmless.tags | {"a", "wbr"}


@given(DATA)
def test_the_rows_are_those_of_a_plain_loop(data: Json) -> None:
    rows, _ = rows_of(data)
    body = body_of(EVENT.with_data(data))
    text = "\n".join([f"{name}: {value}".replace("\n", "\n    ") for name, value in cells(data)])
    names = [html.escape(visible(name), quote=False).replace(".", ".<wbr>") for name in rows.names]

    assert not rows.names or f"\n\n{text}\n\nData (" in body.text
    assert re.findall(r"<th [^>]*>(.*)</th>\n<td ", body.html) == names


def test_the_mail_loads_nothing_from_outside() -> None:
    html = body_of(EVENT).html

    for outside in ("http://", "https://", "<link", "@import", "url(", "<img", "<script"):
        assert outside not in html


@pytest.mark.parametrize(
    ("html", "safe"),
    [
        ('<a href="https://x.y/a?b=1">go</a>', '<a href="https://x.y/a?b=1">go</a>'),
        ('<a href="mailto:a@b.c">', '<a href="mailto:a@b.c">'),
        ('<a href="/relative">', '<a href="/relative">'),
        ('<a href="javascript:alert(1)">go</a>', "<a >go</a>"),
        ("<a href = 'JaVaScRiPt:alert(1)'>", "<a >"),
        ('<a href="java&#9;script&colon;alert(1)">', "<a >"),
        ('<a href="&#x6A;avascript:alert(1)">', "<a >"),
        ('<a href=" \u200bvbscript:x">', "<a >"),
        ("<a href=data:text/html,x>", "<a >"),
        ('<img src="data:image/png;base64,AAAA">', '<img src="data:image/png;base64,AAAA">'),
        ('<img src="data:image/svg+xml,x">', "<img >"),
        ("<p>the attribute href is text</p>", "<p>the attribute href is text</p>"),
    ],
)
def test_links_that_run_something_are_dropped(html: str, safe: str) -> None:
    assert without_unsafe_links(html) == safe


def test_html_has_words_for_those_who_read_text() -> None:
    html = (
        "<head><title>t</title><style>p{}</style></head>"
        "<h1>Hi <b>Ada</b>!</h1><p>a &amp; b<br>c</p><tr><td>k</td><td>v</td></tr>"
    )

    assert text_of(html) == "Hi Ada!\n\na & b\nc\n\nk v"
    assert text_of("") == " "


ENDINGS = st.sampled_from(["Z", "z", "+00:00", "-00:00", "+02:00", ".5Z", ",250Z", ".123456+14:00"])
FORMS = st.sampled_from(
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S", "%G-W%V-%uT%H:%M:%S", "%Y-%m-%dT%H:%M"]
)


@given(st.datetimes(datetime(1900, 1, 2), datetime(2100, 1, 1)), FORMS, ENDINGS)
def test_a_time_in_any_form_is_shown_as_in_utc(time: datetime, form: str, ending: str) -> None:
    when = time.strftime(form) + ending
    try:
        moment = read_time(when).astimezone(UTC)
    except ValueError:
        shown = when
    else:
        shown = f"{moment:%A}, {moment.day} {moment:%B %Y, %H:%M:%S} UTC"

    assert f"\nWhen    {shown}\n" in body_of(replace(EVENT, time=when)).text


@given(
    st.lists(st.tuples(st.text("ab .·\n\t\u2003<", max_size=9), st.text("cd  ·\n\t\u2003>", max_size=60)), max_size=8)
)
def test_the_preview_is_the_first_rows_on_one_line(pairs: list[tuple[str, str]]) -> None:
    rows = cells(dict(pairs))[:MAX_PREVIEW_ROWS]
    line = " ".join(" · ".join(f"{name}: {value}" for name, value in rows).split())[:MAX_PREVIEW_CHARACTERS]

    shown = html.escape(line, quote=False).replace("·", "&middot;")
    assert f"overflow:hidden;opacity:0;'>{shown}</div>" in body_of(EVENT.with_data(dict(pairs))).html
