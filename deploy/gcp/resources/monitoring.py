"""The dashboard, the metrics that are counted from logs, and the alerts."""

import json
from pathlib import Path
from string import Template
from typing import Final

from deploy.gcp.resource import File, Resource, digest_of, key_of, keys, one
from deploy.gcp.resources.alerts import alert, selections
from deploy.gcp.resources.log_metrics import COLUMNS, log_metrics, tile, tiles
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.alarms import SOURCE_ALARM
from deploy.topology.buses import GOOGLE_KINDS
from deploy.topology.metrics import CHARTS
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject

DASHBOARD: Final = "dashboard"
BROUGHT_CHARTS: Final = (
    ("Sources: age of the oldest message (s)", "oldest_unacked_message_age"),
    ("Sources: messages that wait", "num_undelivered_messages"),
)
DASHBOARD_FILE: Final = Path(__file__).resolve().parents[1] / "dashboard.json"


def dashboard_id(target: Target) -> str:
    return f"{target.prefix}overview"


def monitoring(target: Target, topology: Topology, folder: Path, watched: tuple[str, ...]) -> tuple[Resource, ...]:
    """Return the resources. `watched` must exist before the alerts: Google rejects an alert on an unknown metric."""
    metrics = log_metrics(target, topology, folder)
    needs = (*watched, *keys(metrics))
    alarms = [each for each in topology.alarms if each != SOURCE_ALARM or _has_brought(topology)]
    alerts = [alert(target, topology, each, folder, needs) for each in alarms]
    return (_dashboard(target, topology, folder), *metrics, *alerts)


def _has_brought(topology: Topology) -> bool:
    """Return whether Pub/Sub brings messages to a source."""
    return any(source.kind in GOOGLE_KINDS for needed in topology.functions for source in needed.sources)


def _dashboard(target: Target, topology: Topology, folder: Path) -> Resource:
    text = DASHBOARD_FILE.read_text(encoding="utf-8").replace("BUNDLE", target.bundle)
    quoted = {name: json.dumps(filter_)[1:-1] for name, filter_ in selections(target, topology).items()}
    filled: JsonObject = json.loads(Template(text).substitute(quoted))
    layout = filled["mosaicLayout"]
    assert isinstance(layout, dict)
    drawn = layout["tiles"]
    assert isinstance(drawn, list)
    row = -(-len(drawn) // COLUMNS)
    charts = tiles(target, CHARTS, first_row=row)
    row += -(-len(charts) // COLUMNS)
    brought = _brought_tiles(target, topology, row) if _has_brought(topology) else []
    layout["tiles"] = [*drawn, *charts, *brought]
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


def _brought_tiles(target: Target, topology: Topology, row: int) -> list[Json]:
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
