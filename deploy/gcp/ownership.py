"""The existing resources that belong to a deployment, and the rejection of those that do not.

A label proves to whom a resource belongs, but some kinds have none: a database called `shop`, or an account
`shop-notify`, may have existed before a deployment with the prefix `shop-`. So a resource without a label belongs to
the deployment only if it has the deployment's name and another resource proves that the deployment exists. Any topic,
subscription or service with its label is that proof. The topic of dead letters always is there: it is created before
such resources and deleted after them.
"""

from collections.abc import Mapping
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.gcp.resource import Existing, key_of, kind_of
from deploy.gcp.resources.monitoring import ALERT, DASHBOARD, METRIC, SWEEPS
from deploy.gcp.resources.project import ACCOUNT, account_key, accounts
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import BUCKET, DATABASE, SECRET, database_key
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC
from deploy.terminal.command_line import CommandError
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import LOG_METRICS
from deploy.topology.topology import FURTHER_METRICS

UNLABELLED: Final = frozenset({DATABASE, ACCOUNT, JOB, METRIC})
"""The kinds that have no label of ours. Their names alone do not prove to whom they belong."""

LABELLED: Final = frozenset({SUBSCRIPTION, SERVICE, ALERT, DASHBOARD, TOPIC, SECRET, BUCKET})
"""The kinds whose labels name their deployment. A kind in neither set is shared, or goes with another resource."""

PROOFS: Final = frozenset({TOPIC, SUBSCRIPTION, SERVICE})
"""The kinds whose labels prove that the deployment exists. A secret's does not: `hookchain secrets set` creates secrets
before the first deployment."""


def deployment_resources(target: gcp_names.Target, existing: Mapping[str, Existing]) -> dict[str, Existing]:
    """Return the resources in the project that belong to this deployment.

    Unless a label proves that the deployment exists, those without a label are left out: somebody else may have made
    them.
    """
    unlabelled_keys = {
        *(key_of(JOB, target.name_of(each.name)) for function in FUNCTIONS for each in function.schedules),
        *(key_of(METRIC, target.name_of(each.name)) for each in (*LOG_METRICS, *FURTHER_METRICS.values())),
        key_of(METRIC, target.name_of(SWEEPS)),
        database_key(target),
        key_of(DATABASE, gcp_names.tap_database(target)),
        *(account_key(target, name) for name in accounts()),
    }
    own_keys = unlabelled_keys if is_proven(target, existing) else set()
    return {key: each for key, each in existing.items() if each.ours and (kind_of(key) in LABELLED or key in own_keys)}


def is_proven(target: gcp_names.Target, existing: Mapping[str, Existing]) -> bool:
    """Return whether the deployment certainly exists: whether a resource of PROOFS has its label."""
    return any(found.owner == target.bundle and kind_of(key) in PROOFS for key, found in existing.items())


def reject_resources_of_others(target: gcp_names.Target, existing: Mapping[str, Existing]) -> None:
    """Raise CommandError if a resource of the plan belongs to another deployment, or to somebody else."""
    for key, found in existing.items():
        # Prefixes `shop-` and `shop-eu-` give secrets `eu-key` and `key` one name.
        if found.owner not in ("", target.bundle):
            what = f"{key} has the label of the deployment {found.owner!r}"
            raise CommandError(f"nothing was changed: {what}. Use another name for it, or another prefix")
    if is_proven(target, existing):
        return
    if others := sorted(key for key, found in existing.items() if kind_of(key) in {*UNLABELLED, SERVICE}):
        what = f"{others[0]} exists, but no deployment {target.bundle!r} to which it could belong"
        raise CommandError(f"nothing was changed: {what}. Use another prefix (make: PREFIX=…)")


def reject_other_region(target: gcp_names.Target, existing: Mapping[str, Existing]) -> None:
    """Raise CommandError for another region: the functions and the sweep of the first one would stay behind."""
    found = existing.get(database_key(target))
    if found and "-" in found.region and found.region != target.region:  # without a dash, as `eur3`, it is many regions
        where = f"the deployment {target.bundle!r} is in {found.region}, where its database is"
        raise CommandError(f"nothing was changed: {where}. Use --region {found.region} (make: REGION=…)")
