"""The check of buses: what of them has no effect on a platform, and the rights that only their owner can give."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.aws.resources.bus_sources import detail_types
from deploy.terminal.finding import Finding, ok, problem
from deploy.topology.buses import AWS_KINDS, GOOGLE_KINDS, BusSource, bus_sources, published_buses
from functions.notify.destinations.bus.settings import AwsBus, GoogleTopic
from shared.jsontext import JsonObject

RIGHTS: Final = 'see deploy/README.md, "Rights that a destination needs"'
PAGE: Final = 'see functions/receive/README.md, "Messages of a bus"'


def buses_on_google(slices: Mapping[str, JsonObject], project: str) -> Finding | None:
    """Return None if the configuration has none."""
    sources, published = bus_sources(slices["receive"]), published_buses(slices["notify"])
    if not sources and not published:
        return None
    for name in sources_elsewhere(sources, GOOGLE_KINDS):
        return problem(f"source {name!r} gets no messages on Google Cloud", PAGE)
    for bus in published:
        if isinstance(bus, AwsBus):
            rule = f"{bus.arn}: a function on Google Cloud has no role on AWS"
            return problem(rule, "set `access_key_id` and `secret` of its destination")
    others = [each.path for each in published if isinstance(each, GoogleTopic) and each.project != project]
    others += [name for each in sources if project not in (name := each.text("pubsub")) and "/" in name]
    if others:
        return problem(f"{others[0]} is in another project, whose owner gives the right to use it", RIGHTS)
    return ok("the deployment gives all rights")


def buses_on_aws(slices: Mapping[str, JsonObject]) -> Finding | None:
    """Return None if the configuration has none."""
    sources, published = bus_sources(slices["receive"]), published_buses(slices["notify"])
    if not sources and not published:
        return None
    for name in sources_elsewhere(sources, AWS_KINDS):
        return problem(f"source {name!r} gets no messages on AWS", PAGE)
    for bus in published:
        if isinstance(bus, GoogleTopic):
            rule = f"{bus.path}: a function on AWS has no account of Google's"
            return problem(rule, "set `secret` of its destination")
    if buckets := [each.text("bucket") for each in sources if each.kind == "bucket"]:
        return ok(f"S3 sends events about objects in {buckets[0]} only if EventBridge is on in the bucket's properties")
    return ok("the deployment gives all rights in this account")


def sources_elsewhere(sources: tuple[BusSource, ...], kinds: frozenset[str]) -> Iterator[str]:
    """Yield the sources that get nothing on a platform with these kinds of buses."""
    for each in sources:
        is_silent_bucket = each.kind == "bucket" and kinds == AWS_KINDS and not detail_types(each)
        if each.kind not in kinds or is_silent_bucket:
            yield each.source
