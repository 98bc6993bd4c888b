"""gcloud's lists of existing resources, and how an entry of each is read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from deploy.gcp.resource import Existing
from deploy.gcp.resources import alerts, log_metrics, monitoring, project, services, stores, topics
from deploy.google import names
from deploy.google.target import Target
from shared.cloud.gcp.collections import EXPIRE_AT
from shared.jsontext import Json, JsonObject

Read: TypeAlias = Callable[[JsonObject, Target], tuple[str, Existing] | None]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list. `api` must be enabled for it. `read` returns an entry's name and its description, or None to skip it."""

    kind: str
    api: str
    arguments: Callable[[Target], list[str]]
    read: Read


def _last(text: Json) -> str:
    return str(text).rpartition("/")[2]


def _labelled(entry: JsonObject, target: Target, labels: str = "labels") -> Existing:
    found = entry.get(labels)
    found = found if isinstance(found, dict) else {}
    owner = str(found.get(names.BUNDLE_LABEL, ""))
    is_ours = owner == target.bundle
    return Existing(str(found.get(names.PLAN_LABEL, "")) if is_ours else "", ours=is_ours, owner=owner)


def _by_label(entry: JsonObject, target: Target) -> tuple[str, Existing]:
    return _last(entry.get("name")), _labelled(entry, target)


def _by_name(entry: JsonObject, _: Target) -> tuple[str, Existing]:
    return _last(entry.get("name")), Existing()


def _database(entry: JsonObject, _: Target) -> tuple[str, Existing]:
    return _last(entry.get("name")), Existing(region=str(entry.get("locationId", "")))


def _account(entry: JsonObject, _: Target) -> tuple[str, Existing]:
    return str(entry.get("email")).partition("@")[0], Existing()


def _expiry(entry: JsonObject, _: Target) -> tuple[str, Existing] | None:
    collection, field = _field(entry)
    return (collection, Existing()) if field == EXPIRE_AT else None


def _exemption(entry: JsonObject, _: Target) -> tuple[str, Existing] | None:
    config = entry.get("indexConfig")
    is_exempt = isinstance(config, dict) and not config.get("indexes") and not config.get("usesAncestorConfig")
    return (".".join(_field(entry)), Existing()) if is_exempt else None


def _field(entry: JsonObject) -> tuple[str, str]:
    """From projects/P/databases/D/collectionGroups/G/fields/F"""
    parts = str(entry.get("name")).split("/")
    return (parts[5], parts[7]) if len(parts) == 8 else ("", "")


def _service(entry: JsonObject, target: Target) -> tuple[str, Existing] | None:
    """Read a service. One that is not ready, or that gets no requests, has no digest: its deployment did not finish."""
    metadata, is_serving = (
        entry.get("metadata"),
        _is_ready(entry.get("status")) and _serves_newest_revision(entry.get("spec")),
    )
    if not isinstance(metadata, dict):
        return None
    found = _labelled(metadata, target)
    return str(metadata.get("name")), found if is_serving else replace(found, digest="")


def _is_ready(status: Json) -> bool:
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(
        isinstance(each, dict) and each.get("type") == "Ready" and each.get("status") == "True"
        for each in (conditions if isinstance(conditions, list) else [])
    )


def _serves_newest_revision(spec: Json) -> bool:
    """Return whether all requests go to the newest revision."""
    traffic = spec.get("traffic") if isinstance(spec, dict) else None
    shares = [each for each in traffic if isinstance(each, dict)] if isinstance(traffic, list) else []
    return all(each.get("latestRevision") is True for each in shares if each.get("percent"))


def _job(entry: JsonObject, _: Target) -> tuple[str, Existing]:
    digest = services.job_digest(str(entry.get("description", "")))
    return _last(entry.get("name")), Existing(digest if entry.get("state") == "ENABLED" else "")


def _alert(entry: JsonObject, target: Target) -> tuple[str, Existing]:
    found = _labelled(entry, target, "userLabels")
    return str(entry.get("displayName")), replace(found, address=str(entry.get("name")))


def _plain(*command: str) -> Callable[[Target], list[str]]:
    return lambda _: list(command)


LISTINGS: Final = (
    Listing(project.ACCOUNT, "iam.googleapis.com", _plain("iam", "service-accounts", "list"), _account),
    Listing(topics.TOPIC, "pubsub.googleapis.com", _plain("pubsub", "topics", "list"), _by_label),
    Listing(topics.SUBSCRIPTION, "pubsub.googleapis.com", _plain("pubsub", "subscriptions", "list"), _by_label),
    Listing(stores.DATABASE, "firestore.googleapis.com", _plain("firestore", "databases", "list"), _database),
    Listing(stores.BUCKET, "storage.googleapis.com", _plain("storage", "buckets", "list"), _by_label),
    Listing(
        stores.REPOSITORY,
        "artifactregistry.googleapis.com",
        lambda target: ["artifacts", "repositories", "list", f"--location={target.region}"],
        _by_name,
    ),
    Listing(stores.SECRET, "secretmanager.googleapis.com", _plain("secrets", "list"), _by_label),
    Listing(
        services.SERVICE,
        "run.googleapis.com",
        lambda target: ["run", "services", "list", f"--region={target.region}"],
        _service,
    ),
    Listing(
        services.JOB,
        "cloudscheduler.googleapis.com",
        lambda target: ["scheduler", "jobs", "list", f"--location={target.region}"],
        _job,
    ),
    Listing(monitoring.DASHBOARD, "monitoring.googleapis.com", _plain("monitoring", "dashboards", "list"), _by_label),
    Listing(log_metrics.METRIC, "logging.googleapis.com", _plain("logging", "metrics", "list"), _by_name),
    Listing(alerts.ALERT, "monitoring.googleapis.com", _plain("monitoring", "policies", "list"), _alert),
)

DATABASE_LISTINGS: Final = (
    Listing(
        stores.EXPIRY,
        "firestore.googleapis.com",
        lambda target: ["firestore", "fields", "ttls", "list", f"--database={names.database(target)}"],
        _expiry,
    ),
    Listing(
        stores.EXEMPTION,
        "firestore.googleapis.com",
        lambda target: ["firestore", "indexes", "fields", "list", f"--database={names.database(target)}"],
        _exemption,
    ),
)
"""Lists that need an existing database."""
