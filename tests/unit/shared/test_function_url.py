"""A request to a Lambda Function URL as the functions see it, and their reply as the platform takes it."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cloud.aws.function_url import answer_event, reader_of, request_of, response_of
from shared.cloud.aws.invocations import STOP_SECONDS, run
from shared.errors import Rejected
from shared.http import ReadBody, Reply, Request
from shared.jsontext import JsonObject
from tests.aws.invoked import Context, url_event

DOCUMENTED: JsonObject = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/my/path",
    "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
    "cookies": ["cookie1", "cookie2"],
    "headers": {"Header1": "value1", "header2": "value1,value2"},
    "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
    "requestContext": {
        "accountId": "123456789012",
        "domainName": "<url-id>.lambda-url.us-west-2.on.aws",
        "http": {"method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "123.123.123.123"},
    },
    "body": "Hello from client!",
    "isBase64Encoded": False,
}


def test_the_documented_event_is_the_request_that_was_sent() -> None:
    assert request_of(DOCUMENTED) == (
        Request(
            "POST",
            "/my/path",
            "parameter1=value1&parameter1=value2&parameter2=value",
            (("header1", "value1"), ("header2", "value1,value2"), ("cookie", "cookie1; cookie2")),
            peer="123.123.123.123",
        ),
        b"Hello from client!",
    )


@pytest.mark.parametrize(
    ("body", "is_encoded", "expected"),
    [
        (None, False, b""),
        ("", True, b""),
        ("é", False, "é".encode()),
        (base64.b64encode(b"\xff\x00").decode(), True, b"\xff\x00"),
    ],
)
def test_the_body_is_the_bytes_that_were_sent(body: str | None, is_encoded: bool, expected: bytes) -> None:
    assert request_of({**DOCUMENTED, "body": body, "isBase64Encoded": is_encoded})[1] == expected


header_names = st.from_regex(r"x-[a-z]{1,8}", fullmatch=True)
header_values = st.text(st.characters(codec="ascii", exclude_categories=["Cc"])).map(str.strip)


@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    st.text(st.sampled_from("abc/%2f.~"), max_size=20),
    st.text(st.sampled_from("a=1&%20+;"), max_size=20),
    st.dictionaries(header_names, header_values, max_size=5),
    st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png", ""]),
    st.binary(max_size=50),
)
def test_any_request_is_the_same_behind_a_function_url(
    method: str, path: str, query: str, headers: dict[str, str], content_type: str, body: bytes
) -> None:
    head = Request(method, f"/{path}", query, (*headers.items(), ("content-type", content_type)), peer="192.0.2.7")
    event = url_event(Request(method, f"/{path}", query, head.headers, body, "192.0.2.7"))
    assert request_of(event) == (head, body)


@pytest.mark.parametrize("event", [{}, {"requestContext": {}}, {"Records": []}, {"requestContext": {"http": "x"}}])
def test_an_event_of_another_kind_is_an_error_that_says_so(event: JsonObject) -> None:
    with pytest.raises(ValueError, match="Function URL"):
        request_of(event)


async def test_a_body_is_read_up_to_its_limit() -> None:
    assert await reader_of(b"1234")(4) == b"1234"
    with pytest.raises(Rejected, match="body_too_large: the body is larger than 3 bytes"):
        await reader_of(b"1234")(3)


def test_a_reply_is_text_where_it_can_be_and_base64_where_not() -> None:
    text = response_of(Reply(200, "é".encode(), (("content-type", "text/plain"),)))
    assert text == {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "é", "isBase64Encoded": False}
    binary = response_of(Reply(200, b"\xff"))
    assert (binary["body"], binary["isBase64Encoded"]) == ("/w==", True)
    assert response_of(Reply(204, headers=()))["body"] == ""


def test_an_answer_that_does_not_come_in_time_is_a_503_before_lambda_ends_the_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def answer(_: Request, __: ReadBody) -> Reply:
        await asyncio.Event().wait()
        return Reply(200)

    response = run(lambda deadline: answer_event("receive", answer, DOCUMENTED, deadline), Context(STOP_SECONDS + 0.02))
    assert response["statusCode"] == 503
    assert response["headers"] == {"content-type": "application/problem+json", "retry-after": "5"}
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["function"], line["outcome"], line["code"]) == ("receive", "unavailable", "invocation_timeout")
