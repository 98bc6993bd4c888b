"""The usage of a deployment in a month, estimated from its resources and from what one event was measured to use.

Cloud Run bills the time in which an instance has an open request, including waits and its start, not the CPU time. So
the estimate depends on how requests overlap: one at a time if they are few, many at once if they are many.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cloud_access.gcp_names import Target
from deploy.config.compiler import FUNCTIONS
from deploy.gcp.drift import planned_flags
from deploy.gcp.graph import Deployment, graph
from deploy.gcp.resource import Resource
from deploy.gcp.resources.monitoring import ALERT
from deploy.gcp.resources.services import JOB, SERVICE, Bundle
from deploy.gcp.resources.stores import SECRET
from deploy.topology import estimate
from deploy.topology.estimate import GIB, MILLION, MONTH_SECONDS, Row, Traffic
from functions.notify.waiting.pauses import CACHE_SECONDS
from shared.cloud.shards import SHARDS
from shared.jsontext import JsonObject
from shared.retention import Retention, retention_of

MIB: Final = 2**20
TIB: Final = 2**40
POINT_BYTES: Final = 8
DISTRIBUTION_BYTES: Final = 80
"""A count of one minute, and a distribution of values: https://cloud.google.com/stackdriver/pricing"""
STEP_SECONDS: Final = 0.1
"""Billed time is rounded up to this: https://cloud.google.com/run/pricing"""
IDLE_SECONDS: Final = 15 * 60.0
"""How long Cloud Run keeps an instance that has nothing to do, at most."""
UTILISATION: Final = 0.6
"""The share of an instance's CPU and concurrency above which Cloud Run starts another one."""

MESSAGE_BYTES: Final = 1_130
"""A tenant's copy of an event of some 200 bytes, with the entry that finds it, as measured."""
ENDPOINT_DELIVERY_BYTES: Final = 3_970

# These are assumed, not measured: an emulator is faster than the service that it emulates. The times are those of a
# cold start, of one message to the bus, and of one call of the database.
START_SECONDS: Final = 4.0
PUBLISH_SECONDS: Final = 0.05
DATABASE_SECONDS: Final = 0.03
LOG_BYTES: Final = 2_000
"""The function's own line and Cloud Run's line, for each request."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one kind to one function: how many a month, how long each is open, and its CPU time of this."""

    requests: float
    open_seconds: float
    cpu_seconds: float = 0.0

    @property
    def load(self) -> float:
        """The average number of open requests."""
        billed = math.ceil(round(self.open_seconds / STEP_SECONDS, 6)) * STEP_SECONDS
        return self.requests * billed / MONTH_SECONDS


