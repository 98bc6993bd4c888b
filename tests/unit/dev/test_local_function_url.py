"""The Function URL of the local Lambda: requests as events in payload format 2.0, and results as responses."""

import json

from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.aws.function import event_of, response_of
from shared.cloud.aws.function_url import request_of
from shared.jsontext import Json, JsonObject


def event(body: bytes = b"", *headers: tuple[str, str], target: str = "/") -> JsonObject:
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return event_of("POST", target, pairs, body, "127.0.0.1")


@given(st.binary(), st.sampled_from(["application/json", "text/plain; charset=utf-8", "image/png", ""]))
def test_every_body_reaches_the_function_byte_for_byte(body: bytes, content_type: str) -> None:
    handed_over = json.loads(json.dumps(event(body, ("Content-Type", content_type))))
    assert request_of(handed_over)[1] == body


def test_path_and_query_are_as_they_were_sent() -> None:
    found = event(target="/a%2Fb/%C3%B6?x=1&x=2&y=%20")
    assert (found["rawPath"], found["rawQueryString"]) == ("/a%2Fb/%C3%B6", "x=1&x=2&y=%20")
    assert found["queryStringParameters"] == {"x": "1,2", "y": " "}


def test_lines_of_one_header_are_joined_and_cookies_are_apart() -> None:
    found = event(b"", ("X-Two", "a"), ("x-two", "b"), ("Cookie", "c=1; d=2"))
    assert found["headers"] == {"x-two": "a,b"}
    assert found["cookies"] == ["c=1", "d=2"]


def response(document: Json) -> tuple[int, dict[str, str], bytes]:
    found = response_of(json.dumps(document).encode())
    return found.status, dict(found.headers), found.body


def test_a_result_is_a_response() -> None:
    result: JsonObject = {"statusCode": 401, "headers": {"WWW-Authenticate": "Basic"}, "body": "no"}
    expected = {"www-authenticate": "Basic", "content-type": "application/json"}
    assert response(result) == (401, expected, b"no")
