"""The names, ids and form of spans, and the exporter that sends them."""

import asyncio
import importlib
import pkgutil
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pytest
from opentelemetry.semconv._incubating import attributes as attribute_modules
from opentelemetry.semconv.schemas import Schemas

from shared.errors import Temporary
from shared.event import Event
from shared.jsontext import JsonObject
from shared.outgoing.http_client import Answer, NotSent
from shared.telemetry import exporter, spans
from shared.telemetry.exporter import Exporter, OtlpPost, Spans, read_headers
from shared.telemetry.spans import Place, Span
from shared.times import unix_seconds
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import run
from tests.stand_ins.otlp_receiver import otlp_receiver, spans_of

EVENT_ID: Final = "5d03509d68ce534406a308d4b4ddf7f7"
RECEIVED_AT: Final = "2026-09-21T14:13:20.000Z"
OWN: Final = spans.event_ids(EVENT_ID, RECEIVED_AT)
"""The ids of its first span."""
RESOURCES: Final[dict[str, JsonObject]] = {
    "notify": {"service.name": "hookchain-notify"},
    "receive": {"service.name": "hookchain-receive"},
}


def an_event(traceparent: str | None = None, received_at: str = RECEIVED_AT) -> Event:
    return Event(EVENT_ID, "/sources/web", "order", received_at, "a" * 64, traceparent=traceparent)


def a_span(name: str = "deliver crm", service: str = "notify") -> Span:
    return Span(service, name, spans.CLIENT, Place(*OWN), spans.new_span_id(), 1.0, 2.0, {spans.ROUTE: "all"})


# The names


def published_names() -> Iterator[str]:
    for module in pkgutil.iter_modules(attribute_modules.__path__):
        found = vars(importlib.import_module(f"{attribute_modules.__name__}.{module.name}")).items()
        yield from (value for name, value in found if name.isupper() and isinstance(value, str))
        for values in (value for name, value in found if name.endswith("Values") and isinstance(value, type)):
            yield from (str(each.value) for each in values)  # type: ignore[attr-defined] # an enumeration


def test_the_names_are_those_of_the_semantic_conventions_at_the_stated_version() -> None:
    named = {text for name, text in vars(spans).items() if name.isupper() and isinstance(text, str) and "." in text}
    others = {spans.SCHEMA_URL}
    own = {name for name in named if name.startswith("hookchain.")}
    used_values = {"gcp_pubsub", "aws_sqs", "send", "process", "http", "pubsub", "timer", "gcp", "aws"}
    published = set(published_names())
    assert len(named - own) > 20
    assert not (named - own - others | used_values) - published
    assert spans.SCHEMA_URL in {each.value for each in Schemas}


# Ids and places


@pytest.mark.parametrize("event_id", [EVENT_ID, f"{EVENT_ID}-2"])
def test_the_id_of_an_event_is_that_of_its_trace(event_id: str) -> None:
    assert spans.event_ids(event_id, RECEIVED_AT) == OWN
    assert OWN[0] == EVENT_ID


@pytest.mark.parametrize("event_id", ["e1", "0" * 32, f"{'0' * 16}{'1' * 16}", EVENT_ID.upper(), ""])
def test_an_id_that_is_no_trace_s_makes_one(event_id: str) -> None:
    trace_id, span_id = spans.event_ids(event_id, RECEIVED_AT)
    assert (len(trace_id), len(span_id)) == (32, 16)
    assert int(trace_id, 16)


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "00-abc",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'1' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
    ],
)
def test_a_sender_s_malformed_trace_is_no_link(traceparent: str | None) -> None:
    assert spans.ids_of_traceparent(traceparent) is None


@pytest.mark.parametrize(
    ("age_seconds", "parent", "place"),
    [
        (10, None, Place(*OWN)),
        (10, (EVENT_ID, "1" * 16), Place(EVENT_ID, "1" * 16)),
        (86_400, (EVENT_ID, "1" * 16), Place(EVENT_ID, "1" * 16)),
        (86_400, ("2" * 32, "1" * 16), Place("2" * 32, "1" * 16, (OWN,))),  # a replay's own trace
    ],
)
def test_work_is_in_the_trace_of_its_cause(age_seconds: float, parent: tuple[str, str] | None, place: Place) -> None:
    now = unix_seconds(RECEIVED_AT) + age_seconds
    assert spans.place_of(an_event(), now, parent) == place


