"""What each kind sends where `to` names a person."""

import pytest

from functions.notify.destinations import discord, google_chat, ntfy, push, slack, sms, teams, telegram
from functions.notify.destinations.email.mail import Address
from functions.notify.destinations.email.render import MailWriter
from functions.notify.http_kind import OutgoingRequest
from functions.notify.recipients.people import Person
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from tests.fakes.mail_settings import mail_settings
from tests.unit.notify.http_kinds import delivery_of, form_of, json_of, request_of

ANNA = Person(
    "anna",
    email="anna@example.com",
    phone="+447700900123",
    push="topic-of-anna",
    chats={
        "slack": "U0ANNA1",
        "telegram": "4711",
        "discord": "165511591545143296",
        "teams": "anna@example.com",
        "google_chat": "116512345678901234567",
    },
    timezone="Europe/Berlin",
    language="de-CH",
)
GREETING = "Dear {{ person.name }} ({{ person.language }}, {{ person.timezone }})"
GREETED = "Dear anna (de-CH, Europe/Berlin)"
URL = "https://chat.example/hook"


def chat(**settings: Json) -> JsonObject:
    return {"secret": "s", "to": "actor", "text": GREETING, **settings}


def to_anna(kind: object, settings: Json, secret: str = URL) -> OutgoingRequest:
    return request_of(kind, settings, {"a": 1}, {"s": secret}, person=ANNA)  # type: ignore[arg-type]


def test_slack_writes_to_the_person_or_calls_them_in_the_channel() -> None:
    direct = json_of(to_anna(slack, chat(), "xoxb-token"))
    assert (direct["channel"], direct["text"]) == ("U0ANNA1", GREETED)
    both = json_of(to_anna(slack, chat(channel="C012", mention=["here", "U0ANNA1"]), "xoxb-token"))
    assert (both["channel"], both["text"]) == ("C012", f"<@U0ANNA1> <!here> {GREETED}")


def test_slack_needs_a_bot_to_write_to_a_person() -> None:
    with pytest.raises(Temporary, match="must be the bot's token"):
        to_anna(slack, chat())


def test_telegram_writes_into_the_person_s_chat() -> None:
    body = json_of(to_anna(telegram, chat(), "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"))
    assert (body["chat_id"], body["text"]) == ("4711", GREETED)


def test_discord_teams_and_google_chat_call_the_person() -> None:
    body = json_of(to_anna(discord, chat(mention=["here"])))
    assert body["content"] == f"<@165511591545143296> @here {GREETED}"
    assert body["allowed_mentions"] == {"parse": ["everyone"], "users": ["165511591545143296"], "roles": []}
    card = to_anna(teams, chat()).body.decode()
    assert f"<at>anna@example.com</at> {GREETED}" in card
    assert '"mentioned":{"id":"anna@example.com","name":"anna@example.com"}' in card
    assert json_of(to_anna(google_chat, chat()))["text"] == f"<users/116512345678901234567> {GREETED}"


def test_sms_push_and_ntfy_go_to_the_person_s_phone() -> None:
    account: JsonObject = {"account": "AC" + "0" * 32, "secret": "s", "from": "+15005550006", "text": GREETING}
    assert form_of(to_anna(sms, {**account, "to": {"person": "anna"}})) == {
        "To": "+447700900123",
        "From": "+15005550006",
        "Body": GREETED,
    }
    message = json_of(to_anna(push, {"project": "my-shop", "to": "actor", "text": GREETING}))["message"]
    assert isinstance(message, dict)
    assert (message["token"], message["notification"]) == (
        "topic-of-anna",
        {"title": "order.created from shop", "body": GREETED},
    )
    body = json_of(to_anna(ntfy, {"to": "data.who", "text": GREETING}))
    assert (body["topic"], body["message"]) == ("topic-of-anna", GREETED)


def test_a_token_of_an_app_is_no_topic() -> None:
    token = Person("anna", push="eX:APA91b")
    assert (token.address("push"), token.address("ntfy")) == ("eX:APA91b", None)
    assert token._replace(chats={"ntfy": "t"}).address("ntfy") == "t"


def test_a_mail_goes_to_the_person_and_to_the_fixed_copies() -> None:
    delivery = delivery_of({"a": 1})
    settings = mail_settings(to="actor", cc=["ops@example.com", "anna@example.com"], subject=GREETING, text="x")
    mail = MailWriter(settings).write(delivery, delivery.event, Address("bot@example.com"), "k", ANNA)

    assert settings["to"] == []
    assert ([each.address for each in mail.to], [each.address for each in mail.cc]) == (
        ["anna@example.com"],
        ["ops@example.com"],
    )
    assert mail.subject == GREETED
