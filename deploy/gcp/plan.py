"""The plan of a deployment or of its removal: actions that turn what exists into what is wanted, as data.

`changes` plans a deployment and `removal` its end. `wanted` are resources as the deployment plans them; `existing` are
those that Google Cloud has, by key. A deployment first creates and updates what it wants. Then it removes what it does
not want any more: bindings, access for everybody, and resources that can be made again, such as functions, topics and
accounts. What holds data, such as a secret, stays until `removal`.

A label proves to whom a resource belongs, but some kinds have none: a database called `shop`, or an account
`shop-notify`, may have existed before a deployment with the prefix `shop-`. So a resource without a label belongs to
the deployment only if it has the deployment's name and another resource proves that the deployment exists. Any topic,
subscription or service with its label is that proof. The topic of dead letters always is there: it is created before
such resources and deleted after them.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Literal

from deploy.cloud_access import gcp_names
from deploy.cloud_access.gcp import Runner
from deploy.gcp.drift import Difference, content_with_theirs, differences, settings_of
from deploy.gcp.iam_bindings import account_member, gcloud_name, remove_binding
from deploy.gcp.live import Live, read_live
from deploy.gcp.resource import ADDRESS, GRANT, Command, Existing, File, Grant, Resource, key_of, kind_and_name, kind_of
from deploy.gcp.resources.monitoring import ALERT, DASHBOARD, METRIC, SWEEPS
from deploy.gcp.resources.project import ACCOUNT, API, account_key, accounts
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import BUCKET, DATABASE, SECRET, database_key
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC, subscription_key, topic_key
from deploy.terminal.command_line import CommandError
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import LOG_METRICS
from deploy.topology.topology import FURTHER_METRICS
from shared.ports import DEAD_LETTERS

NOTHING: Final[Mapping[str, Existing]] = {}
"""The existing resources of a plan from the beginning."""

ORDER: Final = (JOB, SUBSCRIPTION, SERVICE, ALERT, METRIC, DASHBOARD, GRANT, ACCOUNT, SECRET, BUCKET, DATABASE, TOPIC)
"""The order of deletion. Topics are last: their labels prove that the rest belongs to the deployment."""

UNLABELLED: Final = frozenset({DATABASE, ACCOUNT, JOB, METRIC})
"""The kinds that have no label of ours. Their names alone do not prove to whom they belong."""

LABELLED: Final = frozenset({SUBSCRIPTION, SERVICE, ALERT, DASHBOARD, TOPIC, SECRET, BUCKET})
"""The kinds whose labels name their deployment. A kind in neither set is shared, or goes with another resource."""

PROOFS: Final = frozenset({TOPIC, SUBSCRIPTION, SERVICE})
"""The kinds whose labels prove that the deployment exists. A secret's does not: `hookchain secrets set` creates secrets
before the first deployment."""

KINDS_WITH_DATA: Final = frozenset({SECRET, BUCKET, DATABASE})
"""The kinds that a removal leaves unless it removes everything."""

EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})
"""The members of a binding that gives a right to everybody."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan.

    why          the reason, for the comment in a script
    commands     run in order, and can all run again after a failure
    settles      the keys of the resources that are as planned afterwards
    needs        the keys of those that must be so before; one that no action settles is so already
    files        are written before the commands, which read them
    differences  the settings that differ from the plan, as texts
    """

    verb: Literal["create", "update", "delete"]
    kind: str
    name: str
    why: str
    commands: tuple[Command, ...]
    settles: tuple[str, ...]
    needs: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """A deletion. `remaining` are the keys of resources that stay, such as secrets and dead letters."""

    actions: tuple[Action, ...]
    remaining: tuple[str, ...]


def changes(runner: Runner, target: gcp_names.Target, wanted: Sequence[Resource]) -> tuple[Action, ...]:
    """Return the actions of a deployment, by what exists; none if everything is as planned.

    Raises GcloudFault and GcloudMissing, and CommandError if a resource belongs to somebody else or cannot be
    changed as planned.
    """
    live = read_live(runner, target, wanted)
    reject_resources_of_others(target, live.existing)
    reject_other_region(target, live.existing)
    reject_fixed_differences(wanted, live.existing)
    actions = plan(wanted, live.existing)
    actions += unneeded_binding_removals(live.grants, wanted, target)
    actions += public_access_removals(live.grants, wanted, actions, target)
    return (*actions, *function_deletions(live, actions, target))


def removal(
    target: gcp_names.Target,
    existing: Mapping[str, Existing],
    remaining: Mapping[str, Existing],
    grants: Collection[Grant],
) -> Removal:
    """Return the actions of a removal, in ORDER. `existing` are the deployment's resources, of which `remaining` stay.

    `grants` are the IAM bindings of the project and of `remaining`: bindings on other resources go with these.
    """
    commands_by_key = {
        **{key: deletion(target, key, each) for key, each in existing.items() if key not in remaining},
        **{grant.key: (remove_binding(grant, target),) for grant in _own_grants(grants, target)},
    }
    actions: list[Action] = []
    for kind in ORDER:
        former_kinds = _settled(actions)
        for key in sorted(key for key in commands_by_key if kind_of(key) == kind):
            # Bindings are deleted one by one: two changes of the same policy would undo each other.
            needs = _settled(actions) if kind == GRANT else former_kinds
            actions.append(_deletion_of(key, why="is to go", commands=commands_by_key[key], needs=needs))
    return Removal(tuple(actions), tuple(sorted(remaining)))


def remaining_resources(
    target: gcp_names.Target, existing: Mapping[str, Existing], everything: bool
) -> dict[str, Existing]:
    """Return the deployment's resources that stay because they hold data; none if the removal is of everything."""
    if everything:
        return {}
    holding_subscription = subscription_key(target, gcp_names.holding_subscription(DEAD_LETTERS))
    dead_letters = {topic_key(target, DEAD_LETTERS), holding_subscription}
    return {key: each for key, each in existing.items() if kind_of(key) in KINDS_WITH_DATA or key in dead_letters}


