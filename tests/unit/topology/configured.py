"""The topology of a configuration, for tests."""

from collections.abc import Mapping

from deploy.topology.topology import Topology, find_topology
from shared.jsontext import JsonObject
from tests.fakes.configurations import compile_text
from tests.unit.gcp.planned import CONFIG


def slices(config: str = CONFIG) -> dict[str, JsonObject]:
    return compile_text(config)


def topology(config: str = CONFIG, environ: Mapping[str, str] | None = None) -> Topology:
    return find_topology(slices(config), environ or {})
