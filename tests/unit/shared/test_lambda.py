"""The functions on AWS Lambda: their start, requests to a Function URL, and batches of messages."""

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, strategies as st

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from shared.batching import Batcher
from shared.cloud.aws import batches, invocations
from shared.cloud.aws.function_url import answer_event, reader_of, request_of, response_of
from shared.cloud.aws.invocations import STOP_SECONDS, event_loop, in_time, run
from shared.errors import Rejected, Temporary
from shared.http import ReadBody, Reply, Request
from shared.jsontext import Json, JsonObject
from shared.ports import BusMessage
from shared.push import Push
from shared.settings import SliceFault, load_slice
from shared.time_bound import Deadlines, TooLate
from tests.aws.invoked import Context, FakeQueues, failures, record, url_event
from tests.fakes.virtual_time import VirtualLoop
from tests.running.processes import ROOT

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


FUNCTIONS: Final = ("receive", "transform", "notify")
CONFIG: Final = """
sources: {web: {auth: {scheme: hmac, header: X-Signature, secret: web-secret}}}
routes: [{name: all, from: web, steps: [{drop: [data.password]}], to: crm}]
destinations: {crm: {email: {to: [a@example.com], from: b@example.com, subject: "{{ data.name }}"}}}
"""
NEVER: Final = {
    *("google", "grpc", "functions_framework", "flask", "starlette", "uvicorn", "gunicorn", "aiohttp"),
    *("boto3", "botocore", "urllib3", "requests", "yaml"),
}
SCRIPT: Final = """
import importlib, sys, threading, asyncio
before = set(sys.modules)
module = importlib.import_module(sys.argv[1])
assert threading.active_count() == 1 and callable(module.handler)
print(*set(sys.modules) - before)
"""
LAMBDA: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "hookchain",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "HOOKCHAIN_TABLES": "hookchain-",
    "HOOKCHAIN_BUCKET": "hookchain-blobs",
}


def start(function: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Load the handler as Lambda's runtime does."""
    command = [sys.executable, "-c", SCRIPT, f"functions.{function}.lambda_handler"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_start_imports_nothing_of_another_platform(function: str, tmp_path: Path) -> None:
    compiled = compile_config(parse_config(CONFIG, "test.yaml", tmp_path))[function]
    (tmp_path / "slice.json").write_text(json.dumps(compiled))
    done = start(function, {**LAMBDA, "HOOKCHAIN_SLICE": str(tmp_path / "slice.json")})
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert f"functions.{function}.wiring" in imported
    assert not {name.partition(".")[0] for name in imported} & NEVER
    others = ("shared.cloud.gcp", "shared.cloud.local", "shared.telemetry", f"functions.{function}.tracing")
    assert not [name for name in imported if name.startswith(others)]


def test_a_slice_that_does_not_load_ends_the_start_with_the_fault_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "slice.json").write_text('{"function": "another"}')
    done = start("receive", {**LAMBDA, "HOOKCHAIN_SLICE": str(tmp_path / "slice.json")})
    assert done.returncode == 1
    (line,) = [json.loads(each) for each in done.stdout.splitlines()]
    assert (line["severity"], line["function"]) == ("CRITICAL", "receive")
    assert "expected a slice of" in line["detail"]


# Slices


def test_in_a_checkout_the_slice_is_compiled_now() -> None:
    assert load_slice("notify")["function"] == "notify"


def test_a_bundle_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "slice.json").write_text(json.dumps({"function": "notify"}))
    assert load_slice("notify", root=tmp_path) == {"function": "notify"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("not JSON", "is not JSON"), ('{"function": "receive"}', "expected a slice of 'notify', found one of 'receive'")],
)
def test_a_slice_that_was_not_compiled_for_the_function_is_a_fault(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "slice.json").write_text(content)
    with pytest.raises(SliceFault, match=re.escape(message)):
        load_slice("notify", root=tmp_path)


def test_where_nothing_is_the_fault_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SliceFault, match="make bundle"):
        load_slice("notify", root=tmp_path)
    with pytest.raises(SliceFault, match="make bundle"):
        load_slice("notify", tmp_path / "gone.json")


HOUR: Final = 3_600
Take = Callable[[Push], Awaitable[bool]]