def test_work_after_an_hour_has_a_trace_of_its_own_with_a_link_to_the_event() -> None:
    found = spans.place_of(an_event(), unix_seconds(RECEIVED_AT) + 3_600.1)
    assert found.trace_id != EVENT_ID
    assert (found.parent_id, found.links) == ("", (OWN,))


# The times of receive


def test_the_times_of_receive_become_its_span_and_that_of_publishing() -> None:
    text = spans.received_attribute(100.25, 100.5, "POST", 202)[spans.RECEIVED]
    event = an_event(traceparent=f"00-{'3' * 32}-{'4' * 16}-01")
    receive, publish = spans.receive_spans(event, "order", text, 100.75, "gcp_pubsub", "https")
    assert (receive.name, receive.kind, receive.started_at, receive.ended_at) == ("POST /web", 2, 100.25, 100.75)
    assert receive.place.links == (("3" * 32, "4" * 16),)
    assert receive.attributes[spans.HTTP_STATUS] == 202
    assert (publish.place.parent_id, publish.started_at, publish.span_id) == (
        OWN[1],
        100.5,
        spans.published_id(event),
    )


def test_a_request_that_the_sender_repeats_has_spans_of_its_own_in_the_trace() -> None:
    text = spans.received_attribute(100.25, 100.5, "POST", 202)[spans.RECEIVED]
    events = an_event(), an_event(received_at="2026-09-21T14:13:20.071Z")
    found = [each for event in events for each in spans.receive_spans(event, "order", text, 1.0, "gcp_pubsub", "https")]
    assert {each.place.trace_id for each in found} == {EVENT_ID}
    assert len({each.span_id for each in found}) == 4
    assert [each.place.parent_id for each in found] == ["", found[0].span_id, "", found[2].span_id]


def test_an_event_without_a_sender_s_trace_has_no_link_and_a_bus_has_no_request() -> None:
    text = spans.received_attribute(100.25, 100.5, "", 200)[spans.RECEIVED]
    event = an_event(traceparent=f"00-{EVENT_ID}-{EVENT_ID[:16]}-01")
    receive, publish = spans.receive_spans(event, "order", text, 0.0, "aws_sqs", "https")
    assert (receive.name, receive.kind, receive.place.links) == ("receive /web", spans.CONSUMER, ())
    assert spans.HTTP_METHOD not in receive.attributes
    assert publish.ended_at == 100.5  # a clock that is behind does not end a span before it began


@pytest.mark.parametrize("text", ["", "1 2 POST 200", "1.000000 2.000000 POST 999", "a" * 10_000])
def test_times_that_we_did_not_write_become_no_span(text: str) -> None:
    assert spans.receive_spans(an_event(), "order", text, 1.0, "aws_sqs", "https") == []


# The form


def test_opentelemetry_s_own_messages_take_the_spans() -> None:
    place, times = Place(EVENT_ID, "6" * 16, ((EVENT_ID, "7" * 16),)), (1_796_120_823.685809, 1_796_120_823.5)
    attributes = {spans.COUNT: 3, "a": True, "b": 0.5, "c": None}
    failed = Span("notify", "deliver ü", spans.CLIENT, place, "5" * 16, *times, attributes)
    failed.error = "refused_by_receiver"
    body = spans.spans_json([failed, a_span("POST /web", "receive")], RESOURCES)
    assert b'"status":{"code":2,"message":"refused_by_receiver"}' in body, "no detail: it may have a sender's field"
    received, other = spans_of(body)
    assert (received.resource, received.name, received.parent_id) == (RESOURCES["notify"], "deliver ü", "6" * 16)
    assert received.started_at == received.ended_at == 1_796_120_823.685809
    assert (received.kind, received.is_error, received.links) == ("client", True, ((EVENT_ID, "7" * 16),))
    expected = {"hookchain.count": 3, "a": True, "b": 0.5, "error.type": "refused_by_receiver"}
    assert received.attributes == expected
    assert other.resource == RESOURCES["receive"]


# The exporter, in virtual time


class FakeCollector:
    """Answers after `seconds`, and with each status in turn; then with the last one."""

    def __init__(self, seconds: float = 0.0, *statuses: int | Exception) -> None:
        self.seconds = seconds
        self.statuses = [*statuses] or [200]
        self.answer = b"{}"
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.tried_at: list[float] = []
        self.connected_at: list[float] = []

    async def connect(self) -> None:
        self.connected_at.append(asyncio.get_running_loop().time())

    async def __call__(self, path: str, body: bytes) -> Answer:
        assert path == "/v1/traces"
        self.tried_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Exception):
            raise status
        self.bodies.append(body)
        return Answer(status, self.answer, self.headers)

    @property
    def names(self) -> list[list[str]]:
        return [[each.name for each in spans_of(body)] for body in self.bodies]


