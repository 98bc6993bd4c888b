"""The emulated Pub/Sub's resources, and what its API rejects."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pubsub.administration import mask_paths, patched
from deploy.dev.pubsub.filters import lets_through, parse_filter
from deploy.dev.pubsub.google_json import ApiError, duration_text, parse_object, seconds_from
from deploy.dev.pubsub.resources import UPDATABLE, checked_name, subscription_from, topic_from
from deploy.dev.pubsub.routes import page_of
from shared.jsontext import Json, JsonObject

TOPIC = "projects/p1/topics/events"
SUBSCRIPTION = "projects/p1/subscriptions/to-transform"


def subscription(**settings: Json) -> JsonObject:
    return subscription_from(SUBSCRIPTION, {"topic": TOPIC, **settings}).resource


def rejection(**settings: Json) -> str:
    with pytest.raises(ApiError) as caught:
        subscription(**settings)
    return f"{caught.value.status}: {caught.value.message}"


def test_a_bare_subscription_gets_googles_defaults() -> None:
    assert subscription() == {
        "name": SUBSCRIPTION,
        "topic": TOPIC,
        "pushConfig": {},
        "ackDeadlineSeconds": 10,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {"ttl": "2678400s"},
        "state": "ACTIVE",
    }


def test_a_retry_policy_without_bounds_gets_googles() -> None:
    assert subscription(retryPolicy={})["retryPolicy"] == {"minimumBackoff": "10s", "maximumBackoff": "600s"}


def test_a_dead_letter_policy_without_a_number_means_five_attempts() -> None:
    policy: JsonObject = {"deadLetterTopic": "projects/p1/topics/dead"}
    assert subscription(deadLetterPolicy=policy)["deadLetterPolicy"] == {**policy, "maxDeliveryAttempts": 5}


def test_snake_case_and_whole_numbers_as_text_are_accepted() -> None:
    resource = subscription(ack_deadline_seconds="60", retry_policy={"minimum_backoff": "0.5s"})
    assert resource["ackDeadlineSeconds"] == 60
    assert resource["retryPolicy"] == {"minimumBackoff": "0.500s", "maximumBackoff": "600s"}


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
        {"unheardOf": 1},
    ],
)
def test_what_google_rejects_is_an_invalid_argument(settings: JsonObject) -> None:
    assert rejection(**settings).startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize(
    "member", ["enableMessageOrdering", "enableExactlyOnceDelivery", "retainAckedMessages", "detached"]
)
def test_what_is_not_emulated_is_rejected_by_name_and_never_ignored(member: str) -> None:
    assert f"UNIMPLEMENTED: this emulator does not have a subscription's {member}" in rejection(**{member: True})
    assert member not in subscription(**{member: False})


def test_a_topic_keeps_its_labels_and_retains_no_messages() -> None:
    resource = topic_from(TOPIC, {"labels": {"a": "b"}, "state": "ACTIVE"}).resource
    assert resource == {"name": TOPIC, "labels": {"a": "b"}}
    with pytest.raises(ApiError, match="UNIMPLEMENTED: this emulator does not have a topic's messageRetentionDuration"):
        topic_from(TOPIC, {"messageRetentionDuration": "600s"})
    assert topic_from(TOPIC, resource).resource == resource


@pytest.mark.parametrize("topic_id", ["ab", "1abc", "goog-x", "a" * 256, "a b c", "a/b/c", "Ωmega"])
def test_an_id_that_google_rejects_is_rejected(topic_id: str) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        checked_name(f"projects/p1/topics/{topic_id}", "topics")


def test_a_project_may_belong_to_a_domain() -> None:
    assert checked_name("projects/example.com:p1/topics/a.b_c-d~e+f%25", "topics")


@pytest.mark.parametrize(("text", "seconds"), [("600s", 600.0), ("0.500s", 0.5), ("1.5s", 1.5)])
def test_a_duration_is_seconds_with_an_s(text: str, seconds: float) -> None:
    assert seconds_from(text, "x") == seconds
    assert seconds_from(duration_text(seconds), "x") == seconds


def test_a_patch_replaces_what_its_mask_names_and_nothing_else() -> None:
    old: JsonObject = {"labels": {"a": "b"}, "retryPolicy": {"minimumBackoff": "1s", "maximumBackoff": "2s"}}
    changes: JsonObject = {"retryPolicy": {"minimumBackoff": "0.5s", "maximumBackoff": "9s"}}
    body: JsonObject = {"subscription": changes, "updateMask": "retry_policy.minimum_backoff, labels"}
    new = patched(old, body, "subscription", UPDATABLE, ())
    assert new == {"retryPolicy": {"minimumBackoff": "0.5s", "maximumBackoff": "2s"}}
    assert old["labels"] == {"a": "b"}


@pytest.mark.parametrize("mask", ["", " , ", "topic", "filter", "name", "nothing"])
def test_a_mask_that_names_nothing_changeable_is_rejected(mask: str) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        mask_paths(mask, UPDATABLE)


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


@given(st.sets(st.text(min_size=1), max_size=30), st.integers(1, 7))
def test_pages_together_are_the_whole_list_once(names: set[str], size: int) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page, token = page_of(names, str(size), token)
        seen += page
        if not token:
            break
    assert seen == sorted(names)


@pytest.mark.parametrize(("size", "token"), [("many", ""), ("-1", ""), ("10", "%%%"), ("10", "/w==")])
def test_a_page_that_cannot_be_is_rejected(size: str, token: str) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        page_of(["a"], size, token)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_body_is_an_object_or_rejected(body: bytes) -> None:
    with contextlib.suppress(ApiError):
        assert isinstance(parse_object(body), dict)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": 1' + b"0" * 5000 + b"}"])
def test_json_that_could_not_be_returned_is_rejected(body: bytes) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        parse_object(body)
