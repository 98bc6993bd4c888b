import base64
import json
from urllib.parse import unquote, urlsplit

import pytest

from functions.notify.destinations import push
from functions.notify.http_kind import OutgoingRequest
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from tests.gcp.description import Description
from tests.unit.notify.http_kinds import HOSTILE, json_of, request_of

PROJECT: JsonObject = {"project": "my-shop"}
TOKEN: JsonObject = {**PROJECT, "token": "{{ data.token }}"}


def described(request: OutgoingRequest) -> JsonObject:
    """Return the message, checked against Google's own description of the API."""
    body = json_of(request)
    Description("fcm", "v1").method("POST", urlsplit(request.url).path, {}, body)
    message = body["message"]
    assert isinstance(message, dict)
    return message


def link_in(message: JsonObject) -> str:
    data = message["data"]
    assert isinstance(data, dict)
    return str(data["link"])


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


def test_a_message_without_a_text_is_for_the_app_alone() -> None:
    message = described(request_of(push, {**PROJECT, "topic": "a", "text": None, "data": {"a": "b"}}))

    assert message == {"topic": "a", "android": {"priority": "HIGH"}, "data": {"a": "b"}}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_notification_fits_into_what_fcm_takes(text: str) -> None:
    settings: JsonObject = {**PROJECT, "topic": "a", "title": "{{ data }}", "text": "{{ data }}"}
    notification = described(request_of(push, settings, text))["notification"]

    assert isinstance(notification, dict)
    assert len(str(notification["title"]).encode()) <= 200
    assert len(str(notification["body"]).encode()) <= 1_000


@pytest.mark.parametrize("name", ["event_base64", "event_json"])
def test_a_deep_link_carries_the_event(name: str) -> None:
    data: Json = {"token": "t", "name": 'Zoë & "Bob" <b>', "n": [1, 2.5, None]}
    link = link_in(described(request_of(push, {**TOKEN, "link": f"myapp://open?event={{{{ {name} }}}}&v=1"}, data)))

    encoded = link.removeprefix("myapp://open?event=").removesuffix("&v=1")
    text = base64.urlsafe_b64decode(encoded + "==").decode() if name == "event_base64" else unquote(encoded)
    assert "&" not in encoded
    assert json.loads(text) == {"id": "e1", "type": "order.created", "source": "shop", "subject": "1042", "data": data}


@pytest.mark.parametrize("target", [{"token": "t"}, {"topic": "a"}])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_with_a_link_never_exceeds_fcms_limit(text: str, target: JsonObject) -> None:
    settings: JsonObject = {**PROJECT, **target, "text": "{{ data }}", "link": "myapp://open?event={{ event_json }}"}
    message = described(request_of(push, settings, text))
    notification, data = message["notification"], message["data"]

    assert isinstance(notification, dict)
    assert isinstance(data, dict)
    size = sum(len(f"{key}{value}".encode()) for part in (notification, data) for key, value in part.items())
    assert size <= (4_096 if "token" in target else 2_048)
    assert json.loads(unquote(str(data["link"]).partition("=")[2]))["id"] == "e1"


def test_data_that_cannot_fit_is_a_fault_of_the_delivery() -> None:
    with pytest.raises(Permanent) as raised:
        request_of(push, {**TOKEN, "data": {"all": "{{ data.text }}"}}, {"token": "t", "text": "x" * 5_000})
    assert raised.value.code == "output_too_large"


@pytest.mark.parametrize("topic", ["", "a b", "a' in topics || 'b", "x" * 901])
def test_a_topic_from_the_event_is_a_topics_name(topic: str) -> None:
    with pytest.raises(Permanent):
        request_of(push, {**PROJECT, "topic": "{{ data }}"}, topic)


def test_the_engine_is_asked_for_a_token_of_the_messaging_scope_alone() -> None:
    (auth,) = request_of(push, {**PROJECT, "topic": "a", "secret": "firebase-key"}).auth

    assert auth.model_dump() == {
        "scheme": "google_oauth",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "secret": "firebase-key",
    }