class Exporting:
    """An exporter, and requests whose work takes some time and records a span."""

    def __init__(self, collector: FakeCollector, resources: dict[str, JsonObject] = RESOURCES) -> None:
        self.collector = collector
        self.exporter = Exporter(collector, Spans(resources))

    async def request(self, name: str, seconds: float = 0.0) -> float:
        """Serve a request, and return how much longer than its work it took."""

        async def work() -> str:
            await asyncio.sleep(seconds)
            self.exporter.add(a_span(name))
            return name

        began_at = asyncio.get_running_loop().time()
        assert await self.exporter.around(work()) == name
        return asyncio.get_running_loop().time() - began_at - seconds

    async def one_after_another(self, count: int, seconds: float) -> list[float]:
        return [await self.request(str(number), seconds) for number in range(count)]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_request_alone_sends_its_spans_before_its_answer() -> None:
    exporting = Exporting(FakeCollector(0.03))
    assert run(exporting.request("a")) == 0.03
    assert exporting.collector.names == [["a"]]
    assert exporting.collector.connected_at == [0.0], "the handshake goes on while the request is served"


def test_requests_that_overlap_share_a_flush() -> None:
    async def main() -> None:
        await asyncio.gather(*[exporting.request(name, int(name) / 1_000) for name in numbers(40)])

    exporting = Exporting(FakeCollector())
    run(main())
    assert exporting.collector.names == [numbers(40)]


def test_at_most_one_flush_begins_in_a_second_and_nothing_is_lost() -> None:
    async def main() -> None:
        await exporting.one_after_another(600, 0.01)
        await asyncio.sleep(1)  # the timer's flush

    exporting = Exporting(FakeCollector())
    run(main())
    tried_at = exporting.collector.tried_at
    assert 6 <= len(tried_at) <= 8
    assert min(later - earlier for earlier, later in pairwise(tried_at)) == pytest.approx(1, abs=0.02)
    assert [name for names in exporting.collector.names for name in names] == numbers(600)


def test_a_long_request_holds_back_nobody_s_spans() -> None:
    async def main() -> None:
        long = asyncio.create_task(exporting.request("long", 2.5))
        await asyncio.sleep(0)
        assert await exporting.request("short") == 0
        assert exporting.collector.names == []
        await asyncio.sleep(1.1)
        assert exporting.collector.names == [["short"]]
        await long

    exporting = Exporting(FakeCollector())
    run(main())
    assert exporting.collector.names == [["short"], ["long"]]


def test_a_slow_collector_costs_a_request_50_ms_and_gets_everything() -> None:
    async def main() -> list[float]:
        costs = await exporting.one_after_another(200, 0.02)
        await asyncio.sleep(2)
        return costs

    exporting = Exporting(FakeCollector(0.12))
    assert max(run(main())) <= exporter.WAIT_SECONDS + 0.001
    assert [name for names in exporting.collector.names for name in names] == numbers(200)


def test_a_dead_collector_costs_requests_50_ms_and_is_tried_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    exporting = Exporting(FakeCollector(10.0, TimeoutError()))
    costs = run(exporting.one_after_another(6_000, 0.1))
    assert max(costs) <= exporter.WAIT_SECONDS + 0.001
    assert sum(cost > 0.001 for cost in costs) <= 20
    last, before = exporting.collector.tried_at[-1], exporting.collector.tried_at[-2]
    assert last - before == pytest.approx(70, abs=1)  # its answer is awaited for 10 s
    assert capsys.readouterr().out.count("telemetry not sent") == 1


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (ConnectionRefusedError(), "the collector did not answer: ConnectionRefusedError"),
        (NotSent("SSLCertVerificationError"), "the collector did not answer: SSLCertVerificationError"),
        (Temporary("secret_unavailable", "no such secret"), "no such secret"),
        (503, "the collector answered 503 at /v1/traces"),
    ],
)
def test_what_was_not_sent_goes_with_the_next_flush_and_one_line_warns(
    failure: int | Exception, detail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        await exporting.request("a")
        await exporting.request("b")
        await asyncio.sleep(7)  # 2 s after the first failure, and 4 s after the second

    exporting = Exporting(FakeCollector(0.0, failure, failure, 200))
    run(main())
    assert exporting.collector.names[-1] == ["a", "b"]
    output = capsys.readouterr().out
    assert output.count("telemetry not sent") == 1
    assert detail in output


def test_a_collector_that_asks_for_a_pause_gets_it() -> None:
    async def main() -> None:
        await exporting.request("a")
        await asyncio.sleep(31)

    exporting = Exporting(FakeCollector(0.0, 429, 200))
    exporting.collector.headers["retry-after"] = "30"
    run(main())
    first, second = exporting.collector.tried_at
    assert second - first == pytest.approx(30, abs=0.1)


def test_a_collector_that_rejects_the_spans_does_not_get_them_again() -> None:
    async def main() -> None:
        await exporting.request("a")
        await exporting.request("b")
        await asyncio.sleep(3)

    exporting = Exporting(FakeCollector(0.0, 400, 200))
    run(main())
    assert exporting.collector.names == [["a"], ["b"]]


def test_spans_that_the_collector_rejected_are_told_once_and_hold_back_no_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    collector = FakeCollector()
    collector.answer = b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "a text of the collector"}}'
    exporting = Exporting(collector)
    run(exporting.one_after_another(300, 0.01))
    assert len(collector.tried_at) >= 3
    output = capsys.readouterr().out
    assert output.count("the collector rejected 3 at /v1/traces") == 1
    assert "a text of the collector" not in output


