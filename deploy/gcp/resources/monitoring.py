"""The monitoring of a deployment: metrics that are counted from logs, alerts, and a dashboard."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.config.sections.bus_source import PREFIX
from deploy.gcp.resource import ADDRESS, File, Resource, digest_of, gcloud, key_of, keys
from deploy.gcp.resources import project, topics
from deploy.topology.buses import brings_on_google
from deploy.topology.functions import SWEEP, Function, subscription_name
from deploy.topology.monitoring import CHARTS, SOURCE_ALARM, Alarm, Chart, LogMetric, Measure, Statistic
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject, list_at, mapping_at
from shared.ports import DEAD_LETTERS

METRIC: Final = "metric"
SWEEPS: Final = "sweeps"
"""The name of the metric that counts successful sweeps."""
COLUMNS: Final = 2
"""The tiles in a row of the dashboard. WIDTH and HEIGHT are those of a tile, in units of Cloud Monitoring's grid."""
WIDTH: Final = 24
HEIGHT: Final = 16

# Of the values of a minute, a distribution tells the largest by its highest percentile only.
_AGGREGATIONS: Final[Mapping[Statistic, tuple[str, str]]] = {
    "sum": ("ALIGN_DELTA", "REDUCE_SUM"),
    "p99": ("ALIGN_PERCENTILE_99", "REDUCE_MAX"),
    "maximum": ("ALIGN_PERCENTILE_99", "REDUCE_MAX"),
}


# Metrics


def log_metrics(target: gcp_names.Target, topology: Topology, folder: Path) -> tuple[Resource, ...]:
    """Return the metrics that are counted from logs. `folder` is for the files that gcloud reads."""
    functions = [each.function for each in topology.functions]
    metrics = [_metric_of_lines(target, each, folder) for each in topology.log_metrics]
    return (_sweeps(target, functions, folder), *metrics)


def _sweeps(target: gcp_names.Target, functions: Sequence[Function], folder: Path) -> Resource:
    """Return the metric. Cloud Run counts requests per service, so deliveries would hide that no sweep runs."""
    [swept] = [each.name for each in functions if SWEEP in each.schedules]
    log_filter = (
        f'{_service_filter(target, swept)} AND log_id("run.googleapis.com/requests") '
        f'AND httpRequest.requestUrl=~"{SWEEP.path}$" '
        "AND httpRequest.status>=200 AND httpRequest.status<300"
    )
    content: JsonObject = {"description": f"Sweeps that {swept} answered with success", "filter": log_filter}
    return _metric(target, SWEEPS, "how often the sweep succeeded", content, folder)


def _metric_of_lines(target: gcp_names.Target, metric: LogMetric, folder: Path) -> Resource:
    """Return the metric that counts a function's log lines, or that distributes the values of one of their fields."""
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


def _metric(target: gcp_names.Target, name: str, why: str, content: JsonObject, folder: Path) -> Resource:
    """Return a metric, after the topic of dead letters, whose label proves to whom the metric belongs."""
    identity = target.name_of(name)
    file = File(folder / f"metric-{name}.json", json.dumps(content, indent=2) + "\n")
    read = f"--config-from-file={file.path}"
    return Resource(
        METRIC,
        identity,
        why,
        create=gcloud("logging metrics create", identity, read),
        update=gcloud("logging metrics update", identity, read),
        needs=(key_of(project.API, "logging.googleapis.com"), topics.topic_key(target, DEAD_LETTERS)),
        files=(file,),
    )


def _service_filter(target: gcp_names.Target, function: str) -> str:
    service = target.name_of(function)
    return f'resource.type="cloud_run_revision" AND resource.labels.service_name="{service}"'


def tiles(target: gcp_names.Target, charts: Sequence[Chart], first_row: int) -> list[Json]:
    """Return the charts as tiles of the dashboard, in rows from `first_row` on."""
    return [_tile(target, each, first_row * COLUMNS + number) for number, each in enumerate(charts)]


def _tile(target: gcp_names.Target, chart: Chart, place: int) -> JsonObject:
    """Return the chart as the tile number `place` of the dashboard, from 0."""
    has_fewer_outcomes = chart.outcomes != chart.metric.outcomes
    outcomes = ", ".join(f'"{each}"' for each in chart.outcomes)
    selected = f" AND metric.labels.outcome = one_of({outcomes})" if has_fewer_outcomes else ""
    selected = f"{gcp_names.series_filter(target, chart.metric.name)}{selected}"
    by = [f"metric.label.{each}" for each in chart.metric.by]
    plot = "STACKED_BAR" if chart.statistic == "sum" else "LINE"
    return tile(place, chart.title, selected, _AGGREGATIONS[chart.statistic], by, plot)


