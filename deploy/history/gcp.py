"""A deployment on Google Cloud, with the operator's own credentials: its state, its status and its logs.

Revisions come from Cloud Run, the backlog of the subscriptions from Cloud Monitoring, and the logs from Cloud Logging
by `gcloud logging read`.
"""

import asyncio
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Final

from deploy.cloud_access import gcp, inboxes
from deploy.cloud_access.gcp_names import Target, bucket, database, labels, series_filter, tap_database
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.config.sections.bus_source import PREFIX
from deploy.history import firestore_journal, journal_view
from deploy.history.logs import PAGE, LogQuery, Record, parse_cloud_entry
from deploy.history.state import State, StateFault, open_cloud_state
from deploy.history.status import Backlog, Version
from deploy.terminal import command_line, parallel
from deploy.topology.functions import subscription_names
from deploy.topology.monitoring import ATTEMPTS, DELIVERIES, CountKind, MetricCount, MetricWindow
from shared import errors, ports, times
from shared.cloud import kept_by_key, platform
from shared.cloud.gcp import documents, firestore, ledger, pubsub, storage, tokens
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, value_at
from shared.settings import Settings, read_settings

TOKEN_SECONDS: Final = 600.0
"""gcloud keeps its token for an hour, and does not say when it expires."""
MAX_ANSWER_BYTES: Final = 200_000_000
BEYOND_REACH: Final = (
    "messages in Pub/Sub: an event that is being processed is stored again. Pub/Sub keeps a message for 7 days at "
    "most: run the command again then",
    "the subscription dead-letters-hold: it keeps each dead letter for 31 days. deploy/gcp/README.md says how to empty "
    "it",
    "copies of requests that developers got with `hookchain listen`, which wait for 7 days at most",
    "backups and exports of the database, and its point-in-time recovery, if you enabled them",
)
EMULATED: Final = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """The ports of one deployment. Each call makes a port of its own."""

    target: Target
    settings: Settings

    def journal(self) -> journal_view.JournalView:
        return firestore_journal.FirestoreJournalReader(self._firestore("journal_unavailable"), self.make_blobs())

    def make_ledger(self) -> ledger.FirestoreLedger:
        return ledger.FirestoreLedger(self._firestore("ledger_unavailable"))

    def make_blobs(self) -> storage.BucketBlobs:
        endpoint = platform.endpoint(self.settings.storage_host, platform.STORAGE_ENDPOINT)
        return storage.BucketBlobs(endpoint, bucket(self.target), self._authorization())

    def make_records(self) -> kept_by_key.DocumentRecords:
        return kept_by_key.DocumentRecords(
            documents.FirestoreDocuments(self._firestore("records_unavailable"), "records")
        )

    def make_documents(self) -> documents.FirestoreDocuments:
        return documents.FirestoreDocuments(self._firestore("documents_unavailable"))

    def make_bus(self) -> pubsub.PubSubBus:
        endpoint = platform.endpoint(self.settings.emulator_host, platform.PUBSUB_ENDPOINT)
        return pubsub.PubSubBus(endpoint, self.target.project, self.target.prefix, self._authorization())

    def make_leases(self) -> documents.FirestoreDocuments:
        return documents.FirestoreDocuments(self._firestore("documents_unavailable", tap_database(self.target)))

    def make_inboxes(self, project: str | None = None) -> inboxes.GoogleInboxes:
        return inboxes.GoogleInboxes(
            platform.endpoint(self.settings.emulator_host, platform.PUBSUB_ENDPOINT),
            f"projects/{self.target.project}/topics/{self.target.name_of(ports.TAP)}",
            project or self.target.project,
            labels(self.target),
            self._authorization(),
        )

    def _firestore(self, code: errors.TemporaryCode, name: str = "") -> firestore.Firestore:
        endpoint = platform.endpoint(self.settings.firestore_host, platform.FIRESTORE_ENDPOINT)
        name = name or database(self.target)
        return firestore.Firestore(endpoint, self.target.project, name, self._authorization(), code, MAX_ANSWER_BYTES)

    def _authorization(self) -> tokens.Authorization:
        return tokens.no_authorization if self.settings.is_local else operator_authorization(os.environ)


def cloud_place(target: Target, environ: Mapping[str, str]) -> CloudPlace:
    """Return the deployment's ports, or the emulators'.

    Raises StateFault where only some services are emulated: a command would read one and change the other.
    """
    emulated = [name for name in EMULATED if environ.get(name)]
    if emulated and len(emulated) < len(EMULATED):
        missing = " and ".join(name for name in EMULATED if name not in emulated)
        raise StateFault(f"{' and '.join(emulated)}: set without {missing}. Set all of them or none.")
    return CloudPlace(target, read_settings(environ))


def operator_authorization(environ: Mapping[str, str]) -> tokens.Authorization:
    """Return the operator's access: the account in GOOGLE_APPLICATION_CREDENTIALS, else the one signed in to gcloud."""
    if environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return tokens.google_authorization()
    return tokens.renewed(_gcloud_token)


async def _gcloud_token() -> tokens.Token:
    try:
        text = await asyncio.to_thread(gcp.token_of(gcp.Gcloud()))
    except (gcp.NotSignedIn, gcp.GcloudMissing) as fault:
        raise errors.Temporary("credentials_unavailable", str(fault)) from fault
    return tokens.Token(text, time.time() + TOKEN_SECONDS)


def open_gcp_state(target: Target, environ: Mapping[str, str]) -> AbstractContextManager[State]:
    """Open the state of the deployment. Raises StateFault."""
    return open_cloud_state(cloud_place(target, environ), environ, BEYOND_REACH)


