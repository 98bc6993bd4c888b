"""The metrics that Cloud Logging counts from log lines, and their charts on the dashboard."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.gcp.resource import File, Resource, key_of, one
from deploy.gcp.resources.project import API
from deploy.gcp.resources.topics import topic_key
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.functions import SWEEP, Function
from deploy.topology.metrics import Chart, LogMetric
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject
from shared.ports import DEAD_LETTERS

METRIC: Final = "metric"
SWEEPS: Final = "sweeps"
COLUMNS: Final = 2
WIDTH: Final = 24
HEIGHT: Final = 16


def metric_name(target: Target, name: str) -> str:
    return f"{target.prefix}{name}"


def series_filter(target: Target, name: str) -> str:
    """Return the filter of Cloud Monitoring that selects the metric's time series."""
    return f'metric.type = "logging.googleapis.com/user/{metric_name(target, name)}" AND {_CLOUD_RUN}'


_CLOUD_RUN: Final = 'resource.type = "cloud_run_revision"'


def log_metrics(target: Target, topology: Topology, folder: Path) -> tuple[Resource, ...]:
    functions = [each.function for each in topology.functions]
    counts = [_count(target, each, folder) for each in topology.log_metrics]
    return (_sweeps(target, functions, folder), *counts)


def _sweeps(target: Target, functions: Sequence[Function], folder: Path) -> Resource:
    """Return the metric. Cloud Run counts requests per service, so deliveries would hide that no sweep runs."""
    [swept] = [each.name for each in functions if SWEEP in each.schedules]
    log_filter = (
        f'{_service_filter(target, swept)} AND log_id("run.googleapis.com/requests") '
        f'AND httpRequest.requestUrl=~"{SWEEP.path}$" '
        "AND httpRequest.status>=200 AND httpRequest.status<300"
    )
    content: JsonObject = {"description": f"Sweeps that {swept} answered with success", "filter": log_filter}
    return _metric(target, SWEEPS, "how often the sweep succeeded", content, folder)


def _count(target: Target, metric: LogMetric, folder: Path) -> Resource:
    outcomes = " OR ".join(f'"{each}"' for each in metric.outcomes)
    present = " AND ".join(f"jsonPayload.{each}:*" for each in metric.by)
    log_filter = (
        f'{_service_filter(target, metric.function)} AND jsonPayload.function="{metric.function}" '
        f"AND {present} AND jsonPayload.outcome=({outcomes})"
    )
    labels: list[Json] = [{"key": each, "valueType": "STRING"} for each in metric.by]
    content: JsonObject = {
        "description": metric.does,
        "filter": log_filter,
        "metricDescriptor": {"metricKind": "DELTA", "valueType": "INT64", "labels": labels},
        "labelExtractors": {each: f"EXTRACT(jsonPayload.{each})" for each in metric.by},
    }
    return _metric(target, metric.name, metric.does, content, folder)


def _metric(target: Target, name: str, why: str, content: JsonObject, folder: Path) -> Resource:
    identity = metric_name(target, name)
    file = File(folder / f"metric-{name}.json", json.dumps(content, indent=2) + "\n")
    read = f"--config-from-file={file.path}"
    return Resource(
        METRIC,
        identity,
        why,
        one("logging", "metrics", "create", identity, read),
        one("logging", "metrics", "update", identity, read),
        needs=(key_of(API, "logging.googleapis.com"), topic_key(target, DEAD_LETTERS)),
        files=(file,),
    )


def _service_filter(target: Target, function: str) -> str:
    service = names.service(target, function)
    return f'resource.type="cloud_run_revision" AND resource.labels.service_name="{service}"'


def tiles(target: Target, charts: Sequence[Chart], first_row: int) -> list[Json]:
    """Return the charts as tiles of the dashboard, in rows from `first_row` on."""
    return [_tile(target, each, first_row * COLUMNS + number) for number, each in enumerate(charts)]


def _tile(target: Target, chart: Chart, place: int) -> JsonObject:
    some = chart.outcomes != chart.metric.outcomes
    outcomes = ", ".join(f'"{each}"' for each in chart.outcomes)
    selected = f" AND metric.labels.outcome = one_of({outcomes})" if some else ""
    query: JsonObject = {
        "filter": f"{series_filter(target, chart.metric.name)}{selected}",
        "aggregation": {
            "alignmentPeriod": "60s",
            "perSeriesAligner": "ALIGN_DELTA",
            "crossSeriesReducer": "REDUCE_SUM",
            "groupByFields": [f"metric.label.{each}" for each in chart.metric.by],
        },
    }
    data: list[Json] = [{"plotType": "STACKED_BAR", "timeSeriesQuery": {"timeSeriesFilter": query}}]
    return {
        "xPos": place % COLUMNS * WIDTH,
        "yPos": place // COLUMNS * HEIGHT,
        "width": WIDTH,
        "height": HEIGHT,
        "widget": {"title": chart.title, "xyChart": {"dataSets": data}},
    }
