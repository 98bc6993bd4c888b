"""The versions of the functions of a deployment on Google Cloud, its backlogs, and its counts.

Versions are read from Cloud Run, backlogs and counts from Cloud Monitoring.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

from deploy.cloud_access import gcp, gcp_names
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.config.sections import bus_source
from deploy.history.status import Backlog, Version
from deploy.terminal import command_line, parallel
from deploy.topology.functions import subscription_names
from deploy.topology.monitoring import ATTEMPTS, DELIVERIES, CountKind, MetricCount, MetricWindow
from shared import times
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, value_at

_WAITING: Final = "pubsub.googleapis.com/subscription/num_undelivered_messages"
_OLDEST_AGE: Final = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
_WINDOW_SECONDS: Final = 600.0
"""Both metrics are written once a minute, some minutes late."""


def read_versions(cloud: gcp.CloudDeployment) -> list[Version]:
    """Return the running version of each function. Raises CommandError."""
    names = (*FUNCTIONS, *OPTIONAL)
    services = zip(names, parallel.run_in_parallel(cloud.service, names), strict=True)
    return [_version(name, service) for name, service in services if service is not None or name in FUNCTIONS]


def _version(function: str, service: JsonObject | None) -> Version:
    if service is None:
        return Version(function, "", None, "not deployed: make deploy-gcp")
    ready = _last_part(service.get("latestReadyRevision"))
    created = _last_part(service.get("latestCreatedRevision"))
    at = service.get("updateTime")
    since = times.unix_seconds(at) if isinstance(at, str) else None
    state = mapping_at(service, "terminalCondition")
    if state.get("state") not in {None, "CONDITION_SUCCEEDED"}:
        return Version(function, ready, since, str(state.get("message") or state.get("reason") or "not ready"))
    return Version(function, ready, since, "" if created in {"", ready} else f"{created} did not start")


def read_backlogs(cloud: gcp.CloudDeployment, now: float) -> tuple[list[Backlog], list[str]]:
    """Return the backlogs of the deployment's subscriptions; none, and a note with the reason, if they cannot be read.

    Of the subscriptions of sources, those with a recent point are found. Every other subscription is in the list, with
    the count None if it has no recent point.
    """
    try:
        counts, oldest = parallel.run_in_parallel(
            lambda metric: _newest_values(cloud, metric, now), (_WAITING, _OLDEST_AGE)
        )
    except gcp.ApiError as fault:
        return [], [f"backlog (Cloud Monitoring): {fault}"]
    ids = [cloud.target.name_of(name) for name in subscription_names()]
    ids += sorted(each for each in counts if each.startswith(cloud.target.name_of(bus_source.PREFIX)))
    return [Backlog(each, _whole(counts.get(each)), oldest.get(each)) for each in ids], []


def _newest_values(cloud: gcp.CloudDeployment, metric: str, now: float) -> Mapping[str, float]:
    """Return the newest value of the metric by subscription, without those that have no point in the window."""
    own = f'resource.labels.subscription_id = starts_with("{cloud.target.prefix}")'
    query = {
        "filter": f'metric.type = "{metric}" AND {own}',
        "interval.startTime": times.rfc3339(now - _WINDOW_SECONDS),
        "interval.endTime": times.rfc3339(now),
        "view": "FULL",
    }
    found = cloud.api.get("monitoring", f"/v3/projects/{cloud.target.project}/timeSeries", query)
    return dict(_values(found.get("timeSeries")))


def _values(series: Json) -> Iterator[tuple[str, float]]:
    """Yield the newest point of each series, which is its first."""
    for each in objects_at(series):
        subscription = value_at(each, "resource", "labels", "subscription_id")
        if value := mapping_at(each, "points", 0, "value"):
            yield str(subscription), float(str(value.get("int64Value", value.get("doubleValue", 0))))


_REQUEST_COUNT: Final = "run.googleapis.com/request_count"
_POINTS_A_PAGE: Final = 10_000
"""The points in one answer. A point of a distribution has some hundred bytes."""


def read_counts(cloud: gcp.CloudDeployment, window: MetricWindow) -> list[MetricCount]:
    """Return the counts of receive's requests, and of the attempts for each destination. Raises CommandError."""
    target = cloud.target
    requests = (
        f'metric.type = "{_REQUEST_COUNT}" AND resource.type = "cloud_run_revision" '
        f'AND resource.labels.service_name = "{target.name_of("receive")}"'
    )
    delivered = f'{gcp_names.series_filter(target, DELIVERIES.name)} AND metric.labels.outcome = "delivered"'
    filters: Mapping[CountKind, str] = {
        "requests": requests,
        "rejected": f'{requests} AND metric.labels.response_code_class = one_of("4xx", "5xx")',
        "attempts": gcp_names.series_filter(target, ATTEMPTS.name),
        "delivered": delivered,
    }

    def read(kind: CountKind) -> list[MetricCount]:
        try:
            return list(_counts(cloud, window, kind, filters[kind]))
        except gcp.ApiError as fault:
            if fault.status != 404:
                raise
            return []  # Cloud Monitoring does not find a metric that has no data yet

    try:
        return list(chain.from_iterable(parallel.run_in_parallel(read, tuple(filters))))
    except gcp.ApiError as fault:
        raise command_line.CommandError(f"Cloud Monitoring: {fault}") from fault


def _counts(cloud: gcp.CloudDeployment, window: MetricWindow, kind: CountKind, selected: str) -> Iterator[MetricCount]:
    """Yield the counts of a kind.

    Cloud Monitoring divides the time backwards from the end of the interval, and returns each period with its end. So
    the last period ends now, and each ends in another bucket.
    """
    end = math.floor(window.now)
    query: dict[str, str | list[str]] = {
        "filter": selected,
        "interval.startTime": times.rfc3339(end - window.buckets * window.bucket_seconds),
        "interval.endTime": times.rfc3339(end),
        "aggregation.alignmentPeriod": f"{window.bucket_seconds}s",
        "aggregation.perSeriesAligner": "ALIGN_DELTA",
        "aggregation.crossSeriesReducer": "REDUCE_SUM",
        "view": "FULL",
        "pageSize": str(_POINTS_A_PAGE),
    }
    if kind in {"attempts", "delivered"}:
        query["aggregation.groupByFields"] = "metric.label.destination"
    while True:
        page = cloud.api.get("monitoring", f"/v3/projects/{cloud.target.project}/timeSeries", query)
        for series in objects_at(page, "timeSeries"):
            destination = str(value_at(series, "metric", "labels", "destination") or "")
            for point in objects_at(series, "points"):
                at = times.unix_seconds(str(value_at(point, "interval", "endTime")))
                # Attempts are a distribution of their durations, of which only the number counts here.
                value = value_at(point, "value", "int64Value") or value_at(point, "value", "distributionValue", "count")
                yield MetricCount(kind, at, int(str(value or 0)), destination)
        if not (token := page.get("nextPageToken")):
            return
        query["pageToken"] = str(token)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _last_part(name: Json) -> str:
    return str(name).rpartition("/")[2] if isinstance(name, str) else ""