def test_what_cannot_be_written_costs_the_spans_and_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Exporting(FakeCollector(), {}).request("of a service without a resource")) == 0
    assert "telemetry not sent" in capsys.readouterr().out


def test_a_request_that_fails_is_no_longer_under_way() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="a fault"):
            await exporting.exporter.around(fail())
        await exporting.request("a")

    async def fail() -> None:
        raise ValueError("a fault")

    exporting = Exporting(FakeCollector())
    run(main())
    assert exporting.collector.names == [["a"]]


def test_of_too_many_spans_the_newest_stay() -> None:
    waiting = Spans(RESOURCES)
    for number in range(exporter.MAX_SPANS):
        waiting.add(a_span(str(number)))
    waiting.take()
    for number in range(10):
        waiting.add(a_span(f"new {number}"))
    waiting.put_back()
    names = [each.name for each in spans_of(waiting.take())]
    assert (len(names), names[0], names[-1]) == (exporter.MAX_SPANS, "10", "new 9")


async def test_a_collector_gets_the_headers_of_the_secret_below_the_path_of_its_url() -> None:
    secrets = FakeSecrets({"headers": "authorization=Bearer%20abc, x-team = ops,Content-Type=text/plain"})
    with otlp_receiver() as collector:
        post = OtlpPost(collector.url, secrets, "headers")
        assert (await post("/v1/traces", b"{}")).status == 200
        below = OtlpPost(f"{collector.url}/otlp/", secrets, None)
        assert (await below("/v1/traces", b"{}")).status == 404
        post.close()
        below.close()
    [request] = collector.requests
    assert (request.path, request.headers["authorization"]) == ("/v1/traces", "Bearer abc")
    assert (request.headers["x-team"], request.headers["content-type"]) == ("ops", "application/json")
    assert collector.faults == ["unknown path /otlp/v1/traces"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a=b%0d%0aX-Evil: 1", "the header 'a' must have no line break"),
        ("a=%E2%98%83", "the header 'a' must have no line break, no control character, and only characters of latin-1"),
        ("content-length=5", "the header 'content-length' is set by the connection"),
        ("Transfer-Encoding=chunked", "the header 'transfer-encoding' is set by the connection"),
        ("host=x", "the header 'host' is set by the connection"),
        ("a b=c", "a header's name must have letters, digits and '-' only"),
        ("Bearer abc", "must have the form `name=value,name=value`, such as `authorization=Bearer%20abc`$"),
        ("authorization=Bearer abc,def", "must have the form"),
        (" =c", "must have the form"),
    ],
)
async def test_headers_that_no_request_can_have_are_not_sent(text: str, rule: str) -> None:
    with otlp_receiver() as collector:
        post = OtlpPost(collector.url, FakeSecrets({"headers": text}), "headers")
        with pytest.raises(Temporary, match=f"secret_unusable: the secret 'headers': {rule}"):
            await post("/v1/traces", b"{}")
        post.close()
    assert collector.requests == []


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", {}),
        ("a=b=c", {"a": "b=c"}),
        ("A=b,, c= d,", {"a": "b", "c": "d"}),
    ],
)
def test_headers_are_written_as_opentelemetry_s_variable_has_them(text: str, headers: dict[str, str]) -> None:
    assert read_headers(text) == headers