def tile(
    place: int, title: str, selected: str, aggregation: tuple[str, str], by: Sequence[str], plot: str = "LINE"
) -> JsonObject:
    """Return a chart of the series that a filter selects, aligned and reduced, at a place of the dashboard."""
    aligner, reducer = aggregation
    query: JsonObject = {"filter": selected, "aggregation": _aggregation(60, aligner, reducer, by)}
    data: list[Json] = [{"plotType": plot, "timeSeriesQuery": {"timeSeriesFilter": query}}]
    return {
        "xPos": place % COLUMNS * WIDTH,
        "yPos": place // COLUMNS * HEIGHT,
        "width": WIDTH,
        "height": HEIGHT,
        "widget": {"title": title, "xyChart": {"dataSets": data}},
    }


def _aggregation(seconds: int, aligner: str, reducer: str, by: Sequence[str]) -> JsonObject:
    return {
        "alignmentPeriod": f"{seconds}s",
        "perSeriesAligner": aligner,
        "crossSeriesReducer": reducer,
        "groupByFields": [*by],
    }


# Alerts


ALERT: Final = "alert"


@dataclass(frozen=True, slots=True)
class Series:
    """The time series of a measure.

    metric            Google's type of the metric; `{sweeps}` stands for the name of our own
    selected          the filter on the resources; a name in braces is one of `selections`
    labels            the filter on the metric's labels; empty for none
    aligner, reducer  how the values of a window, and then those of several series, become one
    by                the labels of which each combination stays a series of its own
    """

    metric: str
    selected: str
    labels: str = ""
    aligner: str = "ALIGN_DELTA"
    reducer: str = "REDUCE_SUM"
    by: tuple[str, ...] = ()


_OLDEST: Final = Series(
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age",
    "{subscriptions}",
    aligner="ALIGN_MAX",
    reducer="REDUCE_MAX",
    by=("resource.label.subscription_id",),
)
SERIES: Final[Mapping[Measure, Series]] = {
    "dead_letters": Series("pubsub.googleapis.com/subscription/push_request_count", "{dead_letters}"),
    "oldest_message": _OLDEST,
    "oldest_brought": replace(_OLDEST, selected="{brought}"),
    "errors": Series(
        "run.googleapis.com/request_count",
        "{functions}",
        'metric.labels.response_code_class = "5xx"',
        by=("resource.label.service_name",),
    ),
    "sweeps": Series("logging.googleapis.com/user/{sweeps}", 'resource.type = "cloud_run_revision"'),
}


def alert_name(target: gcp_names.Target, name: str) -> str:
    """Return the display name, by which an alert is found again, because Google chooses its address."""
    return f"{target.prefix}{name}"


def selections(target: gcp_names.Target, topology: Topology) -> dict[str, str]:
    """Return filters by name: on the functions, on the subscriptions that are pushed, on that of dead letters, and on
    those of sources, which are too many to name each of them."""
    functions = [each.function for each in topology.functions]
    pushed = {
        target.name_of(subscription_name(function, each)): each.topic
        for function in functions
        for each in function.subscriptions
    }
    services = _one_of([target.name_of(each.name) for each in functions])
    letters = _one_of([name for name, topic in pushed.items() if topic == DEAD_LETTERS])
    subscription = 'resource.type = "pubsub_subscription" AND resource.labels.subscription_id'
    return {
        "functions": f'resource.type = "cloud_run_revision" AND resource.labels.service_name = {services}',
        "subscriptions": f"{subscription} = {_one_of(list(pushed))}",
        "dead_letters": f"{subscription} = {letters}",
        "brought": f'{subscription} = starts_with("{target.name_of(PREFIX)}")',
    }


def _one_of(found: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in found)
    return f"one_of({quoted})" if len(found) > 1 else quoted


def alert(target: gcp_names.Target, topology: Topology, alarm: Alarm, folder: Path, needs: tuple[str, ...]) -> Resource:
    """Return the alert policy. Its label has the digest of the policy as planned, without what an operator adds."""
    filled = _policy(target, topology, alarm)
    digest = digest_of(filled)
    content: JsonObject = {
        "displayName": alert_name(target, alarm.name),
        "userLabels": {**gcp_names.labels(target), gcp_names.PLAN_LABEL: digest},
        **filled,
    }
    file = File(folder / f"alert-{alarm.name}.json", json.dumps(content, indent=2) + "\n")
    read = f"--policy-from-file={file.path}"
    return Resource(
        ALERT,
        alert_name(target, alarm.name),
        alarm.why,
        create=gcloud("monitoring policies create", read),
        # --fields supports only disabled and notificationChannels. Without it the file replaces the whole policy, so a
        # plan adds the notification channels and the switch that the operator chose.
        update=gcloud("monitoring policies update", ADDRESS, read),
        digest=digest,
        needs=(key_of(project.API, "monitoring.googleapis.com"), *needs),
        files=(file,),
    )


