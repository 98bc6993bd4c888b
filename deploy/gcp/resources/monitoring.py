"""The dashboard, the metrics that are counted from logs, and the alerts."""

import json
from pathlib import Path
from string import Template
from typing import Final

from deploy.gcp.resource import File, Resource, digest_of, key_of, keys, one
from deploy.gcp.resources.alerts import alert, selections
from deploy.gcp.resources.log_metrics import COLUMNS, log_metrics, tiles
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.metrics import CHARTS
from deploy.topology.topology import Topology
from shared.jsontext import JsonObject

DASHBOARD: Final = "dashboard"
DASHBOARD_FILE: Final = Path(__file__).resolve().parents[1] / "dashboard.json"


def dashboard_id(target: Target) -> str:
    return f"{target.prefix}overview"


def monitoring(target: Target, topology: Topology, folder: Path, watched: tuple[str, ...]) -> tuple[Resource, ...]:
    """Return the resources. `watched` must exist before the alerts: Google rejects an alert on an unknown metric."""
    metrics = log_metrics(target, topology, folder)
    alerts = [alert(target, topology, alarm, folder, (*watched, *keys(metrics))) for alarm in topology.alarms]
    return (_dashboard(target, topology, folder), *metrics, *alerts)


def _dashboard(target: Target, topology: Topology, folder: Path) -> Resource:
    text = DASHBOARD_FILE.read_text(encoding="utf-8").replace("BUNDLE", target.bundle)
    quoted = {name: json.dumps(filter_)[1:-1] for name, filter_ in selections(target, topology).items()}
    filled: JsonObject = json.loads(Template(text).substitute(quoted))
    layout = filled["mosaicLayout"]
    assert isinstance(layout, dict)
    drawn = layout["tiles"]
    assert isinstance(drawn, list)
    layout["tiles"] = [*drawn, *tiles(target, CHARTS, first_row=-(-len(drawn) // COLUMNS))]
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
