"""A deployment's revisions from Cloud Run, and the backlog of its subscriptions from Cloud Monitoring."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.config.compiling.bus_sources import PREFIX
from deploy.google import names
from deploy.google.api import ApiError
from deploy.google.cloud import CloudDeployment
from deploy.history.status import Backlog, Version
from deploy.terminal.parallel import run_in_parallel
from deploy.topology.functions import subscription_names
from shared.jsontext import Json, JsonObject
from shared.times import rfc3339, unix_seconds

COUNT: Final = "pubsub.googleapis.com/subscription/num_undelivered_messages"
OLDEST: Final = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
SUBSCRIPTIONS: Final = subscription_names()
WINDOW_SECONDS: Final = 600.0
"""These metrics are written once a minute, some minutes late."""


def read_versions(cloud: CloudDeployment) -> list[Version]:
    """Raises CommandError."""
    names_of = (*FUNCTIONS, *OPTIONAL)
    found = zip(names_of, run_in_parallel(cloud.service, names_of), strict=True)
    return [_version(name, service) for name, service in found if service is not None or name in FUNCTIONS]


def _version(function: str, service: JsonObject | None) -> Version:
    if service is None:
        return Version(function, "", None, "not deployed: make deploy-gcp")
    ready, created = (_last(service.get(name)) for name in ("latestReadyRevision", "latestCreatedRevision"))
    at = service.get("updateTime")
    since = unix_seconds(at) if isinstance(at, str) else None
    condition = service.get("terminalCondition")
    state: JsonObject = condition if isinstance(condition, dict) else {}
    if state.get("state") not in {None, "CONDITION_SUCCEEDED"}:
        return Version(function, ready, since, str(state.get("message") or state.get("reason") or "not ready"))
    return Version(function, ready, since, "" if created in {"", ready} else f"{created} did not start")


def _read_backlogs(cloud: CloudDeployment, now: float) -> list[Backlog]:
    """Raises ApiError."""
    counts, oldest = run_in_parallel(lambda metric: _newest_values(cloud, metric, now), (COUNT, OLDEST))
    ids = [names.subscription(cloud.target, name) for name in SUBSCRIPTIONS]
    ids += sorted(each for each in counts if each.startswith(names.subscription(cloud.target, PREFIX)))
    return [Backlog(each, _whole(counts.get(each)), oldest.get(each)) for each in ids]


def read_backlogs(cloud: CloudDeployment, now: float) -> tuple[list[Backlog], list[str]]:
    """Return the backlogs, and a note where they could not be read."""
    try:
        return _read_backlogs(cloud, now), []
    except ApiError as fault:
        return [], [f"backlog (Cloud Monitoring): {fault}"]


def _newest_values(cloud: CloudDeployment, metric: str, now: float) -> Mapping[str, float]:
    """Return the metric by subscription; one without recent points has no messages."""
    own = f'resource.labels.subscription_id = starts_with("{cloud.target.prefix}")'
    query = {
        "filter": f'metric.type = "{metric}" AND {own}',
        "interval.startTime": rfc3339(now - WINDOW_SECONDS),
        "interval.endTime": rfc3339(now),
        "view": "FULL",
    }
    found = cloud.api.get("monitoring", f"/v3/projects/{cloud.target.project}/timeSeries", query)
    return dict(_values(found.get("timeSeries")))


def _values(series: Json) -> Iterator[tuple[str, float]]:
    """Yield the newest point of each series, which is its first."""
    for each in series if isinstance(series, list) else []:
        resource, points = (each.get("resource"), each.get("points")) if isinstance(each, dict) else (None, None)
        labels = resource.get("labels") if isinstance(resource, dict) else None
        newest = points[0] if isinstance(points, list) and points else None
        value = newest.get("value") if isinstance(newest, dict) else None
        if isinstance(labels, dict) and isinstance(value, dict):
            yield str(labels.get("subscription_id")), float(str(value.get("int64Value", value.get("doubleValue", 0))))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _last(name: Json) -> str:
    return str(name).rpartition("/")[2] if isinstance(name, str) else ""
