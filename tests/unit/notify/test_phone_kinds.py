"""The kinds `sms`, `ntfy`, `push` and `pagerduty`, and what any kind sends where `to` names a person."""

import base64
import json
from urllib.parse import unquote, urlsplit

import pytest
from twilio.rest import Client  # type: ignore[import-untyped]

from functions.notify.destinations import discord, google_chat, ntfy, pagerduty, push, slack, sms, teams, telegram
from functions.notify.destinations.email.email import MailWriter
from functions.notify.destinations.email.mail import Address
from functions.notify.http_kind import OutgoingRequest
from functions.notify.recipients.people import Person
from shared.jsontext import Json, JsonObject, mapping_at, value_at
from tests.fakes.mail_settings import mail_settings
from tests.gcp.description import Description
from tests.unit.notify.http_kinds import HOSTILE, delivery_of, form_of, json_of, request_of

ACCOUNT = "AC" + "a" * 32
SMS: JsonObject = {"account": ACCOUNT, "secret": "token", "from": "+15005550006", "to": "+447700900123"}
SMS_SECRETS = {"token": "t0ken"}


def sms_form(settings: JsonObject, data: Json = None) -> dict[str, str]:
    return form_of(request_of(sms, {**SMS, **settings}, data, SMS_SECRETS))


def test_the_address_is_that_of_twilios_own_client() -> None:
    request = request_of(sms, SMS, secrets=SMS_SECRETS)
    messages = Client(ACCOUNT, "t0ken").api.v2010.accounts(ACCOUNT).messages

    assert request.url == messages._version.absolute_url(messages._uri)


TOPIC: Json = "alerts"


def test_repeats_of_a_delivery_have_the_same_sequence_and_a_reopened_delivery_another_one() -> None:
    key = "a" * 64
    sequences = [
        json_of(request_of(ntfy, {"topic": TOPIC}, key=each))["sequence_id"] for each in (key, key, f"{key}-r1")
    ]

    assert sequences == [key, key, "a" * 61 + "-r1"]


def test_a_password_is_sent_with_its_user() -> None:
    request = request_of(
        ntfy, {"topic": TOPIC, "username": "phil", "secret": "ntfy-password"}, secrets={"ntfy-password": "pass"}
    )

    assert ("authorization", "Basic cGhpbDpwYXNz") in request.headers


def test_a_link_that_the_event_names_is_a_web_address() -> None:
    for url, is_link in (("https://shop.example.com/1", True), ("intent://x", False), ("", False)):
        clicked = json_of(request_of(ntfy, {"topic": "a", "click": "{{ data.url }}"}, {"url": url})).get("click")
        assert clicked == (url if is_link else None)
        links = message({"link": "{{ data.url }}"}, {"url": url}).get("links")
        assert links == ([{"href": url}] if is_link else None)


def test_a_priority_may_depend_on_the_event() -> None:
    settings: Json = {"topic": TOPIC, "priority": "{{ 5 if data.urgent else 2 }}"}

    assert json_of(request_of(ntfy, settings, {"urgent": True}))["priority"] == 5


PROJECT: JsonObject = {"project": "my-shop"}
TO_A_TOKEN: JsonObject = {**PROJECT, "token": "{{ data.token }}"}


def described(request: OutgoingRequest) -> JsonObject:
    """Return the message, checked against Google's own description of the API."""
    body = json_of(request)
    Description("fcm", "v1").method("POST", urlsplit(request.url).path, {}, body)
    return mapping_at(body, "message")


@pytest.mark.parametrize(
    "target", [{"token": "abc:def"}, {"fid": "d1"}, {"topic": "news"}, {"condition": "'a' in topics"}]
)
def test_each_target_makes_a_request_that_google_describes(target: JsonObject) -> None:
    settings: JsonObject = {
        **PROJECT,
        **target,
        "data": {"order": "{{ data.number }}"},
        "link": "myapp://orders/{{ data.number }}",
        "priority": "normal",
        "ttl": "1h",
        "validate_only": True,
    }
    request = request_of(push, settings, {"number": 7})

    message = described(request)
    assert target.items() <= message.items()
    assert json_of(request)["validateOnly"] is True
    assert message["data"] == {"order": "7", "link": "myapp://orders/7"}
    assert message["android"] == {"priority": "NORMAL", "notification": {"tag": "5f0c" * 16}, "ttl": "3600s"}