def rows(plan: Sequence[Resource], usage: Mapping[str, float], traffic: Traffic, retention: Retention) -> list[Row]:
    """Return the rows of the estimate of a month. `usage` is what one event was measured to use, by name."""
    events = traffic.events
    sweeps = _count(plan, JOB) * estimate.MONTH_MINUTES
    streams = _streams(usage, traffic, sweeps)
    flags_of = {each.name.rpartition("-")[2]: planned_flags(each) for each in plan if each.kind == SERVICE}
    cpus = {name: _cpus(flags) for name, flags in flags_of.items()}
    gib = {name: _gib(flags) for name, flags in flags_of.items()}
    busy = {name: instance_seconds(streams.get(name, ()), flags) for name, flags in flags_of.items()}
    idle = {name: max(0.0, _min_instances(flags) * MONTH_SECONDS - busy[name]) for name, flags in flags_of.items()}
    idle_memory = _sum_of_products(idle, gib)
    requests = usage["requests"] * events + sweeps
    # Documents beside those that were measured: of signed bytes, and of bodies that go before their events.
    documents_of_bodies = 1 if retention.bodies_seconds < retention.events_seconds else 0
    added = events * (traffic.signed_share + documents_of_bodies)
    documents_written = usage["documents_written"] * events + added
    documents_kept = usage["documents_kept"] * events + added
    state_reads = min(events, MONTH_SECONDS / CACHE_SECONDS)  # of a destination's state, by an instance
    reads = state_reads + SHARDS * sweeps
    stored = estimate.stored_bytes(usage, events, retention)
    return [
        Row("requests to the functions", requests, price_name="million_requests", per=MILLION),
        Row("CPU while a request is open", _sum_of_products(busy, cpus), unit="s", price_name="cpu_second"),
        Row("memory meanwhile", _sum_of_products(busy, gib), unit="GiB s", price_name="memory_gib_second"),
        Row("CPU of idle minimum instances", _sum_of_products(idle, cpus), unit="s", price_name="idle_cpu_second"),
        Row("memory of idle minimum instances", idle_memory, unit="GiB s", price_name="idle_memory_gib_second"),
        Row("bus, published and delivered", usage["bus_bytes"] * events, unit="bytes", price_name="bus_tib", per=TIB),
        Row("ledger and journal, writes", documents_written, price_name="million_document_writes", per=MILLION),
        Row("ledger and journal, reads", reads, price_name="million_document_reads", per=MILLION),
        Row("documents deleted in the end", documents_kept, price_name="million_document_deletes", per=MILLION),
        Row("ledger and journal, stored", stored, unit="bytes", price_name="database_gib_month", per=GIB),
        Row("logs", LOG_BYTES * requests, unit="bytes", price_name="log_gib", per=GIB),
        Row("scheduler jobs", _count(plan, JOB), price_name="scheduler_job_month"),
        Row("secrets", _count(plan, SECRET), price_name="secret_version_month"),
        Row("metrics of logs", metric_bytes(traffic, sweeps), unit="bytes", price_name="metric_mib", per=MIB),
        Row("alert conditions", _conditions(plan), price_name="alert_condition_month"),
        *(_subscriber_rows(usage, traffic, retention) if traffic.endpoints else ()),
    ]


def _subscriber_rows(usage: Mapping[str, float], traffic: Traffic, retention: Retention) -> Iterator[Row]:
    """Yield the lines of tenants' messages and of deliveries to endpoints. Their duration is among the others'."""
    messages, deliveries = traffic.messages, traffic.endpoint_deliveries
    reads = estimate.subscriber_reads(traffic)
    writes = estimate.WRITES_A_MESSAGE * messages + estimate.WRITES_AN_ENDPOINT_DELIVERY * deliveries
    deleted = estimate.WRITES_A_MESSAGE * messages + deliveries  # both writes of a delivery are of one document
    bus_bytes = usage["bus_bytes"] / 2 * deliveries  # an event passes two topics, such a delivery one
    stored = estimate.subscriber_bytes(traffic, retention, MESSAGE_BYTES, ENDPOINT_DELIVERY_BYTES)
    yield Row("subscribers, requests to notify", deliveries, price_name="million_requests", per=MILLION)
    yield Row("subscribers, bus", bus_bytes, unit="bytes", price_name="bus_tib", per=TIB)
    yield Row("subscribers, writes", writes, price_name="million_document_writes", per=MILLION)
    yield Row("subscribers, reads at most", reads, price_name="million_document_reads", per=MILLION)
    yield Row("subscribers, documents deleted in the end", deleted, price_name="million_document_deletes", per=MILLION)
    yield Row("subscribers, stored", stored, unit="bytes", price_name="database_gib_month", per=GIB)
    yield Row("subscribers, logs", LOG_BYTES * deliveries, unit="bytes", price_name="log_gib", per=GIB)


