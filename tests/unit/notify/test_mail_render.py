"""A mail rendered from an event by a destination's settings, and its bytes."""

import email
import email.policy
from base64 import b64encode
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from functions.notify.destinations.email.email import AttachmentEntry, MailSettings, MailWriter, sender_of
from functions.notify.destinations.email.mail import (
    Address,
    AddressFault,
    Attachment,
    Mail,
    allowed_recipient,
    is_allowed,
    parse_address,
    without_duplicates,
)
from functions.notify.destinations.email.mail_bytes import message_bytes
from functions.notify.destinations.email.mail_html import text_of, without_unsafe_links
from functions.notify.destinations.email.settings import AttachmentSettings, Settings
from shared.delivery import Delivery, Disabled
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.templating.template import KNOWN
from tests.fakes.mail_settings import mail_settings

SENDER = Address("hooks@example.com", "Hooks")
DATA: JsonObject = {"name": "Ada", "email": "ada@example.com", "link": "javascript:alert(1)"}
EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:05.000Z", "00", DATA)
KEY = "0123456789abcdef" * 4


def written(event: Event = EVENT, **values: Json) -> Mail:
    writer = MailWriter(mail_settings(**({"to": "list@example.com"} | values)))
    return writer.write(Delivery(event, "tell the list", "list"), SENDER, KEY)


def with_data(**data: Json) -> Event:
    return EVENT.with_data({**DATA, **data})


def test_a_template_can_use_every_field_of_the_event_and_the_page_lists_them(root: Path) -> None:
    event = replace(EVENT, action="new", deliveryid="d-7", subject="s", actor="a", time="2026-03-01T12:00:00Z", hops=2)
    fields = sorted(KNOWN - {"data", "person"})
    mail = written(event, text=" ".join(f"{name}={{{{ {name} }}}}" for name in fields))
    page = (root / "functions/notify/docs/templates.md").read_text(encoding="utf-8")

    assert mail.text == (
        "action=new actor=a count=1 deliveryid=d-7 destination=list hops=2 id=e1 receivedat=2026-03-01T12:00:05.000Z"
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


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        *((f"a{end}Bcc: x@y", "New: a Bcc: x@y") for end in ("\r\n", "\n ", "\u2028", "\x85", "\x00")),
        ("\u202eexe.gpj\u2069 👩\u200d💻", "New: \ufffdexe.gpj\ufffd 👩\u200d💻"),
    ],
)
def test_a_subject_is_one_line_in_which_nothing_is_invisible(name: str, subject: str) -> None:
    assert written(with_data(name=name), subject="New: {{ data.name }}").subject == subject


