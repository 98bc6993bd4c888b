"""The limits of Google Cloud and gcloud, and what a planned deployment needs of each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from deploy.gcp import drift, resource
from deploy.gcp.resources import topics
from deploy.topology.limits import Measured
from deploy.topology.topology import Topology

IAM: Final = "https://cloud.google.com/iam/quotas"
RUN: Final = "https://cloud.google.com/run/quotas"
STORAGE: Final = "https://cloud.google.com/storage/docs/pubsub-notifications"
EXECVE: Final = "https://man7.org/linux/man-pages/man2/execve.2.html"
CONDITIONS: Final = 20
"""The bindings of a policy that give the same role to the same account, each with another condition."""
NOTIFICATIONS: Final = 100
"""The notifications of a bucket."""
NOTIFICATIONS_A_TYPE: Final = 10
"""The notifications of a bucket for one type of event."""
ANY_TYPE: Final = ""
"""It stands for all types of events together."""
VARIABLE_BYTES: Final = 32 * 1024
"""The value of an environment variable on Cloud Run."""
ARGUMENT_BYTES: Final = 131_071
"""The longest argument of a command on Linux: gcloud takes all secrets of a function in one."""
FEWER: Final = "Use fewer, give a destination a `secret` of its own, or make two deployments"


def measured(resources: Iterable[resource.Resource], topology: Topology) -> Iterator[Measured]:
    """Yield each part of a planned deployment that Google Cloud or gcloud limits, with what it has.

    The lengths of names are not among them: the rules for a prefix keep names short enough.
    """
    conditions: Counter[str] = Counter()
    notifications: Counter[tuple[str, str]] = Counter()  # by bucket and type of event, and by bucket and ANY_TYPE
    for each in resources:
        if each.grant and each.grant.condition:
            conditions[replace(each.grant, condition="").text] += 1
        if each.kind == topics.NOTIFICATION:
            bucket, _, _ = each.name.partition("/")  # a notification is named BUCKET/TOPIC
            event_types = drift.planned_flags(each)["event-types"].split(",")
            notifications.update((bucket, event_type) for event_type in (ANY_TYPE, *event_types))
        longest = max((len(text.encode()) for command in each.create for text in command.arguments), default=0)
        argument = f"an argument of gcloud for {each.key}"
        todo = "Let several sources use the same secret, or make two deployments"
        yield Measured(argument, "bytes", count=longest, most=ARGUMENT_BYTES, source=EXECVE, todo=todo)
    for binding, count in conditions.items():
        yield Measured(binding, "conditions", count=count, most=CONDITIONS, source=IAM, todo=FEWER)
    for (bucket, event_type), count in notifications.items():
        unit = f"notifications {event_type}".strip()
        most = NOTIFICATIONS if event_type == ANY_TYPE else NOTIFICATIONS_A_TYPE
        yield Measured(f"the bucket {bucket}", unit, count=count, most=most, source=STORAGE, todo=FEWER)
    for needed in topology.functions:
        for name, value in needed.variables.items():
            variable = f"the variable {name}"
            size = len(value.encode())
            yield Measured(variable, "bytes", count=size, most=VARIABLE_BYTES, source=RUN, todo="Shorten it")
