"""What the poller of a queue makes of messages and of a handler's answer."""

import json

import pytest

from deploy.dev.aws.poller import backoff_seconds, failed_items, record_of
from shared.cloud.aws.sqs import entry_of, message_of
from shared.jsontext import Json, JsonObject
from shared.ports import BusMessage


def test_a_message_of_the_bus_is_handed_over_as_lambda_does() -> None:
    sent = BusMessage(b"\x00data", {"ce-id": "1", "empty": ""})
    entry = entry_of(sent).document("0")
    received: JsonObject = {
        "MessageId": "m",
        "ReceiptHandle": "h",
        "Body": entry["MessageBody"],
        "Attributes": {"ApproximateReceiveCount": "2"},
        "MessageAttributes": entry["MessageAttributes"],
    }
    record = record_of(received, "arn:aws:sqs:us-east-1:000000000000:hookchain-events", "us-east-1")
    push = message_of(json.loads(json.dumps(record)))
    assert (push.data, push.attributes, push.message_id) == (sent.data, sent.attributes, "m")
    assert record["attributes"] == {"ApproximateReceiveCount": "2"}


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_answer_without_failures_means_that_all_are_done(answer: Json) -> None:
    assert failed_items(json.dumps(answer).encode(), {"a", "b"}) == set()


@pytest.mark.parametrize("items", ["a", [{}], ["a"], [{"itemIdentifier": ""}], [{"itemIdentifier": "c"}]])
def test_an_answer_that_names_no_message_of_the_batch_fails_the_whole_batch(items: Json) -> None:
    with pytest.raises(ValueError, match="batchItemFailures"):
        failed_items(json.dumps({"batchItemFailures": items}).encode(), {"a", "b"})


def test_the_wait_after_a_failed_invocation_grows_to_a_minute() -> None:
    assert [backoff_seconds(receives) for receives in (1, 2, 3, 8, 100)] == [0, 1, 2, 60, 60]
