"""A mail rendered from an event by a destination's settings."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from functions.notify.destinations.email.email import sender_of
from functions.notify.destinations.email.mail import Address
from functions.notify.destinations.email.render import AttachmentEntry, MailSettings, text_of, without_unsafe_links
from functions.notify.destinations.email.settings import AttachmentSettings, Settings
from shared.delivery import Disabled
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.templating.template import KNOWN
from tests.unit.notify.rendered import DATA, EVENT, SENDER, settings, written


def with_data(**data: Json) -> Event:
    return EVENT.with_data({**DATA, **data})


def test_without_a_template_the_mail_is_readable_anyway() -> None:
    mail = written()

    assert mail.subject == "signup.created from signup-form"
    assert "Signup created" in (mail.text or "")
    assert "Signup created" in (mail.html or "")
    assert (mail.sender, mail.to, mail.separate) == (SENDER, (Address("list@example.com"),), False)


def test_a_template_can_use_every_field_of_the_event_and_the_page_lists_them(root: Path) -> None:
    event = replace(EVENT, deliveryid="d-7", subject="s", actor="a", time="2026-03-01T12:00:00Z", hops=2)
    fields = sorted(KNOWN - {"data", "person"})
    mail = written(event, text=" ".join(f"{name}={{{{ {name} }}}}" for name in fields))
    page = (root / "functions/notify/docs/templates.md").read_text(encoding="utf-8")

    assert mail.text == (
        "actor=a count=1 deliveryid=d-7 destination=list hops=2 id=e1 receivedat=2026-03-01T12:00:05.000Z"
        " route=tell the list source=signup-form subject=s time=2026-03-01T12:00:00Z type=signup.created"
    )
    assert not [name for name in KNOWN if f"`{name}`" not in page]


def test_a_template_that_gives_nothing_still_makes_a_mail() -> None:
    mail = written(subject="{{ data.nothing | default('') }}", text="{{ data.nothing | default('') }}")

    assert (mail.subject, mail.text) == ("(no subject)", " ")


def test_an_html_template_is_escaped_its_links_are_safe_and_its_words_are_the_text() -> None:
    mail = written(with_data(name="<b>&"), html='<p>Dear {{ data.name }}</p><a href="{{ data.link }}">go</a>')

    assert mail.html == "<p>Dear &lt;b&gt;&amp;</p><a >go</a>"
    assert mail.text == "Dear <b>&\ngo"


@pytest.mark.parametrize("name", ["a\r\nBcc: x@y", "a\n", "a\u2028b", "a\x85b", "a\x00"])
def test_a_subject_that_smuggles_a_line_makes_no_mail(name: str) -> None:
    with pytest.raises(Permanent) as caught:
        written(with_data(name=name), subject="New: {{ data.name }}")

    assert caught.value.code == "invalid_header"


@pytest.mark.parametrize(
    "address",
    [
        "a@b, c@d",
        "a@b\r\nRCPT TO:<c@d>",
        f"{'n' * 2_048} <a@example.com>",
        ", ".join(f"a{n}@example.com" for n in range(51)),
        "ada@elsewhere.org",
        "ada@sub.example.com",
        "nobody",
    ],
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_a_recipient_that_the_event_names_is_one_and_on_the_allow_list(field: str, address: str) -> None:
    values: JsonObject = {field: ["{{ data.email }}"], "allow_recipients": ["example.com"]}

    with pytest.raises(Permanent) as caught:
        written(with_data(email=address), **values)

    assert caught.value.code == "recipient_not_allowed"
    assert address not in caught.value.detail


def test_a_recipient_on_the_allow_list_gets_the_mail() -> None:
    mail = written(
        to=["{{ data.email }}", "ops@example.com", "{{ data.other | default('') }}"], allow_recipients="example.com"
    )

    assert [address.address for address in mail.to] == ["ada@example.com", "ops@example.com"]


def test_a_mail_to_nobody_is_not_made() -> None:
    with pytest.raises(Permanent, match="nobody is left"):
        written(to="{{ data.other | default('') }}", allow_recipients=["example.com"])


@pytest.mark.parametrize(
    ("email", "reply_to"),
    [("ada@example.com", Address("ada@example.com")), ("not one", None), ("a@b\r\nBcc: c@d", None), ("", None)],
)
def test_a_reply_address_that_the_event_names_badly_costs_nobody_the_mail(email: str, reply_to: Address | None) -> None:
    assert written(with_data(email=email), reply_to="{{ data.email }}").reply_to == reply_to


def test_each_person_on_a_list_has_a_mail_of_their_own() -> None:
    mail = written(to=["a@x.y", "b@x.y", "A@x.y"])

    assert mail.separate
    assert [[address.address for address in each.recipients] for each in mail.each()] == [["a@x.y"], ["b@x.y"]]


def test_with_a_copy_or_on_demand_all_are_in_one_mail() -> None:
    mail = written(to=["a@x.y", "b@x.y"], cc="c@x.y", bcc=["d@x.y", "a@x.y", "C@x.y"])

    assert [address.address for address in mail.recipients] == ["a@x.y", "b@x.y", "c@x.y", "d@x.y"]
    assert mail.each() == (mail,)
    assert not written(to=["a@x.y", "b@x.y"], separate=False).separate


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"to": ["nobody"]}, "is not one mail address"),
        ({"to": ["{{ data.email }}"]}, "needs `allow_recipients`"),
        ({"from": "a@b\r\nBcc: c@d"}, "is not one mail address"),
        ({"subject": "{{ name }}"}, "did you mean 'data.name'"),
        ({"html": "{{ data.name"}, "unexpected end of template"),
        ({"separate": True, "cc": "c@x.y"}, "there is no `cc` nor `bcc`"),
        ({"to": [f"a{n}@x.y" for n in range(51)], "separate": False}, "at most 50 people"),
    ],
)
def test_faulty_settings_are_rejected_when_they_are_loaded(values: JsonObject, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**values)

    assert message in str(caught.value)


def test_settings_survive_being_written_to_a_slice() -> None:
    whole = settings(**{"from": "a@b.c"}, to=["x@y.z", "v@w.z"], subject="{{ type }}")

    dumped = whole.model_dump(mode="json", by_alias=True)
    assert Settings.model_validate(dumped).model_dump(mode="json", by_alias=True) == dumped
    assert dumped["separate"] is True
    assert dumped.keys() == MailSettings.__annotations__.keys()
    assert AttachmentSettings.model_fields.keys() == AttachmentEntry.__annotations__.keys()


@pytest.mark.parametrize(
    ("own", "default", "to", "address"),
    [
        ("own@x.y", "default@x.y", ["to@x.y"], "own@x.y"),
        (None, "default@x.y", ["to@x.y"], "default@x.y"),
        (None, None, ["{{ data.email }}", "to@x.y"], "to@x.y"),
    ],
)
def test_the_sender_is_the_nearest_that_is_named(
    own: str | None, default: str | None, to: list[str], address: str
) -> None:
    assert sender_of(own, default, to) == Address(address)


@pytest.mark.parametrize(
    ("default", "message"), [("no address", "EMAIL_FROM is not one mail address"), (None, "set EMAIL_FROM")]
)
def test_without_a_sender_the_destination_waits_for_the_operator(default: str | None, message: str) -> None:
    found = sender_of(None, default, ["{{ data.email }}"])

    assert isinstance(found, Disabled)
    assert message in found.reason


@pytest.mark.slow
def test_a_template_that_looks_through_a_long_list_for_each_of_its_items_holds_up_no_other_mail() -> None:
    items: list[Json] = [{"id": number, "of": -1} for number in range(30_000)]
    joined = "{% for a in data.items %}{% for b in data.items if b.of == a.id %}{{ b.id }}{% endfor %}{% endfor %}"

    with pytest.raises(Permanent) as caught:
        written(with_data(items=items), text=joined)

    assert (caught.value.code, "templates compute" in caught.value.detail) == ("time_limit_exceeded", True)


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
