"""The dashboard, the metric of sweeps and the alerts, from the templates beside this package."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.gcp.resource import ADDRESS, File, Resource, digest_of, key_of, one
from deploy.gcp.resources.project import API
from deploy.gcp.resources.topics import topic_key
from deploy.google import names
from deploy.google.target import Target
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS

DASHBOARD: Final = "dashboard"
ALERT: Final = "alert"
METRIC: Final = "metric"
TEMPLATES: Final = Path(__file__).resolve().parents[1] / "templates"

ALERTS: Final = {
    "dead-letters": "something was given up on",
    "oldest-message": "something waits for more than five minutes",
    "errors": "a function answers with errors",
    "sweep": "no sweep succeeded for ten minutes",
}


def dashboard_id(target: Target) -> str:
    return f"{target.prefix}overview"


def alert_name(target: Target, name: str) -> str:
    """Return the display name, by which an alert is found again, because Google chooses its address."""
    return f"{target.prefix}{name}"


def sweep_metric_name(target: Target) -> str:
    return f"{target.prefix}sweeps"


def monitoring(target: Target, folder: Path, watched: tuple[str, ...]) -> tuple[Resource, ...]:
    """Return the resources. `watched` must exist before the alerts: Google rejects an alert on an unknown metric."""
    metric = _sweep_metric(target)
    alerts = (_alert(target, name, why, folder) for name, why in ALERTS.items())
    before = (*watched, metric.key)
    return (_dashboard(target, folder), metric, *(replace(alert, needs=(*alert.needs, *before)) for alert in alerts))


def _sweep_metric(target: Target) -> Resource:
    """Return the metric. Cloud Run counts requests per service, so deliveries would hide that no sweep runs."""
    service, name = names.service(target, "notify"), sweep_metric_name(target)
    log_filter = (
        f'resource.type="cloud_run_revision" AND resource.labels.service_name="{service}" '
        'AND log_id("run.googleapis.com/requests") AND httpRequest.requestUrl=~"/sweep$" '
        "AND httpRequest.status>=200 AND httpRequest.status<300"
    )
    settings = ("--description=Sweeps that notify answered with success", f"--log-filter={log_filter}")
    return Resource(
        METRIC,
        name,
        "how often the sweep succeeded",
        one("logging", "metrics", "create", name, *settings),
        one("logging", "metrics", "update", name, *settings),
        needs=(key_of(API, "logging.googleapis.com"), topic_key(target, DEAD_LETTERS)),
    )


def _dashboard(target: Target, folder: Path) -> Resource:
    filled = _filled(target, "dashboard.json")
    digest = digest_of(filled)
    identity = dashboard_id(target)
    content: JsonObject = {
        "name": f"projects/{target.project}/dashboards/{identity}",
        "labels": {**names.labels(target), names.PLAN_LABEL: digest},
        **filled,
    }
    file = _file(folder / "dashboard.json", content)
    create = one("monitoring", "dashboards", "create", f"--config-from-file={file.path}")
    # An update would need the etag of the existing dashboard.
    update = (*one("monitoring", "dashboards", "delete", identity), *create)
    return Resource(DASHBOARD, identity, "what happens, at a glance", create, update, digest, _needs(), (file,))


def _alert(target: Target, name: str, why: str, folder: Path) -> Resource:
    filled = _filled(target, f"alert-{name}.json")
    digest = digest_of(filled)
    content: JsonObject = {
        "displayName": alert_name(target, name),
        "userLabels": {**names.labels(target), names.PLAN_LABEL: digest},
        **filled,
    }
    file = _file(folder / f"alert-{name}.json", content)
    read = f"--policy-from-file={file.path}"
    create = one("monitoring", "policies", "create", read)
    # --fields supports only disabled and notificationChannels. Without it the file replaces the whole policy, so a plan
    # adds the notification channels and the switch that the operator chose.
    update = one("monitoring", "policies", "update", ADDRESS, read)
    return Resource(ALERT, alert_name(target, name), why, create, update, digest, _needs(), (file,))


def _needs() -> tuple[str, ...]:
    return (key_of(API, "monitoring.googleapis.com"),)


def _filled(target: Target, template: str) -> JsonObject:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    filled: JsonObject = json.loads(text.replace("PREFIX-", target.prefix).replace("BUNDLE", target.bundle))
    return filled


def _file(path: Path, content: JsonObject) -> File:
    return File(path, json.dumps(content, indent=2) + "\n")
