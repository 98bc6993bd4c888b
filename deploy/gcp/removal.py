"""Deleting a deployment, in reverse order: only resources with its label, or with a name that only it uses."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.gcp.changes import UNLABELLED, is_marked
from deploy.gcp.deletion import ORDER, deletion
from deploy.gcp.iam_bindings import GRANT, Grant, account_member, remove_binding
from deploy.gcp.plan import Action
from deploy.gcp.resource import Existing, key_of
from deploy.gcp.resources.alerts import ALERT, alert_name
from deploy.gcp.resources.log_metrics import METRIC, SWEEPS, metric_name
from deploy.gcp.resources.monitoring import DASHBOARD, dashboard_id
from deploy.gcp.resources.project import account_key, accounts
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import BUCKET, DATABASE, SECRET, bucket_key, database_key
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC, subscription_key, topic_key
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.alarms import ALARMS
from deploy.topology.functions import FUNCTIONS
from deploy.topology.metrics import LOG_METRICS
from shared.ports import DEAD_LETTERS

LABELLED: Final = frozenset({SUBSCRIPTION, SERVICE, ALERT, DASHBOARD, TOPIC, SECRET, BUCKET})


@dataclass(frozen=True, slots=True)
class Removal:
    """A deletion. `remaining` are the keys of resources that stay, such as secrets and dead letters."""

    actions: tuple[Action, ...]
    remaining: tuple[str, ...]


def deployment_resources(target: Target, existing: Mapping[str, Existing]) -> dict[str, Existing]:
    """Return the resources in the project that belong to this deployment."""
    own = {
        *(key_of(JOB, names.job(target, each.name)) for function in FUNCTIONS for each in function.schedules),
        key_of(DASHBOARD, dashboard_id(target)),
        *(key_of(METRIC, metric_name(target, each)) for each in (SWEEPS, *(metric.name for metric in LOG_METRICS))),
        database_key(target),
        bucket_key(target),
        *(key_of(ALERT, alert_name(target, alarm.name)) for alarm in ALARMS),
        *(account_key(target, name) for name in accounts()),
    }
    found = {key: each for key, each in existing.items() if _is_own(key, each, own)}
    if is_marked(target, existing):
        return found
    return {key: each for key, each in found.items() if key.partition(" ")[0] not in UNLABELLED}


def _is_own(key: str, found: Existing, own: Collection[str]) -> bool:
    kind = key.partition(" ")[0]
    return kind in ORDER and found.ours and (kind in LABELLED or key in own)


def staying(target: Target, things: Mapping[str, Existing], everything: bool) -> dict[str, Existing]:
    """Return the deployment's resources that are not deleted."""
    held = subscription_key(target, names.holding_subscription(DEAD_LETTERS))
    dead_letters = {topic_key(target, DEAD_LETTERS), held}
    keeping = {SECRET, BUCKET, DATABASE}
    found = {key: each for key, each in things.items() if key.partition(" ")[0] in keeping or key in dead_letters}
    return {} if everything else found


def removal(
    target: Target, things: Mapping[str, Existing], remaining: Mapping[str, Existing], grants: Collection[Grant]
) -> Removal:
    """Return the actions. `things` are the deployment's resources, of which `remaining` stay.

    `grants` are the IAM bindings of the project and of `remaining`.
    """
    members = {account_member(target, account) for account in accounts()}
    found = {
        **{key: deletion(target, key, each) for key, each in things.items() if key not in remaining},
        **{grant.key: (remove_binding(grant, target),) for grant in grants if grant.member in members},
    }
    actions: list[Action] = []
    for kind in ORDER:
        before = tuple(key for action in actions for key in action.settles)
        for key in sorted(key for key in found if key.partition(" ")[0] == kind):
            # Bindings are deleted one by one: two changes of the same policy would undo each other.
            needs = before if kind != GRANT else tuple(each for action in actions for each in action.settles)
            name = key.partition(" ")[2]
            actions.append(Action("delete", kind, name, "is to go", found[key], (key,), needs))
    return Removal(tuple(actions), tuple(sorted(remaining)))
