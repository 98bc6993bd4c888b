"""The difference between what a configuration asks for and what is there."""

from collections.abc import Sequence

from deploy.gcp.gcloud import Runner
from deploy.gcp.live import read_live
from deploy.gcp.plan import Action, plan, superfluous
from deploy.gcp.resource import Resource
from deploy.gcp.resources.access import account_member
from deploy.gcp.resources.accounts import ACCOUNTS
from deploy.gcp.target import Target


def changes(runner: Runner, target: Target, resources: Sequence[Resource]) -> tuple[Action, ...]:
    """Raises GcloudFault and GcloudMissing."""
    live = read_live(runner, target, resources)
    members = {account_member(target, account) for account in ACCOUNTS}
    return (*plan(resources, live.existing), *superfluous(live.grants, resources, members, target))