def messages(*names: str, receives: int = 1) -> JsonObject:
    """Return an event whose messages have their names as ids and as data."""
    return {"Records": [record("events", BusMessage(name.encode()), receives, name) for name in names]}


def answered(event: JsonObject, take: Take, queues: FakeQueues | None = None, seconds: float = 30.0) -> list[Json]:
    """Return the ids of the messages that are to come again."""
    batch, queues = batches.batch_of(event), queues or FakeQueues()
    answer = run(lambda deadline: batches.take_batch("transform", batch, take, queues, deadline), Context(seconds))
    return failures(answer)


async def acknowledge(_: Push) -> bool:
    return True


def test_what_is_not_done_comes_again_and_holds_no_other_back() -> None:
    async def take(push: Push) -> bool:
        return push.data != b"b"

    queues = FakeQueues()
    assert answered(messages("a", "b", "c"), take, queues) == ["b"]
    assert queues.postponed == {"b": batches.MIN_WAIT_SECONDS}


@pytest.mark.parametrize("fault", [ValueError("hunter2"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_a_crash_inside_one_message_leaves_the_others_acknowledged(
    fault: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    async def take(push: Push) -> bool:
        if push.data == b"b":
            raise fault
        await asyncio.sleep(0)
        return True

    assert answered(messages("a", "b", "c"), take) == ["b"]
    written = capsys.readouterr().out
    (line,) = [json.loads(each) for each in written.splitlines()]
    assert (line["outcome"], line["code"]) == ("unavailable", "internal_error")
    assert type(fault).__name__ in line["detail"]
    assert "hunter2" not in written


def test_only_what_is_not_done_by_the_deadline_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    async def take(push: Push) -> bool:
        if push.data != b"a":
            await asyncio.Event().wait()
        return True

    queues = FakeQueues()
    assert answered(messages("a", "b", "c"), take, queues, STOP_SECONDS + 0.2) == ["b", "c"]
    assert queues.postponed.keys() == {"b", "c"}
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["code"], line["count"]) == ("invocation_timeout", 2)


def test_the_wait_grows_from_ten_seconds_to_ten_minutes() -> None:
    waits = [batches.wait_seconds(receives) for receives in range(1, batches.MAX_RECEIVES + 1)]
    assert waits[:4] == [10, 20, 40, 80]
    assert waits == sorted(waits)
    assert (min(waits), max(waits)) == (batches.MIN_WAIT_SECONDS, batches.MAX_WAIT_SECONDS)


def test_a_message_that_ends_the_process_does_not_keep_its_batch_from_being_done() -> None:
    """Messages that come again and again together. One of them ends the process each time before Lambda is answered."""
    left, taken = dict.fromkeys("abcdefgh", 0), list[str]()

    class Killed(Exception):
        pass

    async def take(push: Push) -> bool:
        taken.append(push.data.decode())
        if push.data == b"c":
            queues.is_killed = True
            await asyncio.Event().wait()
        return True

    class KilledQueues(FakeQueues):
        is_killed = False

        async def postpone(self, arn: str, messages: object) -> None:
            raise Killed  # the process has ended before

    for receives in range(1, 60):
        if left.keys() == {"c"}:
            break
        queues = KilledQueues()
        event: JsonObject = {"Records": [record("events", BusMessage(name.encode()), receives, name) for name in left]}
        with pytest.raises(Killed):
            answered(event, take, queues, STOP_SECONDS + 0.01)
        for name in queues.deleted:
            del left[name]
    assert left.keys() == {"c"}


@pytest.mark.parametrize("event", [{}, {"Records": []}, {"Records": "x"}, {"sweep": 1}])
def test_a_batch_of_another_kind_is_an_error_that_says_so(event: JsonObject) -> None:
    with pytest.raises(ValueError, match="Records: is missing"):
        batches.batch_of(event)


def test_an_outage_of_our_own_parts_is_survived_for_about_sixteen_hours() -> None:
    """A message of a queue whose every try fails, on a clock that a test moves, until SQS gives up on it."""

    async def take(_: Push) -> bool:
        return False

    now, receives, queues = 0, 0, FakeQueues()
    while receives < batches.MAX_RECEIVES:
        receives += 1
        assert answered(messages("a", receives=receives), take, queues) == ["a"]
        now += queues.postponed["a"]
    assert 15 * HOUR < now < 17 * HOUR
