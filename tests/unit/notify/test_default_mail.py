"""The mails that nobody had to write: of an event, with its body as received, and of a digest, which chats get too."""

import base64
import json
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from deploy.bundle.bundle import bundle_files
from functions.notify.chat_messages import MessageSettings
from functions.notify.destinations import ntfy, push, slack, sms
from functions.notify.destinations.email import default_mail
from functions.notify.destinations.email.email import MailWriter
from functions.notify.destinations.email.mail import Attachment, parse_address
from functions.notify.digests.digest import DigestData, Kind, Listed, digest_json, read_digest
from functions.notify.message_text import visible
from functions.notify.recipients.people import Person
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.mail_settings import mail_settings
from tests.unit.notify.http_kinds import request_of
from tests.unit.shared.json_values import values_of

EVENT = Event(
    "e1",
    "/sources/signup-form",
    "password_created",
    "2026-03-01T12:00:05.000Z",
    "00",
    {"customerName": "Chuck U Farley", "eventId": 12345},
    actor="chuckufarley@example.com",
    time="2026-03-01T13:00:00.000+01:00",
)
HOSTILE = st.text() | st.sampled_from(["<b>&amp;", "{{ 7 * 7 }}", "{% raw %}", "a.b", "https://example.com/?a=1&b=2"])
DATA: st.SearchStrategy[Json] = values_of(st.none() | st.booleans() | st.integers() | HOSTILE)


class Written(NamedTuple):
    text: str
    html: str
    attachments: tuple[Attachment, ...]


def body_of(event: Event) -> Written:
    body = default_mail.default_body(Delivery(event, "tell the list", "list"))
    assert body.text is not None
    assert body.html is not None
    return Written(body.text, body.html, body.attachments)


