"""The topology of a configuration, for tests."""

from collections.abc import Mapping

from deploy.topology.functions import FUNCTIONS, Function, Schedule, Subscription
from deploy.topology.topology import Topology, find_topology
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS, EVENTS
from tests.fakes.configurations import compile_text
from tests.unit.gcp.planned import CONFIG

FURTHER = Function(
    "audit",
    "serves the portal",
    timeout_seconds=20,
    concurrency=10,
    is_public=True,
    url="The portal",
    subscriptions=(Subscription(EVENTS, "tells auditors of events", "/events"),),
    schedules=(Schedule("digest", "/digest", does="sends digests", why="digests, each minute"),),
    publishes=(DEAD_LETTERS,),
    stores=("owners",),
    variables=("PORTAL_NAME",),
)
"""A function that the product does not have."""
WITH_FURTHER = (*FUNCTIONS, FURTHER)
FURTHER_SLICE: JsonObject = {"function": "audit", "portal": {"secret": "portal-key"}}


def slices(config: str = CONFIG) -> dict[str, JsonObject]:
    return compile_text(config)


def topology(config: str = CONFIG, environ: Mapping[str, str] | None = None) -> Topology:
    return find_topology(slices(config), environ or {})


def with_further(environ: Mapping[str, str] | None = None) -> Topology:
    return find_topology({**slices(), "audit": FURTHER_SLICE}, environ or {}, WITH_FURTHER)
