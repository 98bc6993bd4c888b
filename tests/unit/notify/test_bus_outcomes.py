"""What the answers of buses mean for a delivery by the kind `bus`."""

from typing import Final

import pytest

from functions.notify.destinations.bus import bus
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.jsontext import Json
from tests.unit.notify.http_kinds import outcome_of

SNS_RECEIPT: Final = b"<PublishResponse><PublishResult><MessageId>m1</MessageId></PublishResult></PublishResponse>"
XML: Final = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code></Error></ErrorResponse>"


@pytest.mark.parametrize(
    "body",
    [
        {"messageIds": ["1"]},
        {"MessageId": "m1", "MD5OfMessageBody": "0"},
        {"FailedEntryCount": 0, "Entries": [{"EventId": "e1"}]},
        SNS_RECEIPT,
    ],
)
def test_a_bus_that_names_the_message_has_it(body: "Json | bytes") -> None:
    assert isinstance(outcome_of(bus, 200, body), Delivered)


@pytest.mark.parametrize(
    "body", [b"", b"<html>Sign in</html>", {}, [], None, {"messageIds": []}, {"Entries": [{"ErrorCode": "x"}]}]
)
def test_a_200_that_names_no_message_is_no_receipt(body: "Json | bytes") -> None:
    assert isinstance(outcome_of(bus, 200, body), RetryLater)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", RetryLater),
        ("InternalFailure", RetryLater),
        ("MalformedDetail", Failed),
        ("InvalidAccountIdException", Disabled),
        ("AccessDeniedException", Disabled),
        (None, RetryLater),
        (7, RetryLater),
    ],
)
def test_an_entry_that_failed_in_a_200_is_not_delivered(code: Json, expected: type) -> None:
    body: Json = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "no"}]}
    assert isinstance(outcome_of(bus, 200, body), expected)
    assert isinstance(outcome_of(bus, 200, {"FailedEntryCount": 1, "Entries": "?"}), RetryLater)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"__type": "com.amazonaws.sqs#QueueDoesNotExist"}, Disabled),
        (400, {"__type": "com.amazonaws.sqs#RequestThrottled"}, RetryLater),
        (400, {"__type": "com.amazonaws.sqs#KmsThrottled"}, RetryLater),
        (400, {"__type": "com.amazonaws.sqs#KmsAccessDenied"}, Disabled),
        (400, {"__type": "com.amazonaws.sqs#InvalidMessageContents"}, Failed),
        (400, {"__type": "com.amazon.coral.service#AccessDeniedException"}, Disabled),
        (400, {"__type": "ResourceNotFoundException"}, Disabled),
        (400, {"__type": "com.amazon.coral.service#UnrecognizedClientException"}, Disabled),
        (400, {"__type": 7}, Failed),
        (400, {"__type": "InvalidSignatureException", "message": "Signature expired: 20260301T120000Z is"}, RetryLater),
        (400, {"__type": "InvalidSignatureException", "message": "The request signature we"}, Disabled),
        (403, XML.format("SignatureDoesNotMatch").encode() + b"<Message>Signature not yet current: x", RetryLater),
        (400, XML.format("RequestExpired").encode(), RetryLater),
        (400, {"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "the key is disabled"}}, Disabled),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "the message breaks"}}, Failed),
        (403, XML.format("AuthorizationError").encode(), Disabled),
        (403, XML.format("SignatureDoesNotMatch").encode(), Disabled),
        (403, XML.format("ExpiredToken").encode(), RetryLater),
        (404, XML.format("NotFound").encode(), Disabled),
        (400, XML.format("Throttling").encode(), RetryLater),
        (400, XML.format("InvalidParameter").encode(), Failed),
        (500, XML.format("InternalFailure").encode(), RetryLater),
        (503, {"__type": "AccessDeniedException"}, RetryLater),
        (403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}, Disabled),
        (404, {"error": {"code": 404, "status": "NOT_FOUND"}}, Disabled),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}, Failed),
        (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, RetryLater),
        (503, {"error": {"code": 503, "status": "UNAVAILABLE"}}, RetryLater),
    ],
)
def test_an_error_passes_or_waits_for_the_operator_or_fails_the_message(
    status: int, body: "Json | bytes", expected: type
) -> None:
    assert isinstance(outcome_of(bus, status, body), expected)