class Page(HTMLParser):
    """The text of each table cell, the tags, and the attributes with their values."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.names: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self._texts: list[str] | None = None
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        if tag in {"td", "th"}:
            self._texts = self.names if tag == "th" else self.cells
            self._texts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "a"}:
            self._texts = None

    def handle_data(self, data: str) -> None:
        if self._texts is not None:
            self._texts[-1] += data


def cells(data: Json) -> list[tuple[str, str]]:
    return [(visible(row.name), visible(row.value)) for row in default_mail.rows_of(data)[0]]


def test_the_text_says_when_who_and_from_where_and_shows_the_fields() -> None:
    data: Json = {"note": "two\nlines", "text": "x" * 600}
    lines = body_of(replace(EVENT, data=data, subject="account 7")).text.splitlines()
    for line in (
        "When    Sunday, 1 March 2026, 12:00:00 UTC",
        "Who     chuckufarley@example.com",
        "About   account 7",
        "Source  signup-form",
        "    lines",
        f"text: {'x' * 500} … 500 of 600 characters",
    ):
        assert line in lines


def test_without_its_own_time_it_says_when_it_was_received() -> None:
    assert "12:00:05 UTC (received)" in body_of(replace(EVENT, time=None)).text
    assert "soon" in body_of(replace(EVENT, time="soon")).text


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
    many: Json = {f"k{n}": n for n in range(default_mail.MAX_ROWS + 1)}

    assert default_mail.rows_of({"text": "x" * 12_345}) == (
        [default_mail.Row("text", "x" * 500, "… 500 of 12,345 characters")],
        False,
    )
    assert (len(default_mail.rows_of(many)[0]), default_mail.rows_of(many)[1]) == (default_mail.MAX_ROWS, True)
    for written in body_of(EVENT.with_data(many))[:2]:
        assert "There are more fields" in str(written)


@pytest.mark.parametrize(
    ("value", "is_link"),
    [
        ("https://example.com/a?b=c&d=e#f", True),
        ("HTTP://example.com", True),
        ("javascript:alert(1)", False),
        ("see https://example.com", False),
        ('https://example.com/"onmouseover="x', False),
        ("https://example.com/\nx", False),
        ("//example.com", False),
    ],
)
def test_only_a_plain_web_address_becomes_a_link(value: str, is_link: bool) -> None:
    page = Page(body_of(EVENT.with_data({"link": value})).html)
    assert [link for name, link in page.attributes if name == "href"] == ([value] if is_link else [])


@given(DATA, HOSTILE.filter(bool), st.none() | HOSTILE, st.none() | HOSTILE)
def test_the_html_shows_each_value_as_the_text_that_it_is(
    data: Json, event_type: str, actor: str | None, raw_body: str | None
) -> None:
    body = body_of(replace(EVENT, data=data, type=event_type, actor=actor, rawbody=raw_body))
    page, harmless = Page(body.html), Page(body_of(EVENT).html)
    rows = cells(data)

    assert page.names == [name for name, _ in rows]
    assert Counter([*([visible(actor)] if actor else []), *(value for _, value in rows)]) <= Counter(page.cells)
    assert page.tags <= harmless.tags | {"a", "wbr"}
    for written in (body.text, body.html):
        written.encode()
        assert not any(ord(c) < 32 and c not in "\n\t" for c in written)


def test_a_text_that_changes_its_direction_is_shown_without_that() -> None:
    body = body_of(EVENT.with_data({"file\u202e": "gpj.\u202eexe"}))
    assert "\u202e" not in body.text + unescape(body.html)


def test_the_mail_loads_nothing_from_outside() -> None:
    html = body_of(EVENT).html

    for outside in ("http://", "https://", "<link", "@import", "url(", "<img", "<script"):
        assert outside not in html


def test_the_body_as_received_stands_in_the_mail_byte_for_byte() -> None:
    raw = '{"customerName":  "Chuck"}'
    body = body_of(replace(EVENT, rawbody=raw, rawtype="application/json; charset=utf-8"))

    assert raw in body.text
    assert "Body as received (application/json, 26 bytes)" in body.text
    assert body.attachments == ()
    assert default_mail.received_body(replace(EVENT, rawbody="x" * default_mail.MAX_INLINE_BYTES)).attachment is None


@pytest.mark.parametrize(
    ("raw_type", "filename", "media_type"),
    [
        ("application/json", "body.json", "application/json"),
        ("application/vnd.api+json; charset=utf-8", "body.json", "application/json"),
        ("text/html", "body.html.txt", "text/plain"),
        ("application/x-evil\r\nBcc: x", "body.txt", "text/plain"),
        (None, "body.txt", "text/plain"),
    ],
)
def test_a_long_body_is_attached_under_a_name_of_ours(raw_type: str | None, filename: str, media_type: str) -> None:
    raw = "x" * (default_mail.MAX_INLINE_BYTES + 1)
    body = body_of(replace(EVENT, rawbody=raw, rawtype=raw_type))

    assert body.attachments == (Attachment(filename, media_type, raw.encode()),)
    assert f"attached as {filename}" in body.text
    assert raw not in body.text


def test_a_body_that_is_not_text_is_attached() -> None:
    content = b"\xff\x00binary"
    [attachment] = body_of(replace(EVENT, rawbase64=base64.b64encode(content).decode())).attachments

    assert (attachment.filename, attachment.content) == ("body.bin", content)


@given(DATA)
def test_without_the_body_as_received_the_data_is_shown_as_json(data: Json) -> None:
    body = default_mail.received_body(EVENT.with_data(data))
    shown = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, indent=2)

    assert (body.title, body.text) == ("Data", shown)
    assert visible(shown) in body_of(EVENT.with_data(data)).text


def test_a_bundle_of_notify_has_the_templates_of_the_mails(root: Path) -> None:
    files = bundle_files(root, "notify", "gcp")
    folder = PurePosixPath("functions/notify/destinations/email/templates")
    names = {path.name for path in files if path.parent == folder}
    assert names == {"page.html", "digest.html", "digest.txt"}


SENDER = parse_address("hookchain@example.com")


def listed(number: int, line: str = "", source: str = "shop", event_type: str = "order.created") -> Listed:
    at = f"2026-01-05T12:{number:02}:00.000Z"
    return Listed(f"e{number}", source, event_type, None, None, at, line or f"order {number}")


def delivery_of(digest: DigestData, merged: int | None = None) -> Delivery:
    event = Event("d" * 32, "/digests/office", "hookchain.digest", digest.last_at, "00", digest_json(digest))
    return Delivery(event, "orders", "office", merged=digest.count if merged is None else merged)


def digest_of(events: list[Listed], kinds: list[Kind], by: str | None = None) -> DigestData:
    count = sum(kind.count for kind in kinds)
    first, last = (events[-1].receivedat, events[0].receivedat) if events else ("", "")
    return DigestData(count, first, last, by, None, kinds, events)


TWO_KINDS = digest_of(
    [listed(9), listed(8, "push to main", "git", "push"), listed(3)],
    [Kind("shop", "order.created", 40), Kind("git", "push", 1), Kind("forum", "post.created", 2)],
    by="pc-7",
)


def mail_of(delivery: Delivery, **settings: Json) -> tuple[str, str, str]:
    mail = MailWriter(mail_settings(**settings)).write(delivery, SENDER, "k")
    assert mail.text is not None
    assert mail.html is not None
    return mail.subject, mail.text, mail.html


def test_events_stand_under_their_kind_newest_first_and_the_others_are_counted() -> None:
    subject, text, _ = mail_of(delivery_of(TWO_KINDS), subject="{{ data.name }}", text="{{ data.name }}")
    assert subject == "43 events from shop, git, forum: pc-7"
    told = (
        "43 events from shop, git, forum: pc-7",
        "The newest are listed; 40 events are counted and not shown.",
        *("Order created · shop (40)", "order 9", "order 3", "38 more events not shown"),
        *("Push · git (1)", "push to main", "Post created · forum (2)", "2 events not shown"),
    )
    assert [line for line in text.splitlines() if line in told] == list(told)


def test_times_are_the_recipients_and_the_day_stands_once_unless_there_are_several() -> None:
    night = digest_of([listed(9), replace(listed(8), receivedat="2026-01-04T23:30:00Z")], [Kind("shop", "x", 2)])
    delivery = delivery_of(night)
    for zone, lines in (
        ("Europe/Berlin", ["Received 5 Jan 2026, 00:30 to 13:09 (Europe/Berlin)", "    00:30"]),
        (None, ["Received 4 Jan 2026, 23:30 to 5 Jan 2026, 12:09 UTC", "    4 Jan 2026, 23:30"]),
    ):
        person = Person("a", "a@b.example", timezone=zone)
        mail = MailWriter(mail_settings()).write(delivery, SENDER, "k", person)
        assert set(lines) <= set((mail.text or "").splitlines())


def test_the_message_to_a_chat_says_the_same_in_fewer_words() -> None:
    message = MessageSettings(secret="s", text="{{ data.missing }}", link="https://example.com/{{ data.id }}").message(
        delivery_of(TWO_KINDS)
    )
    assert message.link is None
    lines = message.text.splitlines()
    assert lines[0] == "43 events from shop, git, forum: pc-7"
    assert lines[-2:] == ["Post created · forum (2)", "• 2 not shown"]
    assert {"• order 9", "• order 3", "• and 38 more", "• push to main"} <= {*lines}


@pytest.mark.parametrize("kind", [slack, sms, ntfy, push])
def test_templates_of_one_event_do_not_fail_a_digest(kind: ModuleType) -> None:
    secrets = {"s": "https://hooks.slack.com/x"}
    settings: dict[ModuleType, dict[str, Json]] = {
        slack: {"secret": "s", "text": "{{ data.a }}", "link": "https://example.com/{{ data.id }}"},
        sms: {
            **dict.fromkeys(("to", "from"), "+15005550006"),
            "account": "AC" + "0" * 32,
            "secret": "s",
            "text": "{{ data.a }}",
        },
        ntfy: {"topic": "t", "title": "{{ data.a }}", "priority": "{{ data.p }}", "tags": ["{{ data.t }}", "x"]},
        push: {"project": "my-shop", "topic": "t", "text": "{{ data.a }}", "data": {"id": "{{ data.id }}", "v": "1"}},
    }
    request = request_of(kind, settings[kind], delivery_of(TWO_KINDS), secrets)
    assert b"43" in request.body


def test_a_senders_event_that_calls_itself_a_digest_is_not_taken_for_one() -> None:
    event = Event("e1", "/sources/shop", "hookchain.digest", "2026-01-05T12:00:00Z", "00", digest_json(TWO_KINDS))
    for merged in (0, 1):
        assert mail_of(Delivery(event, "r", "office", merged=merged))[0] == "hookchain.digest from shop"
    own = Delivery(replace(event, source="/digests/office"), "r", "office")
    assert MessageSettings(secret="s", text="one event").message(own).text == "one event"


HOSTILE_WORDS = st.text(
    st.sampled_from("<>&\"'\n\r\t \u202e\u0000\u200bab/:`[]()@!-") | st.characters(exclude_categories=["Cs"]),
    max_size=60,
) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</td></table>",
        "javascript:alert(1)",
        "<!--",
        "]]>",
    ]
)


HARMLESS = Page(mail_of(delivery_of(TWO_KINDS))[2])


@given(
    st.lists(st.tuples(HOSTILE_WORDS, HOSTILE_WORDS, HOSTILE_WORDS, HOSTILE_WORDS), min_size=1, max_size=5),
    HOSTILE_WORDS,
)
def test_nothing_that_a_sender_writes_acts_in_the_mail(words: list[tuple[str, str, str, str]], key: str) -> None:
    events = [Listed(a, b, c, d, a, b, f"{c}{d}") for a, b, c, d in words]
    kinds = [Kind(event.source, event.type, 1) for event in events]
    digest = DigestData(len(events), words[0][0], words[0][1], key, None, kinds, events)
    subject, text, html = mail_of(delivery_of(digest))
    assert "\n" not in subject
    page = Page(html)
    assert page.tags <= HARMLESS.tags
    assert page.attributes <= HARMLESS.attributes
    assert not {"href", "src", "action", "background"} & {name for name, _ in page.attributes}
    assert "\u202e" not in text + html
    assert "\x00" not in text + html


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | HOSTILE_WORDS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["count", "from", "to", "by", "kinds", "events", "line", "source"]), inner
            )
        ),
    )
)
def test_a_digest_that_holds_anything_at_all_can_be_rendered(data: Json) -> None:
    event = Event("d" * 32, "/digests/office", "hookchain.digest", "2026-01-05T12:00:00Z", "00", data)
    mail_of(Delivery(event, "r", "office", merged=3))
    assert read_digest(event).unlisted >= 0