@pytest.mark.parametrize(
    "address", ["a@b, c@d", "a@b\r\nRCPT TO:<c@d>", "ada@elsewhere.org", "ada@sub.example.com", "nobody"]
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_a_recipient_that_the_event_names_is_one_and_on_the_allow_list(field: str, address: str) -> None:
    values: JsonObject = {field: ["{{ data.email }}"], "allow_recipients": ["example.com"]}

    with pytest.raises(Permanent, match="recipient_not_allowed") as caught:
        written(with_data(email=address), **values)
    assert address not in caught.value.detail


@pytest.mark.parametrize(
    ("email", "reply_to"),
    [
        ("ada@example.com", Address("ada@example.com")),
        *((bad, None) for bad in ("not one", "a@b\r\nBcc: c@d", "", f"{' ' * 50_000}x")),
    ],
    ids=["good", "not one", "two lines", "empty", "many spaces"],
)
def test_a_reply_address_that_the_event_names_badly_costs_nobody_the_mail(email: str, reply_to: Address | None) -> None:
    assert written(with_data(email=email), reply_to="{{ data.email }}").reply_to == reply_to


def test_with_a_copy_or_on_demand_all_are_in_one_mail() -> None:
    mail = written(to=["a@x.y", "b@x.y"], cc="c@x.y", bcc=["d@x.y", "a@x.y", "C@x.y"])

    assert [address.address for address in mail.recipients] == ["a@x.y", "b@x.y", "c@x.y", "d@x.y"]
    assert mail.each() == (mail,)
    assert not written(to=["a@x.y", "b@x.y"], separate=False).separate


def test_settings_survive_being_written_to_a_slice() -> None:
    whole = Settings.model_validate({"from": "a@b.c", "to": ["x@y.z", "v@w.z"], "subject": "{{ type }}"})

    dumped = whole.model_dump(mode="json", by_alias=True)
    assert Settings.model_validate(dumped).model_dump(mode="json", by_alias=True) == dumped
    assert dumped["separate"] is True
    assert dumped.keys() == MailSettings.__annotations__.keys()
    assert AttachmentSettings.model_fields.keys() == AttachmentEntry.__annotations__.keys()


@pytest.mark.parametrize(
    ("own", "default", "to", "found"),
    [
        ("own@x.y", "default@x.y", ["to@x.y"], Address("own@x.y")),
        (None, "default@x.y", ["to@x.y"], Address("default@x.y")),
        (None, None, ["{{ data.email }}", "to@x.y"], Address("to@x.y")),
        (None, "no address", [], Disabled("EMAIL_FROM is not one mail address such as ada@example.com; correct it")),
        (None, None, [], Disabled("nobody to send from: set EMAIL_FROM, or the destination's `from`")),
    ],
)
def test_the_nearest_named_sender_is_used_or_the_destination_is_held(
    own: str | None, default: str | None, to: list[str], found: Address | Disabled
) -> None:
    assert sender_of(own, default, to) == found


@pytest.mark.parametrize(
    ("html", "safe"),
    [
        ('<a href="https://x.y/a?b=1">go</a>', '<a href="https://x.y/a?b=1">go</a>'),
        ('<a href="/relative">', '<a href="/relative">'),
        ('<a href="javascript:alert(1)">go</a>', "<a >go</a>"),
        ("<a href = 'JaVaScRiPt:alert(1)'>", "<a >"),
        ('<a href="java&#9;script&colon;alert(1)">', "<a >"),
        ('<a href=" \u200bvbscript:x">', "<a >"),
        ("<a href=data:text/html,x>", "<a >"),
        ('<img src="data:image/png;base64,AAAA">', '<img src="data:image/png;base64,AAAA">'),
        ('<img src="data:image/svg+xml,x">', "<img >"),
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


MAIL = Mail(
    key=KEY,
    sender=SENDER,
    to=(Address("a@x.y", "Ada, of X"), Address("b@x.y")),
    subject="Grüße",
    text="Hä?\n.dot\n",
    html="<p>Hä?</p>",
    cc=(Address("c@x.y"),),
    bcc=(Address("d@x.y"),),
    reply_to=Address("r@x.y", 'The "R"'),
    attachments=(Attachment("body.bin", "application/octet-stream", b"\xff\x00"),),
)


def test_the_message_says_what_the_mail_says() -> None:
    content = message_bytes(MAIL, 1_772_366_400.0)
    message = email.message_from_bytes(content, EmailMessage, policy=email.policy.default)

    assert dict(message.items()) | {"Content-Type": ""} == {
        "Content-Type": "",
        "MIME-Version": "1.0",
        "From": "Hooks <hooks@example.com>",
        "To": '"Ada, of X" <a@x.y>, b@x.y',
        "Cc": "c@x.y",
        "Reply-To": '"The \\"R\\"" <r@x.y>',
        "Subject": "Grüße",
        "Date": "Sun, 01 Mar 2026 12:00:00 -0000",
        "Message-ID": f"<{KEY[:32]}@example.com>",
        "Auto-Submitted": "auto-generated",
        "X-Hookchain-Delivery": KEY,
    }
    reopened = replace(MAIL, key=f"{KEY}-r1")
    assert dict(reopened.headers)["Message-ID"] == f"<{KEY[:32]}-r1@example.com>"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (plain.get_content(), html.get_content()) == ("Hä?\r\n.dot\r\n", "<p>Hä?</p>")
    [attachment] = message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("body.bin", b"\xff\x00")


@pytest.mark.parametrize(
    "hostile", ["=?utf-8?q?x=0D=0ABcc:_e@x.y?=", "=?us-ascii?q?=0ABcc=3A_e@x.y?=", "a =?utf-8?b?DQpCY2M6IHhAeQ==?= b"]
)
def test_an_encoded_word_in_a_subject_or_a_name_stays_the_text_it_is(hostile: str) -> None:
    content = message_bytes(replace(MAIL, subject=hostile, sender=Address("a@x.y", hostile)), 0)

    assert b"\nBcc" not in content
    assert hostile.encode() not in content
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["Subject"] == hostile
    assert "Bcc" not in message


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300))
def test_any_subject_arrives_as_it_was_written(subject: str) -> None:
    content = message_bytes(replace(MAIL, subject=subject.strip(), attachments=()), 0)

    found = str(email.message_from_bytes(content, policy=email.policy.default)["Subject"])
    assert " ".join(found.split()) == " ".join(subject.split())
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))


