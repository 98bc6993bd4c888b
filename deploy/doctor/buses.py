"""The check of buses: of the sources that read them, and of the destinations that publish to them.

Some of them need rights that only their owner can grant.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from deploy.aws.resources.queues import brings_on_aws
from deploy.doctor.checks import Subject
from deploy.terminal.finding import Check, Finding, ok, problem
from deploy.topology import buses
from functions.notify.destinations.bus import AwsBus, GoogleTopic
from shared.jsontext import JsonObject

SEE_RIGHTS: Final = "see deploy/docs/rights.md"
SEE_BUSES: Final = "see functions/receive/docs/bus.md"


def bus_checks(subject: Subject, check: Callable[[Mapping[str, JsonObject]], Finding | None]) -> list[Check]:
    """Return the check of buses; none if the configuration has nothing to say about them.

    It asks nobody, so it is made at once, and is not listed without a finding.
    """
    finding = check(subject.slices) if subject.slices else None
    return [Check("buses", lambda: finding)] if finding else []


def buses_on_google(slices: Mapping[str, JsonObject], project: str) -> Finding | None:
    """Return None if the configuration has no bus."""
    return _bus_finding(slices, "Google Cloud", buses.brings_on_google, partial(_rights_on_google, project))


def buses_on_aws(slices: Mapping[str, JsonObject]) -> Finding | None:
    """Return None if the configuration has no bus."""
    return _bus_finding(slices, "AWS", brings_on_aws, _rights_on_aws)


def _bus_finding(
    slices: Mapping[str, JsonObject],
    platform: str,
    brings: Callable[[buses.BusSource], bool],
    rights: Callable[[Sequence[buses.BusSource], Sequence[GoogleTopic | AwsBus]], Finding],
) -> Finding | None:
    sources, published = buses.bus_sources(slices["receive"]), buses.published_buses(slices["notify"])
    if not sources and not published:
        return None
    if silent := next(iter(buses.silent_sources(slices["receive"], brings, platform)), None):
        return problem(silent, SEE_BUSES)
    return rights(sources, published)


def _rights_on_google(
    project: str, sources: Sequence[buses.BusSource], published: Sequence[GoogleTopic | AwsBus]
) -> Finding:
    for bus in published:
        if isinstance(bus, AwsBus):
            rule = f"{bus.arn}: functions on Google Cloud have no AWS role"
            return problem(rule, "set `access_key_id` and `secret` of its destination")
    others = [each.path for each in published if isinstance(each, GoogleTopic) and each.project != project]
    topics = [each.text("pubsub") for each in sources]
    others += [each for each in topics if "/" in each and not each.startswith(f"projects/{project}/")]
    if others:
        return problem(f"{others[0]} is in another project, whose owner must grant access to it", SEE_RIGHTS)
    return ok("the deployment grants all rights")


def _rights_on_aws(sources: Sequence[buses.BusSource], published: Sequence[GoogleTopic | AwsBus]) -> Finding:
    for bus in published:
        if isinstance(bus, GoogleTopic):
            rule = f"{bus.path}: functions on AWS have no Google account"
            return problem(rule, "set `secret` of its destination")
    if bucket_names := [each.text("bucket") for each in sources if each.kind == "bucket"]:
        return ok(
            f"S3 sends events about objects in {bucket_names[0]} only if EventBridge is on in the bucket's properties"
        )
    return ok("the deployment grants all rights in this account")
