"""Requests to a Lambda Function URL as the functions see them, and the event loop that handles them."""

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, strategies as st

from shared.batching import Batcher
from shared.cloud.aws import invocations
from shared.cloud.aws.function_url import answer_event, reader_of, request_of, response_of
from shared.cloud.aws.invocations import STOP_SECONDS, event_loop, in_time, run
from shared.errors import Rejected, Temporary
from shared.http import ReadBody, Reply, Request
from shared.jsontext import JsonObject
from shared.time_bound import Deadlines, TooLate
from tests.aws.invoked import Context, url_event
from tests.fakes.virtual_time import VirtualLoop

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


def test_a_late_answer_is_a_503_before_lambda_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_: Request, __: ReadBody) -> Reply:
        await asyncio.Event().wait()
        return Reply(200)

    response = run(lambda deadline: answer_event("receive", answer, DOCUMENTED, deadline), Context(STOP_SECONDS + 0.02))
    assert response["statusCode"] == 503
    assert response["headers"] == {"content-type": "application/problem+json", "retry-after": "5"}
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["function"], line["outcome"], line["code"]) == ("receive", "unavailable", "invocation_timeout")


# The event loop: one for the process, which stands still while the process is frozen


class Frozen(VirtualLoop):
    """A loop on which any time may pass between two invocations, in which nothing runs."""

    def freeze(self, seconds: float) -> None:
        self._jumping.elapsed += seconds


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Frozen]:
    frozen = Frozen()
    monkeypatch.setattr(invocations, "event_loop", lambda: frozen)
    yield frozen
    frozen.close()


async def running_loop(_: float) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_invocations_share_a_loop() -> None:
    assert run(running_loop, Context()) is run(running_loop, Context()) is event_loop()


def test_the_work_has_the_remaining_time_but_for_what_the_answer_takes(loop: Frozen) -> None:
    async def left(deadline: float) -> float:
        return deadline - asyncio.get_running_loop().time()

    assert run(left, Context(10.0)) == 10.0 - STOP_SECONDS


def test_work_that_is_late_is_a_passing_failure_and_no_other_timeout_is() -> None:
    async def hang(deadline: float) -> None:
        await in_time(asyncio.Event().wait(), deadline)

    async def fail(deadline: float) -> None:
        await in_time(raise_timeout(), deadline)

    async def raise_timeout() -> None:
        raise TimeoutError("of something else")

    with pytest.raises(Temporary, match="invocation_timeout"):
        run(hang, Context(STOP_SECONDS + 0.01))
    with pytest.raises(TimeoutError, match="of something else"):
        run(fail, Context())


def test_after_a_thaw_what_waits_has_its_own_time(loop: Frozen) -> None:
    deadlines = Deadlines()

    async def wait(seconds: float, limit: float) -> float:
        begun = loop.time()
        try:
            await deadlines.wait(asyncio.sleep(seconds), begun + limit)
        except TooLate:
            return -(loop.time() - begun)
        return loop.time() - begun

    assert run(lambda _: wait(1.0, 3.0), Context()) == 1.0
    loop.freeze(3_600.0)  # over the alarm of the first
    assert run(lambda _: wait(2.0, 3.0), Context()) == 2.0
    loop.freeze(0.5)
    assert run(lambda _: wait(9.0, 3.0), Context()) == -3.0
    assert run(lambda _: wait(9.0, 1.0), Context()) == -1.0


def test_after_a_thaw_a_call_that_was_left_in_flight_does_not_hold_up_the_next(loop: Frozen) -> None:
    calls: list[list[str]] = []

    async def call(items: Sequence[str]) -> Sequence[str]:
        calls.append(list(items))
        if len(calls) == 1:
            async with asyncio.timeout(2.0):
                await asyncio.Event().wait()
        return items

    batcher = Batcher[str, str](call, max_batch=10, max_waiting=10)

    async def submit(item: str, seconds: float) -> str:
        async with asyncio.timeout(seconds):
            return await batcher.submit(item)

    with pytest.raises(TimeoutError):
        run(lambda _: submit("first", 1.0), Context())
    loop.freeze(3_600.0)
    assert run(lambda _: submit("second", 1.0), Context()) == "second"
    assert calls == [["first"], ["second"]]
