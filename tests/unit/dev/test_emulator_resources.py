"""The emulated Pub/Sub's resources, and what its API rejects."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pubsub.resources import (
    ApiError,
    changed_resource,
    lets_through,
    parse_filter,
    parse_object,
    subscription_from,
    topic_from,
)
from shared.jsontext import Json, JsonObject

TOPIC = "projects/p1/topics/events"
SUBSCRIPTION = "projects/p1/subscriptions/to-transform"


def subscription(**settings: Json) -> JsonObject:
    return subscription_from(SUBSCRIPTION, {"topic": TOPIC, **settings}).resource


def rejection(**settings: Json) -> str:
    with pytest.raises(ApiError) as caught:
        subscription(**settings)
    return str(caught.value)


def test_the_json_of_a_subscription_can_be_sent_again() -> None:
    resource = subscription(
        pushConfig={"pushEndpoint": "http://localhost:8081/", "oidcToken": {"serviceAccountEmail": "x@y"}},
        filter='attributes.a = "b"',
        labels={"managed-by": "hookchain"},
        expirationPolicy={},
        retryPolicy={"maximumBackoff": "60s"},
        deadLetterPolicy={"deadLetterTopic": "projects/p1/topics/dead", "maxDeliveryAttempts": 100},
    )
    assert subscription_from(SUBSCRIPTION, resource).resource == resource


@pytest.mark.parametrize(
    "settings",
    [
        {"ackDeadlineSeconds": 9},
        {"ackDeadlineSeconds": 601},
        {"ackDeadlineSeconds": True},
        {"ackDeadlineSeconds": "9" * 5000},
        {"messageRetentionDuration": "599s"},
        {"messageRetentionDuration": "10 minutes"},
        {"retryPolicy": {"minimumBackoff": "601s"}},
        {"retryPolicy": {"minimumBackoff": "20s", "maximumBackoff": "10s"}},
        {"deadLetterPolicy": {"deadLetterTopic": "projects/p1/topics/dead", "maxDeliveryAttempts": 4}},
        {"deadLetterPolicy": {"deadLetterTopic": "projects/p1/topics/dead", "maxDeliveryAttempts": 101}},
        {"deadLetterPolicy": {"maxDeliveryAttempts": 5}},
        {"filter": 'hasPrefix(attributes.a, "b")'},
        {"labels": {"a": 1}},
        {"topic": "events"},
        {"pushConfig": {"pushEndpoint": "https://example.com/"}},
        {"pushConfig": {"pushEndpoint": "http://10.0.0.1/"}},
        {"pushConfig": {"pushEndpoint": "http://localhost:99999/"}},
        {"pushConfig": {"pushEndpoint": "http://localhost/ HTTP/1.1"}},
        {"pushConfig": {"pushEndpoint": "http://localhost/\r\nX: y"}},
        {"pushConfig": "http://localhost/"},
    ],
)
def test_what_google_rejects_is_an_invalid_argument(settings: JsonObject) -> None:
    assert rejection(**settings).startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize(
    "member", ["enableMessageOrdering", "enableExactlyOnceDelivery", "retainAckedMessages", "unheardOf"]
)
def test_what_is_not_emulated_is_rejected_by_name_and_never_ignored(member: str) -> None:
    assert f"UNIMPLEMENTED: this emulator does not have a subscription's {member}" in rejection(**{member: True})
    assert member not in subscription(**{member: False})
    with pytest.raises(ApiError, match=f"UNIMPLEMENTED: this emulator does not have a topic's {member}"):
        topic_from(TOPIC, {member: True})


def test_a_patch_replaces_what_its_mask_names_and_nothing_else() -> None:
    old: JsonObject = {"labels": {"a": "b"}, "topic": TOPIC, "ackDeadlineSeconds": 10}
    patch: JsonObject = {"subscription": {"ackDeadlineSeconds": 60}, "updateMask": "ackDeadlineSeconds, labels"}
    assert changed_resource(old, patch) == {"topic": TOPIC, "ackDeadlineSeconds": 60}


@pytest.mark.parametrize("mask", ["", " , ", "topic", "filter", "name", "nothing", "retryPolicy.minimumBackoff"])
def test_a_mask_that_names_nothing_changeable_is_rejected(mask: str) -> None:
    with pytest.raises(ApiError):
        changed_resource({}, {"subscription": {}, "updateMask": mask})


@pytest.mark.parametrize(
    ("text", "attributes", "matches"),
    [
        ("", {}, True),
        ('attributes.kind = "signup"', {"kind": "signup"}, True),
        ('attributes.kind="signup"', {"kind": "trial"}, False),
        ('attributes.kind = "signup" AND attributes.region = "north"', {"kind": "signup"}, False),
        ('attributes."ce-type" = "a \\"b\\" \\\\c"', {"ce-type": 'a "b" \\c'}, True),
    ],
)
def test_a_filter_compares_attributes(text: str, attributes: dict[str, str], matches: bool) -> None:
    assert lets_through(parse_filter(text), attributes) is matches


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
