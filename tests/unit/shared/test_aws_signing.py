"""Signature Version 4, against what botocore signs."""

from typing import Final

import pytest
from hypothesis import given, strategies as st

from shared.cloud.aws.client import AwsClient, AwsPlace, error_name, is_temporary_answer
from shared.outgoing.http_client import Answer, HttpClient
from shared.signatures.aws_v4 import Credentials, RequestLine, Scope, signed_headers

NOW: Final = 1_790_000_000.0
KEYS: Final = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session")


def signed_by_botocore(
    request: tuple[str, str, str], headers: dict[str, str], body: bytes, scope: Scope, keys: Credentials
) -> str:
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as BotoCredentials

    method, host, target = request
    asked = AWSRequest(method=method, url=f"https://{host}{target}", headers=headers, data=body)
    signer = (S3SigV4Auth if scope.service == "s3" else SigV4Auth)(BotoCredentials(*keys), scope.service, scope.region)
    asked.context["payload_signing_enabled"] = True
    signer.add_auth(asked)
    return str(asked.headers["Authorization"])


@pytest.mark.parametrize("service", ["sqs", "dynamodb", "s3", "ses", "secretsmanager"])
@given(
    body=st.binary(max_size=200),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    keys=st.sampled_from([KEYS, KEYS._replace(session_token="")]),
)
def test_a_request_is_signed_as_botocore_signs_it(service: str, body: bytes, value: str, keys: Credentials) -> None:
    scope = Scope("eu-central-1", service)
    host = f"{service}.eu-central-1.amazonaws.com"
    request = RequestLine("PUT", host, "/a-bucket/blobs/a%3Ab?list-type=2&prefix=x%2Fy")
    headers = {"Content-Type": "application/json", "X-Amz-Meta-Word": f"a{value}"}
    with pytest.MonkeyPatch.context() as patch:
        import datetime

        import botocore.auth

        moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC).replace(tzinfo=None)
        patch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        expected = signed_by_botocore(request, headers, body, scope, keys)
    assert signed_headers(request, headers, body, scope, keys, NOW)["Authorization"] == expected


async def test_each_call_of_an_action_is_signed_for_its_body_its_time_and_the_keys_of_the_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[dict[str, str], bytes]] = []

    async def call(
        _: HttpClient, method: str, path: str, headers: dict[str, str], body: bytes, *__: object, **___: object
    ) -> Answer:
        assert (method, path) == ("POST", "/")
        sent.append((headers, body))
        return Answer(200, b"{}")

    monkeypatch.setattr(HttpClient, "call", call)
    keys, now = KEYS, NOW
    client = AwsClient(AwsPlace("eu-central-1", lambda: keys), "sqs", now=lambda: now)
    request, scope = RequestLine("POST", "sqs.eu-central-1.amazonaws.com", "/"), Scope("eu-central-1", "sqs")
    for keys in (KEYS, KEYS._replace(session_token=""), KEYS._replace(session_token="another")):
        for target in ("AmazonSQS.SendMessageBatch", "AmazonSQS.DeleteMessageBatch", "AmazonSQS.SendMessageBatch"):
            now += 0.5
            await client.action(target, f"{now}".encode(), 1.0)
            named = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
            assert sent.pop() == (
                signed_headers(request, named, f"{now}".encode(), scope, keys, now),
                f"{now}".encode(),
            )


def test_a_throttled_request_passes_and_a_failed_condition_does_not() -> None:
    throttled = Answer(400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}')
    failed = Answer(400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}')
    assert is_temporary_answer(throttled)
    assert not is_temporary_answer(failed)
    assert error_name(failed) == "ConditionalCheckFailedException"
    assert error_name(Answer(400, b"not JSON")) == ""
    assert error_name(Answer(400, b"", {"x-amzn-errortype": "AccessDenied:http://x/"})) == "AccessDenied"
