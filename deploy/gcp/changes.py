"""The difference between what a configuration asks for and what is there."""

from collections.abc import Mapping, Sequence

from deploy.commands.frame.ending import CannotTell
from deploy.gcp.gcloud import Runner
from deploy.gcp.live import read_live
from deploy.gcp.marks import refuse_others
from deploy.gcp.plan import Action, plan, superfluous
from deploy.gcp.resource import Existing, Resource
from deploy.gcp.resources.access import account_member
from deploy.gcp.resources.accounts import ACCOUNTS
from deploy.gcp.resources.stores import database_key
from deploy.gcp.target import Target


def changes(runner: Runner, target: Target, resources: Sequence[Resource]) -> tuple[Action, ...]:
    """Raises GcloudFault, GcloudMissing and CannotTell."""
    live = read_live(runner, target, resources)
    refuse_others(target, live.existing)
    refuse_elsewhere(target, live.existing)
    members = {account_member(target, account) for account in ACCOUNTS}
    return (*plan(resources, live.existing), *superfluous(live.grants, resources, members, target))


def refuse_elsewhere(target: Target, existing: Mapping[str, Existing]) -> None:
    """A bundle is in one region: in another, functions and a sweep would stay behind. Raises CannotTell."""
    found = existing.get(database_key(target))
    if found and "-" in found.region and found.region != target.region:  # `eur3` is many regions
        where = f"bundle {target.bundle!r} is in {found.region}, where its database is"
        raise CannotTell(f"nothing was changed: {where}: say --region {found.region} (make: REGION=…)")
