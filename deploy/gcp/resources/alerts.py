"""The alerts, and the filters of Cloud Monitoring that select what belongs to a deployment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config.compiling.bus_sources import PREFIX
from deploy.gcp.resource import ADDRESS, File, Resource, digest_of, key_of, one
from deploy.gcp.resources.log_metrics import SWEEPS, metric_name
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.alarms import Alarm, Measure
from deploy.topology.functions import subscription_name
from deploy.topology.topology import Topology
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS

ALERT: Final = "alert"


@dataclass(frozen=True, slots=True)
class Series:
    """The time series of a measure. In `selected`, a name in braces is one of `selections`."""

    metric: str
    selected: str
    labels: str = ""
    aligner: str = "ALIGN_DELTA"
    reducer: str = "REDUCE_SUM"
    by: tuple[str, ...] = ()


SERIES: Final[Mapping[Measure, Series]] = {
    "dead_letters": Series("pubsub.googleapis.com/subscription/push_request_count", "{dead_letters}"),
    "oldest_message": Series(
        "pubsub.googleapis.com/subscription/oldest_unacked_message_age",
        "{subscriptions}",
        aligner="ALIGN_MAX",
        reducer="REDUCE_MAX",
        by=("resource.label.subscription_id",),
    ),
    "oldest_brought": Series(
        "pubsub.googleapis.com/subscription/oldest_unacked_message_age",
        "{brought}",
        aligner="ALIGN_MAX",
        reducer="REDUCE_MAX",
        by=("resource.label.subscription_id",),
    ),
    "errors": Series(
        "run.googleapis.com/request_count",
        "{functions}",
        'metric.labels.response_code_class = "5xx"',
        by=("resource.label.service_name",),
    ),
    "sweeps": Series("logging.googleapis.com/user/{sweeps}", 'resource.type = "cloud_run_revision"'),
}


def alert_name(target: Target, name: str) -> str:
    """Return the display name, by which an alert is found again, because Google chooses its address."""
    return f"{target.prefix}{name}"


def selections(target: Target, topology: Topology) -> dict[str, str]:
    """Return filters by name: on the functions, on the subscriptions that are pushed, on that of dead letters, and on
    those of sources, which are too many to name each of them."""
    functions = [each.function for each in topology.functions]
    pushed = {
        names.subscription(target, subscription_name(function, each)): each.topic
        for function in functions
        for each in function.subscriptions
    }
    services = _one_of([names.service(target, each.name) for each in functions])
    letters = _one_of([name for name, topic in pushed.items() if topic == DEAD_LETTERS])
    subscription = 'resource.type = "pubsub_subscription" AND resource.labels.subscription_id'
    return {
        "functions": f'resource.type = "cloud_run_revision" AND resource.labels.service_name = {services}',
        "subscriptions": f"{subscription} = {_one_of(list(pushed))}",
        "dead_letters": f"{subscription} = {letters}",
        "brought": f'{subscription} = starts_with("{names.subscription(target, PREFIX)}")',
    }


def _one_of(found: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in found)
    return f"one_of({quoted})" if len(found) > 1 else quoted


def alert(target: Target, topology: Topology, alarm: Alarm, folder: Path, needs: tuple[str, ...]) -> Resource:
    filled = _policy(target, topology, alarm)
    digest = digest_of(filled)
    content: JsonObject = {
        "displayName": alert_name(target, alarm.name),
        "userLabels": {**names.labels(target), names.PLAN_LABEL: digest},
        **filled,
    }
    file = File(folder / f"alert-{alarm.name}.json", json.dumps(content, indent=2) + "\n")
    read = f"--policy-from-file={file.path}"
    create = one("monitoring", "policies", "create", read)
    # --fields supports only disabled and notificationChannels. Without it the file replaces the whole policy, so a plan
    # adds the notification channels and the switch that the operator chose.
    update = one("monitoring", "policies", "update", ADDRESS, read)
    needs = (key_of(API, "monitoring.googleapis.com"), *needs)
    return Resource(ALERT, alert_name(target, alarm.name), alarm.why, create, update, digest, needs, (file,))


def _policy(target: Target, topology: Topology, alarm: Alarm) -> JsonObject:
    services = {"bus": "Pub/Sub", "scheduler": "Cloud Scheduler"}
    advice = alarm.advice.format(platform="gcp", prefix=target.prefix, **services)
    return {
        "documentation": {"content": advice, "mimeType": "text/markdown"},
        "combiner": "OR",
        "conditions": [{"displayName": alarm.condition, "conditionThreshold": _threshold(target, topology, alarm)}],
        "alertStrategy": {"autoClose": "3600s"},
    }


def _threshold(target: Target, topology: Topology, alarm: Alarm) -> JsonObject:
    series = SERIES[alarm.measure]
    metric = f'metric.type = "{series.metric.format(sweeps=metric_name(target, SWEEPS))}"'
    selected = series.selected.format(**selections(target, topology))
    absent: JsonObject = {"evaluationMissingData": "EVALUATION_MISSING_DATA_ACTIVE"} if alarm.is_least else {}
    return {
        "filter": " AND ".join(filter(None, (metric, series.labels, selected))),
        "aggregations": [
            {
                "alignmentPeriod": f"{alarm.window_seconds}s",
                "perSeriesAligner": series.aligner,
                "crossSeriesReducer": series.reducer,
                "groupByFields": list(series.by),
            }
        ],
        "comparison": "COMPARISON_LT" if alarm.is_least else "COMPARISON_GT",
        "thresholdValue": alarm.bound,
        "duration": f"{alarm.holds_seconds}s",
        **absent,
        "trigger": {"count": 1},
    }
