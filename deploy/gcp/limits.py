"""Google Cloud's limits on a deployment, checked before anything starts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from deploy.gcp.iam_bindings import GRANT
from deploy.gcp.live_settings import planned_flags
from deploy.gcp.resource import Resource
from deploy.gcp.resources.bus_sources import NOTIFICATION
from deploy.topology.limits import Measured
from deploy.topology.topology import Topology

IAM: Final = "https://cloud.google.com/iam/quotas"
RUN: Final = "https://cloud.google.com/run/quotas"
STORAGE: Final = "https://cloud.google.com/storage/docs/pubsub-notifications"
EXECVE: Final = "https://man7.org/linux/man-pages/man2/execve.2.html"

CONDITIONS: Final = 20
"""The bindings of a policy that give the same role to the same account, each with another condition."""
NOTIFICATIONS: Final = 100
NOTIFICATIONS_AN_EVENT: Final = 10
VARIABLE_BYTES: Final = 32 * 1024
ARGUMENT_BYTES: Final = 131_071
"""The longest argument of a command on Linux: gcloud takes all secrets of a function in one."""
FEWER: Final = "Use fewer, give a destination a `secret` of its own, or make two deployments"


def measured(resources: Iterable[Resource], topology: Topology) -> Iterator[Measured]:
    """Yield what Google Cloud limits in a plan from the beginning. The rule for a prefix bounds the names."""
    conditions: Counter[str] = Counter()
    notifications: Counter[tuple[str, str]] = Counter()
    for each in resources:
        flags = planned_flags(each)
        if each.kind == GRANT and flags.get("condition", "None") != "None":
            conditions[each.name.partition(" if ")[0]] += 1
        if each.kind == NOTIFICATION:
            bucket = each.name.partition("/")[0]
            notifications.update((bucket, event) for event in ("", *flags["event-types"].split(",")))
        longest = max((len(text.encode()) for command in each.create for text in command.arguments), default=0)
        todo = "Let several sources use the same secret, or make two deployments"
        yield Measured(f"an argument of gcloud for {each.key}", "bytes", longest, ARGUMENT_BYTES, EXECVE, todo)
    for binding, count in conditions.items():
        yield Measured(binding, "conditions", count, CONDITIONS, IAM, FEWER)
    for (bucket, event), count in notifications.items():
        most = NOTIFICATIONS_AN_EVENT if event else NOTIFICATIONS
        yield Measured(f"the bucket {bucket}", f"notifications {event}".strip(), count, most, STORAGE, FEWER)
    for needed in topology.functions:
        for name, value in needed.variables.items():
            yield Measured(f"the variable {name}", "bytes", len(value.encode()), VARIABLE_BYTES, RUN, "Shorten it")
