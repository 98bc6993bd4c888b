"""The metrics that Cloud Logging takes from log lines, and their charts on the dashboard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.gcp.resource import File, Resource, key_of, one
from deploy.gcp.resources.project import API
from deploy.gcp.resources.topics import topic_key
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.functions import SWEEP, Function
from deploy.topology.metrics import Chart, LogMetric, Statistic
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


# Of the values of a minute, a distribution tells the largest by its highest percentile only.
_AGGREGATIONS: Final[Mapping[Statistic, tuple[str, str]]] = {
    "sum": ("ALIGN_DELTA", "REDUCE_SUM"),
    "p99": ("ALIGN_PERCENTILE_99", "REDUCE_MAX"),
    "maximum": ("ALIGN_PERCENTILE_99", "REDUCE_MAX"),
}
_CLOUD_RUN: Final = 'resource.type = "cloud_run_revision"'


def log_metrics(target: Target, topology: Topology, folder: Path) -> tuple[Resource, ...]:
    functions = [each.function for each in topology.functions]
    metrics = [_metric_of_lines(target, each, folder) for each in topology.log_metrics]
    return (_sweeps(target, functions, folder), *metrics)


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


def _metric_of_lines(target: Target, metric: LogMetric, folder: Path) -> Resource:
    conditions = [_service_filter(target, metric.function), f'jsonPayload.function="{metric.function}"']
    conditions += [f"jsonPayload.{each}:*" for each in (*metric.by, *([metric.value] if metric.value else ()))]
    if metric.outcomes:
        outcomes = " OR ".join(f'"{each}"' for each in metric.outcomes)
        conditions.append(f"jsonPayload.outcome=({outcomes})")
    labels: list[Json] = [{"key": each, "valueType": "STRING"} for each in metric.by]
    descriptor: JsonObject = {"metricKind": "DELTA", "valueType": "INT64", "labels": labels}
    content: JsonObject = {
        "description": metric.does,
        "filter": " AND ".join(conditions),
        "metricDescriptor": descriptor,
        "labelExtractors": {each: f"EXTRACT(jsonPayload.{each})" for each in metric.by},
    }
    if metric.value:
        descriptor |= {"valueType": "DISTRIBUTION", "unit": metric.unit or "1"}
        content["valueExtractor"] = f"EXTRACT(jsonPayload.{metric.value})"
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
    selected = f"{series_filter(target, chart.metric.name)}{selected}"
    by = [f"metric.label.{each}" for each in chart.metric.by]
    plot = "STACKED_BAR" if chart.statistic == "sum" else "LINE"
    return tile(place, chart.title, selected, _AGGREGATIONS[chart.statistic], by, plot)


def tile(
    place: int, title: str, selected: str, aggregation: tuple[str, str], by: Sequence[str], plot: str = "LINE"
) -> JsonObject:
    """Return a chart of the series that a filter selects, aligned and reduced, at a place of the dashboard."""
    query: JsonObject = {
        "filter": selected,
        "aggregation": {
            "alignmentPeriod": "60s",
            "perSeriesAligner": aggregation[0],
            "crossSeriesReducer": aggregation[1],
            "groupByFields": [*by],
        },
    }
    data: list[Json] = [{"plotType": plot, "timeSeriesQuery": {"timeSeriesFilter": query}}]
    return {
        "xPos": place % COLUMNS * WIDTH,
        "yPos": place // COLUMNS * HEIGHT,
        "width": WIDTH,
        "height": HEIGHT,
        "widget": {"title": title, "xyChart": {"dataSets": data}},
    }
