"""Warnings about loops: a route whose own deliveries come back as events."""

from collections.abc import Iterator, Mapping

from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault
from deploy.config.models.configuration import Configuration
from deploy.topology.buses import fed_buckets
from shared.jsontext import JsonObject


def loop_warnings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> Iterator[Fault]:
    """Yield a warning for each source of a bucket into which one of its routes writes objects."""
    routes = Configuration.model_validate(file.document).routes
    for source, destination in fed_buckets(slices["receive"], slices["notify"]):
        if any({source, "all"} & {*route.from_} and destination in route.to for route in routes):
            rule = f"{destination!r} writes into its bucket, and each object there is its next event: a loop"
            act = "give both a `prefix` and a `key` that differ at the beginning"
            yield Fault(file.line(("sources", source)), f"source {source!r}", f"{rule}; {act}")
