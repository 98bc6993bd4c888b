"""The rows of the table, each with what it is compared with and its limit."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Unit = Literal["×", "µs", "ms", "s", "/s", "MiB", "MB", "%", ""]
Group: TypeAlias = str
"""A key of MEASURES in __main__.py."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `value`, or at least."""

    value: float
    is_most: bool = True

    def is_met(self, measured: float) -> bool:
        return measured <= self.value if self.is_most else measured >= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """`compared_with` is the denominator of a ratio. `part`: the rows of a group that are measured together."""

    name: str
    what: str
    compared_with: str
    group: Group
    unit: Unit = "×"
    limit: Limit | None = None
    lower_is_better: bool = True
    part: str = ""


_BARE: Final = "a bare asynchronous function"
_BARE_HANDLER: Final = "a bare handler with one client of boto3"
_ON_FRAMEWORK: Final = "on functions-framework with Google's adapters"
_ALL: Final = "with everything configured"
_SMALL: Final = "an event of 150 bytes"
_OF_SMALL: Final = "the same with one"


def _at_most(value: float) -> Limit:
    return Limit(value)


def _at_least(value: float) -> Limit:
    return Limit(value, is_most=False)


TROUBLES: Final = {
    "hanging": "a webhook that never answers gets 300 events",
    "hanging-60s": "the same with `timeout: 60s`",
    "hostile": "28 destinations are mute, drip, fail, refuse, close or are slow",
    "fetch": "100 events wait in `fetch` for an API that never answers",
    "fetch-503": "100 events/s wait in `fetch` for an API that answers 503",
    "routes": "each event has a second route, which waits 30 s in `fetch`",
    "tenant": "a tenant sends 150 events/s to its 5 endpoints; the others are ten tenants",
    "fan-out": "an event goes to a tenant with 10,000 endpoints",
    "flood": "a source sends 1.5 times what `make dev` delivers",
    "mail": "an SMTP server that never answers gets 300 mails",
    "sql": "300 rows go to a table that is locked",
    "recovery": "each event is retried once; `recover` lists pages of events, and the API of `renew` is mute",
    "key": "a key of `per` gets 150 events/s, its rate is 100/s; the others are ten keys",
}
"""What each part of the group `neighbours` does beside a sender of few events to a healthy receiver."""


def _neighbour_rows(trouble: str, what: str) -> tuple[Row, ...]:
    name = f"neighbours-{trouble}"
    p50_limit = "the larger of 0.25 s and 5 × p50 alone"
    return (
        Row(name, f"p99 beyond p99 alone: {what}", "", "neighbours", "s", _at_most(1), part=name),
        Row(f"{name}-p50", "p50", p50_limit, "neighbours", limit=_at_most(1), part=name),
        Row(f"{name}-wrong", "events not delivered, or twice", "", "neighbours", "", _at_most(0), part=name),
    )


