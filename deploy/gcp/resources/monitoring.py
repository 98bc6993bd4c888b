"""The dashboard, the metric of sweeps and the alerts."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

from deploy.gcp.resource import File, Resource, digest_of, key_of, one
from deploy.gcp.resources.alerts import alert, selections, sweep_metric_name
from deploy.gcp.resources.project import API
from deploy.gcp.resources.topics import topic_key
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.functions import SWEEP, Function
from deploy.topology.topology import Topology
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS

DASHBOARD: Final = "dashboard"
METRIC: Final = "metric"
DASHBOARD_FILE: Final = Path(__file__).resolve().parents[1] / "dashboard.json"


def dashboard_id(target: Target) -> str:
    return f"{target.prefix}overview"


def monitoring(target: Target, topology: Topology, folder: Path, watched: tuple[str, ...]) -> tuple[Resource, ...]:
    """Return the resources. `watched` must exist before the alerts: Google rejects an alert on an unknown metric."""
    metric = _sweep_metric(target, [each.function for each in topology.functions])
    alerts = [alert(target, topology, alarm, folder, (*watched, metric.key)) for alarm in topology.alarms]
    return (_dashboard(target, topology, folder), metric, *alerts)


def _sweep_metric(target: Target, functions: Sequence[Function]) -> Resource:
    """Return the metric. Cloud Run counts requests per service, so deliveries would hide that no sweep runs."""
    [swept] = [each.name for each in functions if SWEEP in each.schedules]
    service, name = names.service(target, swept), sweep_metric_name(target)
    log_filter = (
        f'resource.type="cloud_run_revision" AND resource.labels.service_name="{service}" '
        f'AND log_id("run.googleapis.com/requests") AND httpRequest.requestUrl=~"{SWEEP.path}$" '
        "AND httpRequest.status>=200 AND httpRequest.status<300"
    )
    settings = (f"--description=Sweeps that {swept} answered with success", f"--log-filter={log_filter}")
    return Resource(
        METRIC,
        name,
        "how often the sweep succeeded",
        one("logging", "metrics", "create", name, *settings),
        one("logging", "metrics", "update", name, *settings),
        needs=(key_of(API, "logging.googleapis.com"), topic_key(target, DEAD_LETTERS)),
    )


def _dashboard(target: Target, topology: Topology, folder: Path) -> Resource:
    text = DASHBOARD_FILE.read_text(encoding="utf-8").replace("BUNDLE", target.bundle)
    quoted = {name: json.dumps(filter_)[1:-1] for name, filter_ in selections(target, topology).items()}
    filled: JsonObject = json.loads(Template(text).substitute(quoted))
    digest = digest_of(filled)
    identity = dashboard_id(target)
    content: JsonObject = {
        "name": f"projects/{target.project}/dashboards/{identity}",
        "labels": {**names.labels(target), names.PLAN_LABEL: digest},
        **filled,
    }
    file = File(folder / "dashboard.json", json.dumps(content, indent=2) + "\n")
    create = one("monitoring", "dashboards", "create", f"--config-from-file={file.path}")
    # An update would need the etag of the existing dashboard.
    update = (*one("monitoring", "dashboards", "delete", identity), *create)
    needs = (key_of(API, "monitoring.googleapis.com"),)
    return Resource(DASHBOARD, identity, "what happens, at a glance", create, update, digest, needs, (file,))