def _policy(target: gcp_names.Target, topology: Topology, alarm: Alarm) -> JsonObject:
    services = {"bus": "Pub/Sub", "scheduler": "Cloud Scheduler"}
    advice = alarm.advice.format(platform="gcp", prefix=target.prefix, **services)
    return {
        "documentation": {"content": advice, "mimeType": "text/markdown"},
        "combiner": "OR",
        "conditions": [{"displayName": alarm.condition, "conditionThreshold": _threshold(target, topology, alarm)}],
        "alertStrategy": {"autoClose": "3600s"},
    }


def _threshold(target: gcp_names.Target, topology: Topology, alarm: Alarm) -> JsonObject:
    series = SERIES[alarm.measure]
    metric = f'metric.type = "{series.metric.format(sweeps=target.name_of(SWEEPS))}"'
    selected = series.selected.format(**selections(target, topology))
    absent: JsonObject = {"evaluationMissingData": "EVALUATION_MISSING_DATA_ACTIVE"} if alarm.is_least else {}
    return {
        "filter": " AND ".join(filter(None, (metric, series.labels, selected))),
        "aggregations": [_aggregation(alarm.window_seconds, series.aligner, series.reducer, series.by)],
        "comparison": "COMPARISON_LT" if alarm.is_least else "COMPARISON_GT",
        "thresholdValue": alarm.bound,
        "duration": f"{alarm.holds_seconds}s",
        **absent,
        "trigger": {"count": 1},
    }


# The dashboard


DASHBOARD: Final = "dashboard"
BROUGHT_CHARTS: Final = (
    ("Sources: age of the oldest message (s)", "oldest_unacked_message_age"),
    ("Sources: messages that wait", "num_undelivered_messages"),
)
DASHBOARD_FILE: Final = Path(__file__).resolve().parents[1] / "dashboard.json"


def dashboard_id(target: gcp_names.Target) -> str:
    return f"{target.prefix}overview"


def monitoring(
    target: gcp_names.Target, topology: Topology, folder: Path, watched: tuple[str, ...]
) -> tuple[Resource, ...]:
    """Return the resources. `watched` must exist before the alerts: Google rejects an alert on an unknown metric."""
    metrics = log_metrics(target, topology, folder)
    needs = (*watched, *keys(metrics))
    alarms = [each for each in topology.alarms if each != SOURCE_ALARM or _has_brought(topology)]
    alerts = [alert(target, topology, each, folder, needs) for each in alarms]
    return (_dashboard(target, topology, folder), *metrics, *alerts)


def _has_brought(topology: Topology) -> bool:
    """Return whether Pub/Sub brings messages to a source."""
    return any(brings_on_google(source) for needed in topology.functions for source in needed.sources)


def _dashboard(target: gcp_names.Target, topology: Topology, folder: Path) -> Resource:
    """Return the dashboard: the tiles of DASHBOARD_FILE, then those of CHARTS, then those about sources of buses."""
    text = DASHBOARD_FILE.read_text(encoding="utf-8").replace("BUNDLE", target.bundle)
    quoted = {name: json.dumps(filter_)[1:-1] for name, filter_ in selections(target, topology).items()}
    filled: JsonObject = json.loads(Template(text).substitute(quoted))
    layout = mapping_at(filled, "mosaicLayout")
    drawn = list_at(layout, "tiles")
    row = -(-len(drawn) // COLUMNS)  # rounded up
    charts = tiles(target, CHARTS, first_row=row)
    row += -(-len(charts) // COLUMNS)
    brought = _brought_tiles(target, topology, row) if _has_brought(topology) else []
    layout["tiles"] = [*drawn, *charts, *brought]
    digest = digest_of(filled)
    identity = dashboard_id(target)
    content: JsonObject = {
        "name": f"projects/{target.project}/dashboards/{identity}",
        "labels": {**gcp_names.labels(target), gcp_names.PLAN_LABEL: digest},
        **filled,
    }
    file = File(folder / "dashboard.json", json.dumps(content, indent=2) + "\n")
    create = gcloud("monitoring dashboards create", f"--config-from-file={file.path}")
    return Resource(
        DASHBOARD,
        identity,
        "what happens, at a glance",
        create=create,
        # An update would need the etag of the existing dashboard.
        update=gcloud("monitoring dashboards delete", identity) + create,
        digest=digest,
        needs=(key_of(project.API, "monitoring.googleapis.com"),),
        files=(file,),
    )


def _brought_tiles(target: gcp_names.Target, topology: Topology, row: int) -> list[Json]:
    """Return the charts of the messages that a bus brings to sources."""
    selected = selections(target, topology)["brought"]
    place = row * COLUMNS
    return [
        tile(
            place + number,
            title,
            f'metric.type = "pubsub.googleapis.com/subscription/{metric}" AND {selected}',
            ("ALIGN_MAX", "REDUCE_MAX"),
            ("resource.label.subscription_id",),
        )
        for number, (title, metric) in enumerate(BROUGHT_CHARTS)
    ]
