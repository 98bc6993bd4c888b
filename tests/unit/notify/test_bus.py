"""The kind `bus`: what each bus gets, whatever an event holds. No server is needed."""

import base64
import json
from types import ModuleType
from typing import Final

import pytest
from hypothesis import given, settings, strategies as st

from functions.notify.destinations import bus
from functions.notify.examples import KEY
from functions.notify.http_kind import OutgoingRequest
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, mapping_at, objects_at
from shared.outgoing.auth import AwsRequestAuth, GoogleOAuthRequestAuth
from tests.aws.sqs_stand_in import check_message
from tests.gcp.description import Description
from tests.unit.notify.http_kinds import HOSTILE, delivery_of, form_of, json_of, request_of

TOPIC: Final[JsonObject] = {"pubsub": "projects/example-project/topics/orders"}
SNS: Final[JsonObject] = {"sns": "arn:aws:sns:eu-central-1:123456789012:orders"}
SQS: Final[JsonObject] = {"sqs": "arn:aws:sqs:eu-central-1:123456789012:orders"}
EVENTS: Final[JsonObject] = {"eventbridge": "arn:aws:events:eu-central-1:123456789012:event-bus/orders"}
ALL: Final = [TOPIC, SNS, SQS, EVENTS]
KIND: Final[ModuleType] = bus
PUBSUB_API: Final = Description("pubsub", "v1")
TEXTS: Final = st.one_of(st.sampled_from([text[:255] for text in HOSTILE]), st.text(max_size=30))
VALUES: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)


def sent(settings: JsonObject, data: "Json | Delivery" = None) -> OutgoingRequest:
    return request_of(KIND, settings, data, {"key": "a-secret"})


def pubsub_message(settings: JsonObject, data: "Json | Delivery" = None) -> JsonObject:
    """Return the one message of a request that Google's description of Pub/Sub has."""
    request = sent(settings, data)
    body = json_of(request)
    PUBSUB_API.method(request.method, request.url.removeprefix("https://pubsub.googleapis.com"), {}, body)
    [message] = objects_at(body, "messages")
    return message


def texts_in(message: JsonObject) -> dict[str, str]:
    return {name: str(value) for name, value in mapping_at(message, "attributes").items()}


def sqs_entry(settings: JsonObject, data: "Json | Delivery" = None) -> JsonObject:
    entry = json_of(sent(settings, data))
    check_message(entry)
    return entry


def event_entry(settings: JsonObject, data: "Json | Delivery" = None) -> JsonObject:
    [entry] = objects_at(json_of(sent(settings, data)), "Entries")
    return entry


@settings(max_examples=25)
@given(VALUES, TEXTS, TEXTS)
def test_pubsub_takes_whatever_an_event_holds(data: Json, subject: str, key: str) -> None:
    given_settings: JsonObject = {**TOPIC, "ordering_key": "{{ actor }}", "attributes": {"team": "{{ subject }}"}}
    message = pubsub_message(given_settings, delivery_of(data, subject=subject[:200], actor=key))

    attributes = texts_in(message)
    assert len(attributes) <= 100
    assert all(len(value.encode()) <= 1_024 and not name.startswith("goog") for name, value in attributes.items())
    assert len(str(message.get("orderingKey", "")).encode()) <= 1_024
    json.loads(base64.b64decode(str(message["data"])))


@settings(max_examples=25)
@given(VALUES, TEXTS, TEXTS)
def test_sqs_takes_whatever_an_event_holds(data: Json, subject: str, group: str) -> None:
    fifo: JsonObject = {
        "sqs": f"{SQS['sqs']}.fifo",
        "group": "{{ actor }}",
        "attributes": {"a": "{{ subject }}", "b": "{{ subject | upper }}"},
    }
    entry = sqs_entry(fifo, delivery_of(data, subject=subject, actor=group))

    for name in ("MessageGroupId", "MessageDeduplicationId"):
        text = str(entry[name])
        assert 1 <= len(text) <= 128
        assert text.isascii()
        assert text.isprintable()


@pytest.mark.parametrize("given_settings", ALL)
def test_each_bus_gets_the_delivery_id_and_the_hops_which_show_repeats_and_loops(given_settings: JsonObject) -> None:
    body = sent(given_settings, {"a": 1}).body.decode()
    assert KEY in body
    assert "hops" in body


