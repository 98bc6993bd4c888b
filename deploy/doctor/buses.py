"""The check of buses: sources that get no messages on a platform, and rights that only the owner of a bus can give."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from deploy.aws.resources.queues import detail_types
from deploy.terminal.finding import Finding, ok, problem
from deploy.topology.buses import AWS_KINDS, GOOGLE_KINDS, BusSource, bus_sources, published_buses
from functions.notify.destinations.bus.settings import AwsBus, GoogleTopic
from shared.jsontext import JsonObject

RIGHTS: Final = 'see deploy/README.md, "Rights that a destination needs"'
PAGE: Final = 'see functions/receive/README.md, "Messages of a bus"'


def buses_on_google(slices: Mapping[str, JsonObject], project: str) -> Finding | None:
    """Return None if the configuration has no bus."""
    return _finding(slices, "Google Cloud", GOOGLE_KINDS, partial(_rights_on_google, project))


def buses_on_aws(slices: Mapping[str, JsonObject]) -> Finding | None:
    """Return None if the configuration has no bus."""
    return _finding(slices, "AWS", AWS_KINDS, _rights_on_aws)


def _finding(
    slices: Mapping[str, JsonObject],
    platform: str,
    kinds: frozenset[str],
    rights: Callable[[Sequence[BusSource], Sequence[GoogleTopic | AwsBus]], Finding],
) -> Finding | None:
    sources, published = bus_sources(slices["receive"]), published_buses(slices["notify"])
    if not sources and not published:
        return None
    for each in sources:
        is_silent_bucket = each.kind == "bucket" and kinds == AWS_KINDS and not detail_types(each)
        if each.kind not in kinds or is_silent_bucket:
            return problem(f"source {each.source!r} gets no messages on {platform}", PAGE)
    return rights(sources, published)


def _rights_on_google(project: str, sources: Sequence[BusSource], published: Sequence[GoogleTopic | AwsBus]) -> Finding:
    for bus in published:
        if isinstance(bus, AwsBus):
            rule = f"{bus.arn}: a function on Google Cloud has no role on AWS"
            return problem(rule, "set `access_key_id` and `secret` of its destination")
    others = [each.path for each in published if isinstance(each, GoogleTopic) and each.project != project]
    others += [name for each in sources if project not in (name := each.text("pubsub")) and "/" in name]
    if others:
        return problem(f"{others[0]} is in another project, whose owner gives the right to use it", RIGHTS)
    return ok("the deployment gives all rights")


def _rights_on_aws(sources: Sequence[BusSource], published: Sequence[GoogleTopic | AwsBus]) -> Finding:
    for bus in published:
        if isinstance(bus, GoogleTopic):
            rule = f"{bus.path}: a function on AWS has no account of Google's"
            return problem(rule, "set `secret` of its destination")
    if buckets := [each.text("bucket") for each in sources if each.kind == "bucket"]:
        return ok(f"S3 sends events about objects in {buckets[0]} only if EventBridge is on in the bucket's properties")
    return ok("the deployment gives all rights in this account")