def plan(wanted: Sequence[Resource], existing: Mapping[str, Existing]) -> tuple[Action, ...]:
    """Return the actions. `existing` is by key: NOTHING for a plan from the beginning. `wanted` is in order."""
    return tuple(_apis_at_once(action for each in wanted if (action := _action(each, existing.get(each.key)))))


def fixed_differences(wanted: Iterable[Resource], existing: Mapping[str, Existing]) -> tuple[Difference, ...]:
    """Return the differences that no update can change. A setting that gcloud does not report stops no deployment."""
    found = ((each, existing[each.key]) for each in wanted if each.key in existing)
    return tuple(each for pair in found for each in _different(*pair) if each.setting.fixed and each.found is not None)


def reject_fixed_differences(wanted: Sequence[Resource], existing: Mapping[str, Existing]) -> None:
    """Raise CommandError if a setting differs that cannot be changed: deleting the resource may lose messages."""
    for difference in fixed_differences(wanted, existing):
        what = f"{difference.setting.resource}: {difference.text}, and Google Cloud cannot change that"
        raise CommandError(f"nothing was changed: {what}. Delete it, if you do not need its data, and deploy again")


def _action(resource: Resource, found: Existing | None) -> Action | None:
    """Return the action that makes the resource as planned; None if it is so already. `found` is None without one."""
    made = Action(
        verb="create",
        kind=resource.kind,
        name=resource.name,
        why=resource.why,
        commands=resource.create,
        settles=(resource.key,),
        needs=resource.needs,
        files=resource.files,
    )
    if found is None:
        return made
    different = tuple(each.text for each in _different(resource, found) if not each.setting.fixed)
    if not resource.update or (found.digest == resource.digest and not different):
        return None
    becomes_ours = "" if found.ours or resource.is_shared else "; it exists without our label, which is added"
    return replace(
        made,
        verb="update",
        why="; ".join((f"{resource.why}{becomes_ours}", *different)),
        commands=tuple(_addressed(command, found.address) for command in resource.update),
        needs=(*resource.needs, *resource.update_needs),
        files=_files(resource, found),
        differences=different,
    )


def _different(resource: Resource, found: Existing) -> tuple[Difference, ...]:
    """Return how the settings differ; nothing if no list of gcloud describes the resource."""
    return () if found.description is None else differences(settings_of(resource), found.description)


def _files(resource: Resource, found: Existing) -> tuple[File, ...]:
    """Return the files. gcloud replaces a policy or a lifecycle as a whole, so they include what others have set."""
    if found.description is None or not (resource.kind == ALERT or resource.is_shared):
        return resource.files
    content = json.dumps(content_with_theirs(resource, found.description), indent=2) + "\n"
    return tuple(replace(file, content=content) for file in resource.files)


def _addressed(command: Command, address: str) -> Command:
    """Return the command with Google's own name of the resource in place of ADDRESS."""
    return replace(command, arguments=tuple(address if text == ADDRESS else text for text in command.arguments))


def _apis_at_once(actions: Iterable[Action]) -> Iterator[Action]:
    """Enable all APIs with one command: each call of `gcloud services enable` takes long."""
    for is_api, group in groupby(actions, key=lambda action: action.kind == API):
        if not is_api:
            yield from group
            continue
        apis = tuple(action.name for action in group)
        command = Command(("services", "enable", *apis))
        settles = tuple(key_of(API, name) for name in apis)
        yield Action("create", API, " ".join(apis), "used by the deployment", (command,), settles)


