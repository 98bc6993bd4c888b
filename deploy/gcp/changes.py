"""The difference between what a configuration asks for and what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from deploy.gcp.iam_bindings import GRANT, account_member
from deploy.gcp.live import Live, read_live
from deploy.gcp.plan import Action, fixed_differences, plan, superfluous
from deploy.gcp.resource import Existing, Resource, key_of
from deploy.gcp.resources.monitoring import METRIC
from deploy.gcp.resources.project import ACCOUNT, ACCOUNTS
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import DATABASE, database_key
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC
from deploy.google.gcloud import Runner
from deploy.google.target import Target
from deploy.terminal.command_error import CannotTell

EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})


def changes(runner: Runner, target: Target, resources: Sequence[Resource]) -> tuple[Action, ...]:
    """Raises GcloudFault, GcloudMissing and CannotTell."""
    live = read_live(runner, target, resources)
    refuse_others(target, live.existing)
    refuse_elsewhere(target, live.existing)
    refuse_fixed(resources, live.existing)
    members = {account_member(target, account) for account in ACCOUNTS}
    actions = (*plan(resources, live.existing), *superfluous(live.grants, resources, members, target))
    return (*actions, *closings(live, resources, actions, target))


def closings(
    live: Live, resources: Sequence[Resource], actions: Sequence[Action], target: Target
) -> tuple[Action, ...]:
    """Take from everybody what somebody opened to everybody, on things that are ours alone."""
    own = {each.key for each in resources if not each.is_shared}
    granted = [each for each in live.grants if each.member in EVERYBODY and key_of(each.on, each.name) in own]
    before = tuple(key for action in actions if action.kind == GRANT for key in action.settles)
    why = "open to everybody, which the plan is not"
    return tuple(
        replace(each, why=why, needs=(*each.needs, *before), differences=(f"{each.name} is not planned",))
        for each in superfluous(granted, resources, EVERYBODY, target)
    )


def refuse_fixed(resources: Sequence[Resource], existing: Mapping[str, Existing]) -> None:
    """Raises CannotTell for what differs and cannot be changed: to remove it may lose messages or events."""
    for difference in fixed_differences(resources, existing):
        what = f"{difference.setting.resource}: {difference.text}, and Google Cloud cannot change that"
        raise CannotTell(f"nothing was changed: {what}. Remove it, if you need nothing that it holds, and deploy again")


def refuse_elsewhere(target: Target, existing: Mapping[str, Existing]) -> None:
    """A bundle is in one region: in another, functions and a sweep would stay behind. Raises CannotTell."""
    found = existing.get(database_key(target))
    if found and "-" in found.region and found.region != target.region:  # `eur3` is many regions
        where = f"bundle {target.bundle!r} is in {found.region}, where its database is"
        raise CannotTell(f"nothing was changed: {where}: say --region {found.region} (make: REGION=…)")


UNLABELLED: Final = frozenset({DATABASE, ACCOUNT, JOB, METRIC})
_MARKED: Final = frozenset({TOPIC, SUBSCRIPTION, SERVICE})


def is_marked(target: Target, things: Mapping[str, Existing]) -> bool:
    """Whether something of it is there for certain."""
    return any(found.owner == target.bundle and _kind(key) in _MARKED for key, found in things.items())


def refuse_others(target: Target, existing: Mapping[str, Existing]) -> None:
    """`existing` are things that the bundle wants. Raises CannotTell for one that is another's."""
    for key, found in existing.items():
        # Prefixes `shop-` and `shop-eu-` give secrets `eu-key` and `key` one name.
        if found.owner not in ("", target.bundle):
            what = f"{key} is of the bundle {found.owner!r}, as its label says"
            raise CannotTell(f"nothing was made: {what}: give it another name, or this bundle another prefix")
    if is_marked(target, existing):
        return
    if others := sorted(key for key, found in existing.items() if _kind(key) in {*UNLABELLED, SERVICE}):
        what = f"{others[0]} is there, and nothing of a bundle {target.bundle!r} that it could belong to"
        raise CannotTell(f"nothing was made: {what}: take another prefix (make: PREFIX=…)")


def _kind(key: str) -> str:
    return key.partition(" ")[0]
