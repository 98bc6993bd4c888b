"""The usage of a stack in a month, estimated from its topology and from what one event was measured to use.

Lambda bills each call for its whole time, one event after another, and the start of a new environment too. An idle
stack is not free: Lambda polls the queues all the time, and secrets and alarms have a price a month.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.aws.resources.functions import memory_mib
from deploy.aws.resources.monitoring import SERIES
from deploy.aws.resources.queues import brought_queues
from deploy.aws.template_names import consumed_queues
from deploy.topology import estimate
from deploy.topology.estimate import GIB, MILLION, Row, Traffic
from deploy.topology.topology import Topology, find_topology
from functions.notify.waiting.pauses import CACHE_SECONDS
from shared.cloud.shards import SHARDS
from shared.jsontext import JsonObject
from shared.retention import Retention, retention_of

MIB_OF_ONE_CPU: Final = 1769
"""The memory at which a function has one whole CPU. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""
SECRET_SECONDS: Final = 300.0
"""An environment reads a secret again after this time."""
POLLS_A_QUEUE: Final = 5
HOUR_SECONDS: Final = 3600.0
"""A custom metric is charged for each hour in which it gets a value."""
METRICS_A_DESTINATION: Final = 2
"""The count of deliveries, most of which have one outcome, and the duration of attempts."""
POLL_SECONDS: Final = 20.0
"""Lambda has five long polls open on a queue without messages."""

MESSAGE_UNITS: Final = 2
"""DynamoDB's write units of a tenant's copy of an event, and below, of a delivery to an endpoint, as measured."""
MESSAGE_BYTES: Final = 1_100
"""A tenant's copy of an event of some 200 bytes, with the entry that finds it, as measured."""
ENDPOINT_DELIVERY_UNITS: Final = 5
ENDPOINT_DELIVERY_BYTES: Final = 1_500

# These are assumed, not measured: a local AWS is faster than the service that it stands for.
START_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 7 * 60.0
"""How long Lambda keeps an environment that has nothing to do. AWS does not say; it is some minutes."""
PUBLISH_SECONDS: Final = 0.02
DATABASE_SECONDS: Final = 0.01
LOG_BYTES: Final = 1_000
"""The function's own line and Lambda's three lines, for each call."""
READ_UNITS_A_SWEEP: Final = 0.5 * SHARDS
"""A query reads at least half a unit, from each shard."""


def rows(topology: Topology, usage: Mapping[str, float], traffic: Traffic, retention: Retention) -> list[Row]:
    """Return the estimate. `usage` is the measured use of one event, with one route and one mail."""
    events = traffic.events
    sweeps = sweeps_a_month(topology)
    calls = usage["requests"] * events + sweeps
    queues = polled_queues(topology)
    # Beside what was measured: an item of signed bytes, and one of a body that goes before its event.
    items_of_bodies = 1 if retention.bodies_seconds < retention.events_seconds else 0
    writes = usage["write_units"] * events + events * (traffic.signed_share + items_of_bodies)
    state_reads = min(events, estimate.MONTH_SECONDS / CACHE_SECONDS)  # of a destination's state
    reads = READ_UNITS_A_SWEEP * sweeps + state_reads
    queue_requests = usage["queue_requests"] * events
    secret_reads = sum(map(len, topology.readers.values())) * min(events, estimate.MONTH_SECONDS / SECRET_SECONDS)
    stored = estimate.stored_bytes(usage, events, retention)
    delivery_metrics = METRICS_A_DESTINATION * traffic.destinations * traffic.busy_share(HOUR_SECONDS)
    return [
        Row("calls of the functions", calls, price_name="million_requests", per=MILLION),
        Row("duration of the calls", gb_seconds(topology, usage, traffic), unit="GB s", price_name="gb_second"),
        Row("queue requests for events", queue_requests, price_name="million_queue_requests", per=MILLION),
        Row("polls of empty queues", idle_polls(queues), price_name="million_queue_requests", per=MILLION),
        Row("writes", writes, unit="units", price_name="million_write_units", per=MILLION),
        Row("reads", reads, unit="units", price_name="million_read_units", per=MILLION),
        Row("ledger and journal, stored", stored, unit="bytes", price_name="table_gib_month", per=GIB),
        Row("their backup of 35 days", stored, unit="bytes", price_name="backup_gib_month", per=GIB),
        Row("logs", LOG_BYTES * calls, unit="bytes", price_name="log_gib", per=GIB),
        Row("scheduled sweeps", sweeps, price_name="million_schedules", per=MILLION),
        Row("secrets", len(topology.readers), price_name="secret_month"),
        Row("reads of secrets", secret_reads, price_name="ten_thousand_secret_reads", per=10_000),
        Row("metrics of deliveries", delivery_metrics, price_name="custom_metric_month"),
        Row("metrics in alarms", alarm_metrics(topology), price_name="alarm_metric_month"),
        Row("dashboards", 1, price_name="dashboard_month"),
        *(_subscriber_rows(usage, traffic, retention) if traffic.endpoints else ()),
    ]