@pytest.mark.parametrize("name", ["event_base64", "event_json"])
def test_a_deep_link_carries_the_event(name: str) -> None:
    data: Json = {"token": "t", "name": 'Zoë & "Bob" <b>', "n": [1, 2.5, None]}
    message = described(request_of(push, {**TO_A_TOKEN, "link": f"myapp://open?event={{{{ {name} }}}}&v=1"}, data))
    link = str(value_at(message, "data", "link"))
    encoded = link.removeprefix("myapp://open?event=").removesuffix("&v=1")
    text = base64.urlsafe_b64decode(encoded + "==").decode() if name == "event_base64" else unquote(encoded)
    assert "&" not in encoded
    assert json.loads(text) == {"id": "e1", "type": "order.created", "source": "shop", "subject": "1042", "data": data}


@pytest.mark.parametrize("target", [{"token": "t"}, {"topic": "a"}])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_with_a_link_never_exceeds_fcms_limit(text: str, target: JsonObject) -> None:
    settings: JsonObject = {**PROJECT, **target, "text": "{{ data }}", "link": "myapp://open?event={{ event_json }}"}
    message = described(request_of(push, settings, text))
    notification, data = mapping_at(message, "notification"), mapping_at(message, "data")

    size = sum(len(f"{key}{value}".encode()) for part in (notification, data) for key, value in part.items())
    assert size <= (4_096 if "token" in target else 2_048)
    assert json.loads(unquote(str(data["link"]).partition("=")[2]))["id"] == "e1"


def test_the_engine_is_asked_for_a_token_of_the_messaging_scope_alone() -> None:
    (auth,) = request_of(push, {**PROJECT, "topic": "a", "secret": "firebase-key"}).auth

    assert auth.model_dump() == {
        "scheme": "google_oauth",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "secret": "firebase-key",
    }


SECRETS = {"key": "R0UT1NG"}


def message(settings: JsonObject, data: Json = None) -> JsonObject:
    return json_of(request_of(pagerduty, {"secret": "key", **settings}, data, SECRETS))


def payload(settings: JsonObject, data: Json = None) -> JsonObject:
    return mapping_at(message(settings, data), "payload")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_of_a_sender_fits_into_what_the_service_takes_and_a_title_is_one_line(text: str) -> None:
    sms_body = sms_form({"text": "{{ data }}"}, text)["Body"]
    notification = json_of(request_of(ntfy, {"topic": TOPIC, "title": "{{ data }}", "text": "{{ data }}"}, text))
    title, summary = str(notification["title"]), str(payload({"summary": "{{ data }}"}, text)["summary"])

    assert len(sms_body.encode("utf-16-le")) // 2 <= 1_600
    assert len(str(notification["message"]).encode()) <= 4_096
    assert 0 < len(title) <= 250
    assert 0 < len(summary) <= 1_024
    assert len(title.splitlines()) == len(summary.splitlines()) == 1


def test_details_that_would_exceed_the_size_of_a_request_are_left_out() -> None:
    found = payload({}, {"text": "x" * 450_000})

    assert found["custom_details"] == {"left_out": "the event's data, 450011 bytes"}


def test_keys_that_are_too_long_stay_different_and_repeatable() -> None:
    settings: JsonObject = {"dedup_key": "{{ data }}"}
    first, again, other = (message(settings, "x" * 300 + end)["dedup_key"] for end in ("a", "a", "b"))

    assert first == again != other
    assert len(str(first)) <= 255


def test_a_change_event_goes_to_its_own_address_and_has_no_key_and_no_severity() -> None:
    request = request_of(pagerduty, {"secret": "key", "action": "change", "link": "https://ci/1"}, {"a": 1}, SECRETS)

    assert request.url == "https://events.pagerduty.com/v2/change/enqueue"
    assert json_of(request).keys() == {"routing_key", "payload", "links"}


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
    message = mapping_at(json_of(to_anna(push, {"project": "my-shop", "to": "actor", "text": GREETING})), "message")
    assert message["token"] == "topic-of-anna"
    assert message["notification"] == {"title": "order.created from shop", "body": GREETED}
    body = json_of(to_anna(ntfy, {"to": "data.who", "text": GREETING}))
    assert (body["topic"], body["message"]) == ("topic-of-anna", GREETED)


def test_a_token_of_an_app_is_no_topic() -> None:
    token = Person("anna", push="eX:APA91b")
    assert (token.address("push"), token.address("ntfy")) == ("eX:APA91b", None)
    assert token._replace(chats={"ntfy": "t"}).address("ntfy") == "t"


def test_a_mail_goes_to_the_person_and_to_the_fixed_copies() -> None:
    delivery = delivery_of({"a": 1})
    settings = mail_settings(to="actor", cc=["ops@example.com", "anna@example.com"], subject=GREETING, text="x")
    mail = MailWriter(settings).write(delivery, Address("bot@example.com"), "k", ANNA)

    assert settings["to"] == []
    assert ([each.address for each in mail.to], [each.address for each in mail.cc]) == (
        ["anna@example.com"],
        ["ops@example.com"],
    )
    assert mail.subject == GREETED
