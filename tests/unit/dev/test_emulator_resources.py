"""The emulated Pub/Sub's resources, and what its API rejects."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pubsub.resources import ApiError, parse_filter, parse_object, subscription_from, topic_from
from shared.jsontext import Json, JsonObject

TOPIC = "projects/p1/topics/events"
SUBSCRIPTION = "projects/p1/subscriptions/to-transform"


def subscription(**settings: Json) -> JsonObject:
    return subscription_from(SUBSCRIPTION, {"topic": TOPIC, **settings}).resource


def rejection(**settings: Json) -> str:
    with pytest.raises(ApiError) as caught:
        subscription(**settings)
    return str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"ackDeadlineSeconds": 601},
        {"messageRetentionDuration": "599s"},
        {"retryPolicy": {"minimumBackoff": "601s"}},
        {"deadLetterPolicy": {"deadLetterTopic": "projects/p1/topics/dead", "maxDeliveryAttempts": 101}},
        {"deadLetterPolicy": {"maxDeliveryAttempts": 5}},
        {"filter": 'hasPrefix(attributes.a, "b")'},
        {"pushConfig": {"pushEndpoint": "https://example.com/"}},
        {"pushConfig": {"pushEndpoint": "http://localhost/ HTTP/1.1"}},
    ],
)
def test_what_google_rejects_is_an_invalid_argument(settings: JsonObject) -> None:
    assert rejection(**settings).startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize("member", ["enableMessageOrdering", "unheardOf"])
def test_what_is_not_emulated_is_rejected_by_name_and_never_ignored(member: str) -> None:
    assert f"UNIMPLEMENTED: this emulator does not have a subscription's {member}" in rejection(**{member: True})
    assert member not in subscription(**{member: False})
    with pytest.raises(ApiError, match=f"UNIMPLEMENTED: this emulator does not have a topic's {member}"):
        topic_from(TOPIC, {member: True})


@pytest.mark.parametrize(
    "text", ["attributes:kind", 'attributes.a = "b" OR attributes.c = "d"', 'attributes.a = "b" AND']
)
def test_the_rest_of_the_filter_language_is_rejected_in_plain_words(text: str) -> None:
    with pytest.raises(ApiError, match="takes equality of attributes"):
        parse_filter(text)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_body_is_an_object_or_rejected(body: bytes) -> None:
    with contextlib.suppress(ApiError):
        assert isinstance(parse_object(body), dict)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": 1' + b"0" * 5000 + b"}"])
def test_json_that_could_not_be_returned_is_rejected(body: bytes) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        parse_object(body)