def test_an_address_beyond_ascii_travels_as_it_is() -> None:
    content = message_bytes(replace(MAIL, to=(Address("zoë@x.y", "Zoë"),)), 0)

    assert "<zoë@x.y>".encode() in content


def attached(data: Json, **values: Json) -> Attachment:
    [attachment] = written(EVENT.with_data(data), text="x", attach=[values]).attachments
    return attachment


@pytest.mark.parametrize(
    ("data", "settings_", "found"),
    [
        ("a: 1\n", {"filename": "event.yaml"}, Attachment("event.yaml", "application/yaml", b"a: 1\n")),
        ({"a": [1]}, {"filename": "a.JSON"}, Attachment("a.JSON", "application/json", b'{\n  "a": [\n    1\n  ]\n}')),
        (
            {"files": [{"type": "image/png", "size": 2, "base64": b64encode(b"\x00\xff").decode()}]},
            {"filename": "logo.png", "content": "data.files.0", "type": "image/png"},
            Attachment("logo.png", "image/png", b"\x00\xff"),
        ),
        ({"base64": "no?"}, {"filename": "a.txt"}, Attachment("a.txt", "text/plain", b'{\n  "base64": "no?"\n}')),
        (False, {"filename": "a.txt"}, Attachment("a.txt", "text/plain", b"false")),
    ],
)
def test_text_bytes_and_other_values_are_attached(data: Json, settings_: dict[str, Json], found: Attachment) -> None:
    assert attached(data, **settings_) == found


@pytest.mark.parametrize(
    ("hostile", "filename"),
    [
        ("../../etc/passwd", "etc_passwd.txt"),
        ("a\r\nBcc: x", "a__Bcc_ x.txt"),
        ("\u202egpj.exe", "gpj.exe.txt"),
        ("..", "attachment.txt"),
        ("x" * 500, "x" * 96 + ".txt"),
        ("😀" * 90, "😀" * 59 + ".txt"),  # so that the header's line has at most 998 characters
    ],
)
def test_an_event_chooses_neither_the_extension_nor_the_folder_of_a_file(hostile: str, filename: str) -> None:
    assert attached({"name": hostile}, filename="{{ data.name }}.txt").filename == filename


@pytest.mark.parametrize(
    ("data", "content", "rule"),
    [
        ({"document": "x"}, "data.documnt", "'data.documnt' is not in this event; did you mean 'data.document'"),
        ({"document": None}, "data.document", "'data.document' is null in this event; set it in a step"),
        (None, "data", "'data' is null in this event; set it in a step"),
    ],
)
def test_a_value_that_the_event_lacks_is_no_attachment(data: Json, content: str, rule: str) -> None:
    with pytest.raises(Permanent, match="undefined_field") as caught:
        attached(data, filename="a.txt", content=content)
    assert f"attach[0].content: {rule}" in caught.value.detail


# Addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", Address("ada@example.com")),
        (" ada@example.com ", Address("ada@example.com")),
        ("a.b+c=d/e!#$%&'*?^_`{|}~-@example.com", Address("a.b+c=d/e!#$%&'*?^_`{|}~-@example.com")),
        ("Ada Lovelace <ada@example.com>", Address("ada@example.com", "Ada Lovelace")),
        ('"Lovelace, Ada" <ada@example.com>', Address("ada@example.com", "Lovelace, Ada")),
        ("Zoë <zoë@bücher.example>", Address("zoë@xn--bcher-kva.example", "Zoë")),
        ("root@localhost", Address("root@localhost")),
    ],
)
def test_one_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@example.org",
        "bob@",
        "a@b, c@d",
        "a@b\r\nRCPT TO:<c@d>",
        "a@b\u2028",
        "Ada\r\nBcc: x@y <a@b>",
        "x@y <a@b>",
        "<a@b> <c@d>",
        f"{'n' * 2_048} <a@b>",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 300}",
        "a@b..c",
        '"a b"@example.com',
        "a@[127.0.0.1]",
        "a\u200bb\u202e@example.com",
        "(comment)a@b",
    ],
)
def test_what_is_not_one_address_is_rejected_without_its_text(text: str) -> None:
    with pytest.raises(AddressFault) as caught:
        parse_address(text)

    assert not text or text not in str(caught.value)


@given(st.text(max_size=60), st.text(max_size=10))
def test_no_text_gives_an_address_that_could_end_a_line_or_name_a_second_one(text: str, name: str) -> None:
    for candidate in (text, f"{text}@example.com", f"a@{text}", f"{name} <{text}@example.com>", f"{text} <a@b.c>"):
        try:
            found = parse_address(candidate)
        except AddressFault:
            continue
        assert found.address.isprintable()
        assert found.address.count("@") == 1
        assert not set(found.address) & set(' ,;<>"()')
        assert found.name.isprintable()


@pytest.mark.parametrize(
    ("allowed", "is_in"),
    [
        (["ADA@Example.Com"], True),
        (["example.com"], True),
        (["@EXAMPLE.com"], True),
        ([" example.com "], True),
        (["Ada <ada@example.com>"], True),
        (["bob@example.com"], False),
        (["ample.com"], False),
        (["sub.example.com"], False),
        ([], False),
    ],
)
def test_an_allow_list_holds_addresses_and_whole_domains(allowed: list[str], is_in: bool) -> None:
    assert is_allowed(Address("Ada@example.com"), list(map(allowed_recipient, allowed))) is is_in


@pytest.mark.parametrize("allowed", ["bücher.test", "@Bücher.test", "ok@bücher.test", "xn--bcher-kva.test"])
@pytest.mark.parametrize("email", ["ok@bücher.test", "OK@xn--bcher-kva.test"])
def test_an_allow_list_may_write_a_domain_in_its_own_letters_or_in_ascii(allowed: str, email: str) -> None:
    to: list[Json] = ["{{ data.email }}", "{{ data.other | default('') }}"]
    mail = written(with_data(email=email), to=to, allow_recipients=allowed)

    assert [address.address.lower() for address in mail.to] == ["ok@xn--bcher-kva.test"]
    with pytest.raises(Permanent, match="nobody is left"):
        written(with_data(email=""), to=to, allow_recipients=allowed)


@pytest.mark.parametrize("domain", ["straße.example", "ΣΊΣΥΦΟς.example".lower(), "a\u200db.example"])
def test_a_domain_that_would_become_another_domain_is_rejected(domain: str) -> None:
    with pytest.raises(AddressFault, match="xn--"):
        parse_address(f"ada@{domain}")


def test_an_address_named_twice_counts_once() -> None:
    a, b, c = Address("a@x.y", "A"), Address("B@x.y"), Address("c@x.y")

    assert without_duplicates([a, b, Address("A@X.Y"), c], beside=[Address("b@x.y")]) == (a, c)


def test_mailboxes_with_similar_letters_each_get_their_mail() -> None:
    addresses = [f"{name}@example.com" for name in ("straße", "strasse", "ﬁona", "fiona")]

    assert [address.address for address in written(to=[*addresses]).to] == addresses
    assert written(to=addresses[0], cc=addresses[1]).cc == (Address(addresses[1]),)