ROWS: Final = (
    # CPU of an event in each function: one route, two steps, one mail, on this machine's platform.
    Row("receive", "receive: 2 KB of JSON, HMAC, published", _BARE, "events", limit=_at_most(2.5)),
    Row("receive-library", "receive: the same", "a function with google-cloud-pubsub", "events", limit=_at_most(1 / 4)),
    Row("receive-small", f"receive: {_SMALL}", _BARE, "events"),
    Row("transform", f"transform: {_SMALL}, two steps", _BARE, "events", limit=_at_most(3)),
    Row("notify", f"notify: {_SMALL}, one mail", _BARE, "events", limit=_at_most(5)),
    Row("pipe", f"the three together: {_SMALL}", _BARE, "events", limit=_at_most(10)),
    Row("notify-webhook", f"notify: {_SMALL}, one signed webhook", "one mail", "webhooks", limit=_at_most(1)),
    Row("webhook-hanging", "notify: p99 beside a receiver that hangs", "it answers", "hanging", limit=_at_most(1.2)),
    # A quiet sender and receiver alone, then beside somebody else's trouble: `make dev`, post to arrival.
    *(row for trouble, what in TROUBLES.items() for row in _neighbour_rows(trouble, what)),
    Row(
        "neighbours-writes",
        "nobody in trouble: rows written and messages published beyond the least",
        "",
        "neighbours",
        "",
        _at_most(0),
        part="neighbours-writes",
    ),
    Row("subscribers-beside", "notify: p99 beside 15 % dead or slow", "none is", "subscribers", limit=_at_most(2)),
    Row("subscribers-cpu", "fan-out: CPU of a delivery beyond a webhook's", "", "subscribers", "ms", _at_most(0.5)),
    Row("subscribers-complete", "deliveries beside dead endpoints", "", "subscribers", "%", _at_least(100), False),
    # Rows in a local PostgreSQL, 40 deliveries at once. The server's own CPU does not count.
    Row("sql-rows", "rows into PostgreSQL for a second of CPU", "", "sql", "/s", lower_is_better=False),
    Row("sql-insert", "the same", "one INSERT for each connection", "sql", "×", _at_least(5), False),
    Row("sql-cpu", f"notify: {_SMALL}, one row", "one signed webhook", "sql", limit=_at_most(1)),
    # Growth. Of receive, 2 KB became so cheap that 20 of them are less than what any function must do with 1 MB: read
    # it, hash it twice, parse it and store it take 23. So it is held to a function that does nothing else.
    Row("receive-1mb", "receive: a body of 1 MB, an attachment", "one of 2 KB", "growth"),
    Row("receive-1mb-least", "receive: the same", "reading, hashing, storing it", "growth", limit=_at_most(1.75)),
    *(
        Row(f"{name}-1mb", f"{name}: a body of 1 MB, an attachment", "one of 2 KB", "growth", limit=_at_most(20))
        for name in ("transform", "notify")
    ),
    Row("memory-1mb", "memory after bodies of 1 MB, the worst function", "before", "growth", limit=_at_most(1.25)),
    *(
        Row(f"{name}-1000", f"{name}: 1,000 sources, routes, destinations", _OF_SMALL, "growth", limit=_at_most(1.1))
        for name in ("receive", "transform", "notify")
    ),
    Row("transform-100", "transform: 100 destinations on one route", _OF_SMALL, "growth", limit=_at_most(5)),
    # With Google's adapters.
    Row("google", f"the three together: {_SMALL}", _BARE, "google", limit=_at_most(16)),
    *(Row(f"google-{name}", f"{name}: {_SMALL}", _BARE, "google") for name in ("receive", "transform", "notify")),
    Row("google-writes", "documents written for an event", "", "google", "", _at_most(3)),
    Row("google-reads", "documents read for an event", "", "google", "", _at_most(1)),
    # `hookchain dev`: emulator, functions, page.
    Row("durable", "post to mail, under load", "", "durable", "/s", lower_is_better=False),
    Row("durable-cpu", "CPU of all its processes for an event", _BARE, "durable"),
    Row("durable-lost", "events accepted without a mail", "", "durable", "", _at_most(0)),
    Row("durable-idle", "post to mail, idle, p50", "", "durable", "ms", _at_most(10)),
    Row("durable-page", "post to mail, with the page open", "without", "durable", "×", _at_least(0.9), False),
    *(
        Row(f"memory-{name}", f"{name}: memory grown over the events", "after its warm-up", "memory", "%", _at_most(5))
        for name in ("receive", "transform", "notify")
    ),
    Row("search", "the slowest search among all local events", "", "search", "ms", _at_most(100)),
    Row("overview", "the overview of all local events", "", "search", "ms", _at_most(100)),
    Row("portal", "the portal's first requests, 100,000 deliveries are stored", "", "portal", "ms", _at_most(300)),
    # Cold starts of the bundles for Google Cloud, to the first answer that did its work: the quickest of five.
    Row("start-receive", "receive: start to first answer", _BARE, "starts", limit=_at_most(1.1)),
    Row("start-transform", f"transform: the same, {_ALL}", _BARE, "starts", limit=_at_most(1.4)),
    Row("start-notify", f"notify: the same, {_ALL}", _BARE, "starts", limit=_at_most(1.6)),
    Row("start-catalogue", "receive: the whole catalogue as sources", "one source", "starts", limit=_at_most(1.1)),
    Row("start-webhook", "notify: first answer, a webhook", "one mail", "webhook-start", limit=_at_most(1.1)),
    Row("installed-receive", "receive: installed with what it needs", "", "starts", "MiB", _at_most(60)),
    # Lambda's handlers, each package as it is uploaded, under the runtime interface emulator. CPU is of the handler in
    # a loop: emulator and runtime client, which are Amazon's, take as long again.
    *(
        Row(f"lambda-start-{name}", f"{name}: cold start, {_ALL}", _BARE_HANDLER, "lambda", limit=_at_most(1.3))
        for name in ("receive", "transform", "notify")
    ),
    Row("lambda-overhead", "receive: a warm invocation, beyond a bare handler's", "", "lambda", "ms", _at_most(5)),
    Row("lambda-package", "receive: the package that is uploaded", "", "lambda", "MB", _at_most(15)),
    *(
        Row(f"lambda-{name}", f"{name}: CPU, {_SMALL}, one at a time", _ON_FRAMEWORK, "lambda", limit=_at_most(1))
        for name in ("receive", "transform", "notify")
    ),
    *(
        Row(f"lambda-{name}-batch", f"{name}: the same, ten at a time", _ON_FRAMEWORK, "lambda", limit=_at_most(1))
        for name in ("transform", "notify")
    ),
    # Sending alone; the stand-in that answers does not count.
    Row("send", "a webhook over a kept connection", "sent by requests", "sending", limit=_at_most(0.4)),
    Row("tap", "transform: `develop`, while nobody listens", _BARE, "tap", limit=_at_most(0.05)),
    Row("sheet", "a row of a Google Sheet, 50 at once, CPU", "one signed webhook", "sending", limit=_at_most(1)),
    # Spans and metrics by OTLP, in a process that does nothing else; the collector does not count.
    Row("telemetry-span", "a span in a batch of an event's spans", _BARE, "telemetry", limit=_at_most(0.35)),
    Row("telemetry-flush", "a flush of one event's spans and counts, CPU", "", "telemetry", "ms", _at_most(0.5)),
    Row("telemetry-import", "import of what exports, CPU", "", "telemetry", "ms", _at_most(5)),
    Row("telemetry-flushes", "flushes of a process under load", "", "telemetry", "/s", _at_most(1)),
    Row("telemetry-far", "spans that reach a collector 120 ms away", "", "telemetry", "%", _at_least(99), False),
    Row("telemetry-dead", "the longest wait of a request, the collector is dead", "", "telemetry", "ms", _at_most(55)),
    Row("telemetry-warnings", "log lines about the dead collector", "", "telemetry", "", _at_most(1)),
    Row("compile-1000", "compile 1,000 sources, routes and destinations", "", "steps", "s", _at_most(1)),
    Row("ten-steps", "ten ordinary steps on an event of 2 KB, CPU", "", "steps", "ms", _at_most(0.5)),
    Row("verify", "verify and parse 2 KB, CPU, the most expensive of four providers", "", "steps", "µs", _at_most(150)),
)
