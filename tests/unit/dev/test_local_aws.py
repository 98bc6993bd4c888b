"""The local AWS: Function URLs, pollers of queues, SES, and the queues that stand for the buses of sources."""

import asyncio
import base64
import json
import shlex
from email.message import EmailMessage

import pytest
from aiohttp import web
from hypothesis import given, strategies as st

from deploy.dev import local_server
from deploy.dev.aws.function import event_of, listen, response_of
from deploy.dev.aws.local_aws import with_short_wait
from deploy.dev.aws.poller import backoff_seconds, failed_items, record_of
from deploy.dev.aws.ses import mail_document
from deploy.dev.aws.stack import SourceQueue, sending_line, source_queues
from deploy.dev.local_server import LocalSite
from deploy.dev.mail import SentRequest, mail_of, mail_request
from deploy.topology.buses import BusSource, bus_sources
from functions.receive.bus import object_event
from shared.cloud.aws.function_url import request_of
from shared.cloud.aws.sqs_messages import entry_of, message_of
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import BusMessage
from shared.push import Push
from tests.running.ports import free_port


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


@pytest.mark.parametrize(
    "garbage",
    [
        b"canary\r\n\r\n",
        b"\x16\x03\x01canary",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: canary\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX-A: " + b"canary" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
    ],
)
async def test_what_is_not_http_is_answered_with_its_code_and_logged_without_its_bytes(
    garbage: bytes, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    async with listen(web.Application(), port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.splitlines()[0].endswith(b" 400 Bad Request")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "malformed_http"
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["code"] == "malformed_http"
    assert "canary" not in line + caplog.text


@pytest.mark.parametrize(("wait", "short_wait"), [("0", "0"), ("1", "1"), ("20", "1")])
def test_a_long_poll_is_short_and_one_without_a_wait_has_none(wait: str, short_wait: str) -> None:
    body = '{{"MaxNumberOfMessages":10,"WaitTimeSeconds": {}}}'
    assert with_short_wait(body.format(wait).encode()) == body.format(short_wait).encode()


# Pollers


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


# SES


def request_to_ses(message: bytes, **destination: Json) -> JsonObject:
    data = base64.b64encode(message).decode()
    return {"Destination": destination, "Content": {"Raw": {"Data": data}}}


def make_message() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <shop@example.com>", "Jörg <j@example.com>", "Grüße"
    message["X-Event"], message["Reply-To"] = "e1", "answers@example.com"
    message.set_content("Hallo\n")
    message.add_alternative("<p>Hallo</p>\n", subtype="html")
    message.add_attachment(b"\x00\xff", maintype="application", subtype="pdf", filename="a.pdf")
    return message.as_bytes()


def test_a_mail_is_shown_as_one_of_sendgrid_is() -> None:
    document = mail_document(
        request_to_ses(make_message(), ToAddresses=["j@example.com"], BccAddresses=["b@example.com"])
    )
    text = to_json(document)
    stored = mail_request(text, SentRequest.model_validate_json(text), "m", 0.0)
    mail = mail_of(1, "m", 0.0, stored.text, 0)
    assert (mail.sender.email, mail.sender.name) == ("shop@example.com", "Shop")
    assert [(each.email, each.name) for each in mail.to] == [("j@example.com", "Jörg")]
    assert [each.email for each in mail.personalization.bcc] == ["b@example.com"]
    assert [each.email for each in mail.reply_to] == ["answers@example.com"]
    assert (mail.subject, mail.text, mail.html) == ("Grüße", "Hallo\n", "<p>Hallo</p>\n")
    assert mail.request.headers == {"X-Event": "e1"}
    assert [(each.filename, each.type, each.size_bytes) for each in mail.attachments] == [
        ("a.pdf", "application/pdf", 2)
    ]
    assert stored.attachments == (b"\x00\xff",)


def test_a_mail_without_subject_and_text_is_shown_too() -> None:
    document = mail_document(request_to_ses(b"From: a@example.com\r\n\r\n", ToAddresses=["b@example.com"]))
    assert SentRequest.model_validate_json(to_json(document)).subject


@pytest.mark.parametrize("request_", [None, {}, {"Content": {"Simple": {}}, "Destination": {}}])
def test_anything_else_is_rejected(request_: Json) -> None:
    with pytest.raises((ValueError, LookupError)):
        mail_document(request_)


# The queues of sources

ARN = "arn:aws:sqs:eu-central-1:123456789012:jobs"
RECEIVE: JsonObject = {
    "sources": {
        "jobs": {"bus": {"kind": "sqs", "name": "bus-jobs", "sqs": ARN}},
        "files": {"bus": {"kind": "bucket", "name": "bus-files", "bucket": "mine", "prefix": "in/"}},
        "form": {"auth": []},
    }
}


def source(name: str) -> BusSource:
    return next(each for each in bus_sources(RECEIVE) if each.source == name)


def test_each_source_with_a_bus_has_a_queue_that_receive_knows_by_its_arn() -> None:
    own = "hookchain-bus-files"
    assert source_queues(RECEIVE) == (
        SourceQueue("jobs", ARN),
        SourceQueue(own, f"arn:aws:sqs:us-east-1:000000000000:{own}"),
    )


@pytest.mark.parametrize(("name", "queue"), [("jobs", "jobs"), ("files", "hookchain-bus-files")])
def test_the_command_sends_to_the_queue(name: str, queue: str) -> None:
    *_, content, endpoint = shlex.split(sending_line(source(name), 8085))
    assert json.loads(content)["QueueUrl"] == f"{endpoint}/000000000000/{queue}"


def test_the_message_of_a_bucket_is_one_that_receive_takes() -> None:
    *_, content, _ = shlex.split(sending_line(source("files"), 8085))
    found = object_event(Push(json.loads(content)["MessageBody"].encode(), {}, "1"))
    assert (found.document["bucket"], found.document["name"]) == ("mine", "in/a.txt")


async def _echo(request: web.Request) -> web.Response:
    return web.Response(text=await request.text())


@pytest.mark.parametrize(
    ("sent", "other_user", "answer"),
    [
        (b"", False, b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\n", False, b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nPOST", False, b"HTTP/1.1 200 OK"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", False, b"HTTP/1.1 408 Request Timeout"),
        (b"", True, b""),
    ],
    ids=["nothing", "half a head", "half a second head", "half a body", "nothing of another user"],
)
async def test_what_a_client_leaves_half_done_is_cut_off(
    sent: bytes, other_user: bool, answer: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(local_server, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(local_server, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(local_server, "may_be_other_user", lambda *_: other_user)
    app = web.Application()
    app.router.add_post("/", _echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await LocalSite(runner, port).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(5):
        read = await reader.read()
    writer.close()
    await runner.cleanup()
    assert caplog.text == ""
    assert read.partition(b"\r\n")[0] == answer
