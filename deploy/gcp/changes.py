"""The changes from what exists to what a configuration needs, and the checks that the resources belong to it.

A database called `shop`, or an account `shop-notify`, may have existed before a deployment with the prefix `shop-`. The
topic of dead letters, which has a label, is created before such resources and deleted after them: it proves that they
belong to the deployment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from deploy.gcp.deletion import ORDER, deletion
from deploy.gcp.iam_bindings import GRANT, account_member
from deploy.gcp.live import Live, read_live
from deploy.gcp.plan import Action, fixed_differences, plan, superfluous_resources
from deploy.gcp.resource import Existing, Resource, key_of
from deploy.gcp.resources.log_metrics import METRIC
from deploy.gcp.resources.project import ACCOUNT, accounts
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import DATABASE, database_key
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC
from deploy.google.gcloud import Runner
from deploy.google.target import Target
from deploy.terminal.command_line import CommandError

EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})


def changes(runner: Runner, target: Target, resources: Sequence[Resource]) -> tuple[Action, ...]:
    """Return the actions of a deployment. Raises GcloudFault, GcloudMissing and CommandError."""
    live = read_live(runner, target, resources)
    refuse_others(target, live.existing)
    refuse_elsewhere(target, live.existing)
    refuse_fixed(resources, live.existing)
    members = {account_member(target, account) for account in accounts()}
    actions = (*plan(resources, live.existing), *superfluous_resources(live.grants, resources, members, target))
    actions = (*actions, *closing_steps(live, resources, actions, target))
    return (*actions, *superfluous_functions(live, actions, target))


def superfluous_functions(live: Live, actions: Sequence[Action], target: Target) -> Iterator[Action]:
    """Yield actions that delete the functions which the configuration does not have any more, after everything else.

    What they have stored stays, and so do their secrets.
    """
    if not is_marked(target, live.existing):
        return
    before = tuple(key for action in actions for key in action.settles)
    for key, found in sorted(live.unneeded.items(), key=lambda each: ORDER.index(_kind(each[0]))):
        why = "the configuration does not have it any more; what it has stored is kept"
        commands = deletion(target, key, found)
        yield Action("delete", _kind(key), key.partition(" ")[2], why, commands, (key,), before)
        before = (*before, key)


def closing_steps(
    live: Live, resources: Sequence[Resource], actions: Sequence[Action], target: Target
) -> tuple[Action, ...]:
    """Return actions that remove access for everybody from the deployment's own resources."""
    own = {each.key for each in resources if not each.is_shared}
    granted = [each for each in live.grants if each.member in EVERYBODY and key_of(each.on, each.name) in own]
    before = tuple(key for action in actions if action.kind == GRANT for key in action.settles)
    why = "it is open to everybody, which is not planned"
    return tuple(
        replace(each, why=why, needs=(*each.needs, *before), differences=(f"{each.name} is not planned",))
        for each in superfluous_resources(granted, resources, EVERYBODY, target)
    )


def refuse_fixed(resources: Sequence[Resource], existing: Mapping[str, Existing]) -> None:
    """Raise CommandError if a setting differs that cannot be changed: deleting the resource may lose messages."""
    for difference in fixed_differences(resources, existing):
        what = f"{difference.setting.resource}: {difference.text}, and Google Cloud cannot change that"
        raise CommandError(f"nothing was changed: {what}. Delete it, if you do not need its data, and deploy again")


def refuse_elsewhere(target: Target, existing: Mapping[str, Existing]) -> None:
    """Raise CommandError for another region: the functions and the sweep of the first one would stay behind."""
    found = existing.get(database_key(target))
    if found and "-" in found.region and found.region != target.region:  # `eur3` is many regions
        where = f"the deployment {target.bundle!r} is in {found.region}, where its database is"
        raise CommandError(f"nothing was changed: {where}. Use --region {found.region} (make: REGION=…)")


UNLABELLED: Final = frozenset({DATABASE, ACCOUNT, JOB, METRIC})
_MARKED: Final = frozenset({TOPIC, SUBSCRIPTION, SERVICE})


def is_marked(target: Target, things: Mapping[str, Existing]) -> bool:
    """Return whether a resource exists that certainly belongs to the deployment."""
    return any(found.owner == target.bundle and _kind(key) in _MARKED for key, found in things.items())


def refuse_others(target: Target, existing: Mapping[str, Existing]) -> None:
    """Raise CommandError if a needed resource belongs to another deployment, or to somebody else."""
    for key, found in existing.items():
        # Prefixes `shop-` and `shop-eu-` give secrets `eu-key` and `key` one name.
        if found.owner not in ("", target.bundle):
            what = f"{key} has the label of the deployment {found.owner!r}"
            raise CommandError(f"nothing was changed: {what}. Use another name for it, or another prefix")
    if is_marked(target, existing):
        return
    if others := sorted(key for key, found in existing.items() if _kind(key) in {*UNLABELLED, SERVICE}):
        what = f"{others[0]} exists, but no deployment {target.bundle!r} to which it could belong"
        raise CommandError(f"nothing was changed: {what}. Use another prefix (make: PREFIX=…)")


def _kind(key: str) -> str:
    return key.partition(" ")[0]