COUNT: Final = "pubsub.googleapis.com/subscription/num_undelivered_messages"
OLDEST: Final = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
SUBSCRIPTIONS: Final = subscription_names()
WINDOW_SECONDS: Final = 600.0
"""These metrics are written once a minute, some minutes late."""


def read_versions(cloud: gcp.CloudDeployment) -> list[Version]:
    """Return the running version of each function. Raises CommandError."""
    names = (*FUNCTIONS, *OPTIONAL)
    services = zip(names, parallel.run_in_parallel(cloud.service, names), strict=True)
    return [_version(name, service) for name, service in services if service is not None or name in FUNCTIONS]


def _version(function: str, service: JsonObject | None) -> Version:
    if service is None:
        return Version(function, "", None, "not deployed: make deploy-gcp")
    ready = _last(service.get("latestReadyRevision"))
    created = _last(service.get("latestCreatedRevision"))
    at = service.get("updateTime")
    since = times.unix_seconds(at) if isinstance(at, str) else None
    state = mapping_at(service, "terminalCondition")
    if state.get("state") not in {None, "CONDITION_SUCCEEDED"}:
        return Version(function, ready, since, str(state.get("message") or state.get("reason") or "not ready"))
    return Version(function, ready, since, "" if created in {"", ready} else f"{created} did not start")


def read_backlogs(cloud: gcp.CloudDeployment, now: float) -> tuple[list[Backlog], list[str]]:
    """Return the backlogs of our own subscriptions, and a note if they could not be read."""
    try:
        counts, oldest = parallel.run_in_parallel(lambda metric: _newest_values(cloud, metric, now), (COUNT, OLDEST))
    except gcp.ApiError as fault:
        return [], [f"backlog (Cloud Monitoring): {fault}"]
    ids = [cloud.target.name_of(name) for name in SUBSCRIPTIONS]
    ids += sorted(each for each in counts if each.startswith(cloud.target.name_of(PREFIX)))
    return [Backlog(each, _whole(counts.get(each)), oldest.get(each)) for each in ids], []


def _newest_values(cloud: gcp.CloudDeployment, metric: str, now: float) -> Mapping[str, float]:
    """Return the newest value of the metric by subscription. A subscription without recent points has no messages."""
    own = f'resource.labels.subscription_id = starts_with("{cloud.target.prefix}")'
    query = {
        "filter": f'metric.type = "{metric}" AND {own}',
        "interval.startTime": times.rfc3339(now - WINDOW_SECONDS),
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
    delivered = f'{series_filter(target, DELIVERIES.name)} AND metric.labels.outcome = "delivered"'
    filters: Mapping[CountKind, str] = {
        "requests": requests,
        "rejected": f'{requests} AND metric.labels.response_code_class = one_of("4xx", "5xx")',
        "attempts": series_filter(target, ATTEMPTS.name),
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
    is_last = False
    while not is_last:
        page = cloud.api.get("monitoring", f"/v3/projects/{cloud.target.project}/timeSeries", query)
        for series in objects_at(page, "timeSeries"):
            destination = str(value_at(series, "metric", "labels", "destination") or "")
            for point in objects_at(series, "points"):
                at = times.unix_seconds(str(value_at(point, "interval", "endTime")))
                # Attempts are a distribution of their durations, of which only the number counts here.
                value = value_at(point, "value", "int64Value") or value_at(point, "value", "distributionValue", "count")
                yield MetricCount(kind, at, int(str(value or 0)), destination)
        query["pageToken"] = str(page.get("nextPageToken") or "")
        is_last = not query["pageToken"]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _last(name: Json) -> str:
    return str(name).rpartition("/")[2] if isinstance(name, str) else ""


_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_REQUESTS: Final = '(NOT log_id("run.googleapis.com/requests") OR severity>=WARNING)'
"""The platform's own request log is read for warnings only: receive logs more about each request that reaches it."""


def log_filter(target: Target, query: LogQuery, since: float) -> str:
    """Return the filter in the language of https://cloud.google.com/logging/docs/view/logging-query-language."""
    services = " OR ".join(f'"{target.name_of(function)}"' for function in query.functions)
    clauses = ['resource.type="cloud_run_revision"', f"resource.labels.service_name=({services})", _OWN_REQUESTS]
    if query.severity is not None:
        clauses.append(f"severity>={query.severity}")
    if query.is_of_source:
        clauses.append("jsonPayload.source:*")
    if query.event is not None and _ID.fullmatch(query.event):
        clauses.append(f'jsonPayload.event_id=~"^{query.event}"')
    return " AND ".join([*clauses, f'timestamp>="{times.rfc3339(since)}"'])


@dataclass(frozen=True, slots=True)
class GoogleLog:
    """The log of a deployment. Raises GcloudMissing too."""

    gcloud: gcp.Runner
    target: Target
    query: LogQuery

    @property
    def fault(self) -> type[Exception]:
        return gcp.GcloudFault

    def newest(self, since: float, limit: int) -> list[Record]:
        return self._read(since, "desc", limit)

    def oldest(self, since: float) -> list[Record]:
        return self._read(since, "asc", PAGE)

    def _read(self, since: float, order: str, limit: int) -> list[Record]:
        wanted = log_filter(self.target, self.query, since)
        arguments = ["logging", "read", wanted, f"--order={order}", f"--limit={limit}"]
        entries = gcp.read_json(self.gcloud, arguments, self.target.project)
        found = (parse_cloud_entry(each, self.target.prefix) for each in objects_at(entries))
        return [record for record in found if record is not None]