def _subscriber_rows(usage: Mapping[str, float], traffic: Traffic, retention: Retention) -> Iterator[Row]:
    """Yield the lines of tenants' messages and of deliveries to endpoints. Their duration is among the others'."""
    messages, deliveries = traffic.messages, traffic.endpoint_deliveries
    queue_requests = usage["queue_requests"] / 2 * deliveries  # an event passes two queues, such a delivery one
    reads = estimate.subscriber_reads(traffic)
    writes = MESSAGE_UNITS * messages + ENDPOINT_DELIVERY_UNITS * deliveries
    stored = estimate.subscriber_bytes(traffic, retention, MESSAGE_BYTES, ENDPOINT_DELIVERY_BYTES)
    yield Row("subscribers, calls of notify", deliveries, price_name="million_requests", per=MILLION)
    yield Row("subscribers, queue requests", queue_requests, price_name="million_queue_requests", per=MILLION)
    yield Row("subscribers, writes", writes, unit="units", price_name="million_write_units", per=MILLION)
    yield Row("subscribers, reads at most", reads, unit="units", price_name="million_read_units", per=MILLION)
    yield Row("subscribers, stored", stored, unit="bytes", price_name="table_gib_month", per=GIB)
    yield Row("subscribers, their backup of 35 days", stored, unit="bytes", price_name="backup_gib_month", per=GIB)
    yield Row("subscribers, logs", LOG_BYTES * deliveries, unit="bytes", price_name="log_gib", per=GIB)


def gb_seconds(topology: Topology, usage: Mapping[str, float], traffic: Traffic) -> float:
    """Return the duration times the memory, of all calls and starts."""
    waits = {
        "receive": PUBLISH_SECONDS,
        "transform": PUBLISH_SECONDS + (1 + traffic.signed_share) * DATABASE_SECONDS,
        "notify": 2 * DATABASE_SECONDS + traffic.answer_seconds,
    }
    cpu = usage["cpu_seconds"] / len(waits)  # it was measured for all three together
    total = 0.0
    for needed in topology.functions:
        memory = memory_mib(needed)
        streams: list[tuple[float, float]] = []  # calls, and the seconds of one
        if needed.name in waits:  # how often your users open the portal is not known
            seconds = cpu * max(1.0, MIB_OF_ONE_CPU / memory) + waits[needed.name]
            streams.append((traffic.events, seconds))
            if needed.name == "notify" and traffic.endpoints:
                streams.append((traffic.endpoint_deliveries, seconds))
        streams += [(estimate.MONTH_MINUTES, DATABASE_SECONDS) for _ in needed.function.schedules]
        # The share of calls that come after an idle time in which Lambda has stopped the last environment.
        starts = math.exp(-IDLE_SECONDS * sum(calls for calls, _ in streams) / estimate.MONTH_SECONDS)
        total_seconds = sum(calls * (billed(seconds) + starts * START_SECONDS) for calls, seconds in streams)
        total += total_seconds * memory / 1024
    return total


def billed(seconds: float) -> float:
    """Return the time rounded up to a millisecond."""
    return math.ceil(round(seconds * 1000, 6)) / 1000


def sweeps_a_month(topology: Topology) -> float:
    return sum(len(needed.function.schedules) for needed in topology.functions) * estimate.MONTH_MINUTES


def polled_queues(topology: Topology) -> int:
    """Return the number of queues that Lambda polls."""
    own = sum(len(queues) for needed in topology.functions for queues in consumed_queues(topology, needed))
    return own + len([*brought_queues(topology)])


def idle_polls(queues: int) -> float:
    return queues * POLLS_A_QUEUE * estimate.MONTH_SECONDS / POLL_SECONDS


def alarm_metrics(topology: Topology) -> int:
    """Return the number of metrics: an alarm over an expression is billed for each metric in it."""
    return sum(len(series.metrics) for each in topology.alarms for series in SERIES[each.measure](topology, each))


def _rows(
    slices: Mapping[str, JsonObject], environ: Mapping[str, str], usage: Mapping[str, float], traffic: Traffic
) -> list[Row]:
    return rows(find_topology(slices, environ), usage, traffic, retention_of(slices["notify"]))


COSTS: Final = estimate.CostModel(Path(__file__).resolve().parent, _rows)