def instance_seconds(streams: Sequence[Stream], flags: Mapping[str, str]) -> float:
    """Return the billed seconds of a service's instances.

    Requests that overlap on one instance are billed once, and a request that finds no instance pays for its start.
    Without the overlap, the estimate of the example configuration would be 6 % higher for a million events a month,
    53 % for 10 million, and 173 % for 100 million.
    """
    load = sum(each.load for each in streams)
    requests = sum(each.requests for each in streams)
    cpu_seconds = sum(each.requests * each.cpu_seconds for each in streams)
    at_least_one_open = 1 - math.exp(-load)  # the share of the time, if requests come independently of each other
    full_instances = load / (UTILISATION * float(flags["concurrency"]))
    full_processors = cpu_seconds / MONTH_SECONDS / (UTILISATION * _cpus(flags))
    # The share of requests that come after an idle time in which Cloud Run has stopped the last instance.
    finds_none = math.exp(-IDLE_SECONDS * requests / MONTH_SECONDS) if not _min_instances(flags) else 0.0
    instances = max(full_instances, full_processors)  # below one, a single instance takes all that comes
    open_seconds = MONTH_SECONDS * (instances if instances > 1 else at_least_one_open)
    return open_seconds + requests * finds_none * START_SECONDS


def metric_bytes(traffic: Traffic, sweeps: float) -> float:
    """Return the bytes of the metrics: each minute a count of the sweeps; of each destination with deliveries, a count
    of the usual outcome and a distribution of the attempts' durations.
    """
    minutes = estimate.MONTH_MINUTES * traffic.busy_share(60)
    return POINT_BYTES * sweeps + (POINT_BYTES + DISTRIBUTION_BYTES) * traffic.destinations * minutes


def _streams(usage: Mapping[str, float], traffic: Traffic, sweeps: float) -> dict[str, list[Stream]]:
    """Return the requests to each function. receive publishes; transform writes an entry and publishes; notify claims,
    delivers and records. How often your users open the portal is not known, so subscribe counts nothing."""
    cpu, calls = usage["cpu_seconds"] / len(FUNCTIONS), usage["database_calls"]
    waits = {
        "receive": PUBLISH_SECONDS,
        "transform": PUBLISH_SECONDS + (1 + traffic.signed_share) * DATABASE_SECONDS,
        "notify": (calls - 1) * DATABASE_SECONDS + traffic.answer_seconds,
    }
    found = {name: [Stream(traffic.events, cpu + wait, cpu)] for name, wait in waits.items()}
    found["notify"].append(Stream(sweeps, DATABASE_SECONDS))
    if traffic.endpoints:
        found["notify"].append(Stream(traffic.endpoint_deliveries, cpu + waits["notify"], cpu))
    return found


def _sum_of_products(seconds: Mapping[str, float], sizes: Mapping[str, float]) -> float:
    """Return the sum of each service's seconds times its size."""
    return sum(each * sizes[name] for name, each in seconds.items())


def _cpus(flags: Mapping[str, str]) -> float:
    text = flags["cpu"]
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _gib(flags: Mapping[str, str]) -> float:
    found = re.fullmatch(r"(\d+)(Mi|Gi)", flags["memory"])
    assert found, f"memory is in Mi or Gi, not {flags['memory']!r}"
    return int(found[1]) / (1024 if found[2] == "Mi" else 1)


def _min_instances(flags: Mapping[str, str]) -> float:
    return float(flags.get("min-instances", 0))


def _count(plan: Iterable[Resource], kind: str) -> int:
    return sum(each.kind == kind for each in plan)


def _conditions(plan: Iterable[Resource]) -> int:
    return sum(
        len(json.loads(file.content)["conditions"]) for each in plan if each.kind == ALERT for file in each.files
    )


def resources(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> tuple[Resource, ...]:
    """Return the resources of a deployment. Names and builds do not affect its usage."""
    bundles = {name: Bundle(Path(name), "") for name in slices}
    return graph(Deployment(Target("my-project"), "0", slices, bundles, environ, Path()))


def _rows(
    slices: Mapping[str, JsonObject], environ: Mapping[str, str], usage: Mapping[str, float], traffic: Traffic
) -> list[Row]:
    return rows(resources(slices, environ), usage, traffic, retention_of(slices["notify"]))


COSTS: Final = estimate.CostModel(Path(__file__).resolve().parent, _rows)
