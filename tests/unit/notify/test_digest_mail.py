"""A digest as a mail and as a message: its events by their kind, newest first, and nothing of a sender's that acts."""

from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.chat_messages import MessageSettings
from functions.notify.destination import Attempt
from functions.notify.destinations import ntfy, push, slack, sms
from functions.notify.destinations.email.mail import parse_address
from functions.notify.destinations.email.render import MailWriter
from functions.notify.digests.digest import DigestData, Kind, Listed, digest_json, read_digest
from functions.notify.recipients.people import Person
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.mail_settings import mail_settings
from tests.unit.notify.http_kinds import request_of
from tests.unit.notify.test_default_mail import Page

SENDER = parse_address("hookchain@example.com")
ATTEMPT = Attempt("k" * 64, 1, 0, 1_790_000_000.0, 15.0)


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
    mail = MailWriter(mail_settings(**settings)).write(delivery, delivery.event, SENDER, "k")
    assert mail.text is not None
    assert mail.html is not None
    return mail.subject, mail.text, mail.html


def test_the_subject_counts_the_events_and_names_their_sources_and_key() -> None:
    subject, _, _ = mail_of(delivery_of(TWO_KINDS), subject="{{ data.name }}", text="{{ data.name }}")
    assert subject == "43 events from shop, git, forum: pc-7"


def test_events_stand_under_their_kind_newest_first_and_the_others_are_counted() -> None:
    _, text, _ = mail_of(delivery_of(TWO_KINDS))
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
        mail = MailWriter(mail_settings()).write(delivery, delivery.event, SENDER, "k", person)
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


HOSTILE = st.text(
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


@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=5), HOSTILE)
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
        st.none() | st.booleans() | st.integers() | HOSTILE,
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
