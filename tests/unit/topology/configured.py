"""The topology of a configuration, for tests."""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.topology.functions import FUNCTIONS, Function, Schedule, Subscription
from deploy.topology.topology import Topology, find_topology
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS, EVENTS
from tests.unit.gcp.planned import CONFIG

FURTHER = Function(
    "audit",
    "serves the portal",
    timeout_seconds=20,
    concurrency=10,
    is_public=True,
    url="The portal",
    subscriptions=(Subscription(EVENTS, "tells auditors of events", "/events"),),
    schedules=(Schedule("digest", "/digest", does="sends digests", why="digests, each hour", every_minutes=30),),
    publishes=(DEAD_LETTERS,),
    stores=("owners",),
    variables=("PORTAL_NAME",),
)
"""A function that the product does not have."""
WITH_FURTHER = (*FUNCTIONS, FURTHER)
FURTHER_SLICE: JsonObject = {"function": "audit", "portal": {"secret": "portal-key"}}


def slices(config: str = CONFIG) -> dict[str, JsonObject]:
    return compile_config(parse_config(config, "hookchain.yaml", Path()))


def topology(config: str = CONFIG, environ: Mapping[str, str] | None = None) -> Topology:
    return find_topology(slices(config), environ or {})


def with_further(environ: Mapping[str, str] | None = None) -> Topology:
    return find_topology({**slices(), "audit": FURTHER_SLICE}, environ or {}, WITH_FURTHER)