def test_fifo_drops_repeats_by_the_delivery_id_and_orders_by_the_group() -> None:
    fifo: JsonObject = {"sns": f"{SNS['sns']}.fifo"}
    alone, grouped = form_of(sent(fifo)), form_of(sent({**fifo, "group": "{{ data.customer }}"}, {"customer": "c 7"}))

    assert (alone["MessageDeduplicationId"], alone["MessageGroupId"]) == (KEY, KEY)
    assert (grouped["MessageDeduplicationId"], len(grouped["MessageGroupId"])) == (KEY, 64)
    assert "MessageDeduplicationId" not in form_of(sent(SNS))


def test_cloudevents_is_the_whole_event_without_what_only_hookchain_uses() -> None:
    delivery = delivery_of({"total": 12}, rawbody="{...}", signedas="x.y", datatype="application/json")
    message = pubsub_message({**TOPIC, "format": "cloudevents"}, delivery)

    document = json.loads(base64.b64decode(str(message["data"])))
    assert document["data"] == {"total": 12}
    assert not document.keys() & {"rawbody", "signedas", "datatype"}
    assert texts_in(message)["content-type"] == "application/cloudevents+json"
    assert not [name for name in texts_in(message) if name.startswith("ce-")]
    assert json.loads(str(event_entry({**EVENTS, "format": "cloudevents"}, delivery)["Detail"])) == document


def test_a_document_that_a_step_made_is_sent_as_it_is() -> None:
    message = pubsub_message(TOPIC, delivery_of("<a>é</a>", datatype="application/xml"))

    assert base64.b64decode(str(message["data"])).decode() == "<a>é</a>"
    assert texts_in(message)["content-type"] == "application/xml"
    assert sqs_entry(SQS, delivery_of("a\x00b", datatype="text/plain"))["MessageBody"] == "a\ufffdb"


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("2026-03-01T12:00:04Z", 1_772_366_404), ("0001-01-01T00:00:00Z", 1_772_366_405), (None, 1_772_366_405)],
)
def test_a_time_that_aws_does_not_take_is_the_time_of_the_request(time: str | None, seconds: int) -> None:
    assert event_entry(EVENTS, delivery_of({}, time=time))["Time"] == seconds


@pytest.mark.parametrize(
    ("given_settings", "size"), [(TOPIC, 10_000_000), (SNS, 262_144), (SQS, 1_048_576), (EVENTS, 1_048_576)]
)
def test_a_message_that_is_too_large_is_not_sent_and_its_limit_is_said(given_settings: JsonObject, size: int) -> None:
    sent(given_settings, "x" * (size - 1_000))
    with pytest.raises(Permanent, match=rf"output_too_large.*takes {size:,}"):
        sent(given_settings, "x" * size)


def test_the_deployments_own_identity_publishes_unless_a_secret_is_named() -> None:
    assert sent(TOPIC).auth == (GoogleOAuthRequestAuth(scheme="google_oauth", scope=_SCOPE),)
    assert sent({**TOPIC, "secret": "key"}).auth == (
        GoogleOAuthRequestAuth(scheme="google_oauth", scope=_SCOPE, secret="key"),
    )
    assert sent(SQS).auth == (AwsRequestAuth(scheme="aws", service="sqs", region="eu-central-1"),)
    key_id = "AKIAIOSFODNN7EXAMPLE"
    assert sent({**EVENTS, "secret": "key", "access_key_id": key_id}).auth == (
        AwsRequestAuth(scheme="aws", service="events", region="eu-central-1", access_key_id=key_id, secret="key"),
    )


_SCOPE: Final = "https://www.googleapis.com/auth/pubsub"


def test_an_emulator_gets_no_token() -> None:
    request = sent({**TOPIC, "api_url": "http://localhost:8085", "allow_private": True})
    assert request.url == "http://localhost:8085/v1/projects/example-project/topics/orders:publish"
    assert request.auth == ()


@pytest.mark.parametrize(
    ("queue", "url"),
    [
        ("arn:aws-cn:sqs:cn-north-1:123456789012:q", "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q",) * 2,
    ],
)
def test_a_queue_is_named_by_its_url_or_its_arn(queue: str, url: str) -> None:
    assert json_of(sent({"sqs": queue}))["QueueUrl"] == url
    assert sent({"sqs": queue}).url == url.removesuffix("123456789012/q")