def unneeded_binding_removals(
    grants: Iterable[Grant], wanted: Iterable[Resource], target: gcp_names.Target
) -> tuple[Action, ...]:
    """Return actions that remove the unwanted bindings of the deployment's accounts, after everything else."""
    wanted_keys = tuple(each.key for each in wanted)
    unneeded = [grant for grant in _own_grants(grants, target) if grant.key not in wanted_keys]
    return _binding_removals(unneeded, target, why="it is no longer needed", needs=wanted_keys)


def public_access_removals(
    grants: Iterable[Grant], wanted: Sequence[Resource], actions: Iterable[Action], target: gcp_names.Target
) -> tuple[Action, ...]:
    """Return actions that remove access for everybody from the deployment's own resources, after its own bindings.

    `actions` are the other ones of the deployment.
    """
    wanted_keys = tuple(each.key for each in wanted)
    own_keys = {each.key for each in wanted if not each.is_shared}
    public = [
        grant
        for grant in grants
        if grant.member in EVERYBODY and grant.key not in wanted_keys and key_of(grant.on, grant.name) in own_keys
    ]
    needs = (*wanted_keys, *_settled(each for each in actions if each.kind == GRANT))
    why = "it is open to everybody, which is not planned"
    removals = _binding_removals(public, target, why=why, needs=needs)
    return tuple(replace(each, differences=(f"{each.name} is not planned",)) for each in removals)


def _binding_removals(
    unwanted: Iterable[Grant], target: gcp_names.Target, *, why: str, needs: tuple[str, ...]
) -> tuple[Action, ...]:
    """Return actions that remove the bindings one by one: two changes of a policy at once would undo each other."""
    actions: list[Action] = []
    for grant in sorted(unwanted, key=lambda grant: grant.key):
        commands = (remove_binding(grant, target),)
        actions.append(_deletion_of(grant.key, why=why, commands=commands, needs=(*needs, *_settled(actions))))
    return tuple(actions)


def _own_grants(grants: Iterable[Grant], target: gcp_names.Target) -> list[Grant]:
    """Return the bindings of the deployment's accounts."""
    members = {account_member(target, account) for account in accounts()}
    return [grant for grant in grants if grant.member in members]


def _settled(actions: Iterable[Action]) -> tuple[str, ...]:
    return tuple(key for action in actions for key in action.settles)


def function_deletions(live: Live, actions: Sequence[Action], target: gcp_names.Target) -> Iterator[Action]:
    """Yield actions that delete the functions which the configuration does not have any more, after everything else.

    What they have stored stays, and so do their secrets.
    """
    if not is_proven(target, live.existing):
        return
    needs = _settled(actions)
    for key, found in sorted(live.unneeded.items(), key=lambda each: ORDER.index(kind_of(each[0]))):
        why = "the configuration does not have it any more; what it has stored is kept"
        yield _deletion_of(key, why=why, commands=deletion(target, key, found), needs=needs)
        needs = (*needs, key)


def _deletion_of(key: str, *, why: str, commands: tuple[Command, ...], needs: tuple[str, ...]) -> Action:
    kind, name = kind_and_name(key)
    return Action("delete", kind, name, why, commands, settles=(key,), needs=needs)


DELETIONS: Final[Mapping[str, tuple[str, ...]]] = {
    JOB: ("scheduler jobs delete {name} --location={region}",),
    SUBSCRIPTION: ("pubsub subscriptions delete {name}",),
    SERVICE: ("run services delete {name} --region={region}",),
    ALERT: ("monitoring policies delete {address}",),
    METRIC: ("logging metrics delete {name}",),
    DASHBOARD: ("monitoring dashboards delete {name}",),
    TOPIC: ("pubsub topics delete {name}",),
    ACCOUNT: ("iam service-accounts delete {name}",),
    SECRET: ("secrets delete {name}",),
    BUCKET: ("storage rm --recursive {name}",),
    DATABASE: (
        "firestore databases update --database={name} --no-delete-protection",
        "firestore databases delete --database={name}",
    ),
}
"""By kind: the commands that delete a resource, after the word gcloud."""


def deletion(target: gcp_names.Target, key: str, found: Existing) -> tuple[Command, ...]:
    """Return the commands that delete the resource with this key. Raises KeyError for a kind that none deletes."""
    kind, name = kind_and_name(key)
    values = {"name": gcloud_name(kind, name, target), "region": target.region, "address": found.address}
    return tuple(Command(tuple(word.format(**values) for word in line.split())) for line in DELETIONS[kind])


# The resources that belong to the deployment


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
