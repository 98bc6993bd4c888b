"""The plan of a deployment or of its removal: actions that turn what exists into what is wanted, as data.

`changes` plans a deployment and `removal` its end. Before anything is planned, the checks reject resources that belong
to somebody else: a database called `shop`, or an account `shop-notify`, may have existed before a deployment with the
prefix `shop-`. The topic of dead letters, which has a label, is created before such resources and deleted after them:
it proves that they belong to the deployment.
"""

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Literal

from deploy.cloud_access import gcp_names
from deploy.cloud_access.gcp import Runner, command_line
from deploy.cloud_access.gcp_names import Target
from deploy.gcp.drift import Difference, differences, retained_content, settings_of
from deploy.gcp.iam_bindings import GRANT, Grant, account_member, gcloud_name, remove_binding
from deploy.gcp.live import Live, read_live
from deploy.gcp.resource import ADDRESS, Command, Existing, File, Resource, key_of
from deploy.gcp.resources.monitoring import ALERT, DASHBOARD, METRIC, SWEEPS, alert_name, dashboard_id
from deploy.gcp.resources.project import ACCOUNT, API, account_key, accounts
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import BUCKET, DATABASE, SECRET, bucket_key, database_key
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC, subscription_key, topic_key
from deploy.terminal.command_line import CommandError
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import ALARMS, LOG_METRICS
from deploy.topology.topology import FURTHER_METRICS
from shared.event import oneline
from shared.ports import DEAD_LETTERS

NOTHING: Final[Mapping[str, Existing]] = {}
"""The existing resources of a plan from the beginning."""

PROJECT_NUMBER: Final = "${PROJECT_NUMBER}"
"""The placeholder for the project's number in a plan that calls no API."""

ORDER: Final = (JOB, SUBSCRIPTION, SERVICE, ALERT, METRIC, DASHBOARD, GRANT, ACCOUNT, SECRET, BUCKET, DATABASE, TOPIC)
"""The order of deletion. Topics are last: their labels prove that the rest belongs to the deployment."""

EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})
"""The members of a binding that gives a right to everybody."""

UNLABELLED: Final = frozenset({DATABASE, ACCOUNT, JOB, METRIC})
"""The kinds that have no label of ours. Their names alone do not prove to whom they belong."""

LABELLED: Final = frozenset({SUBSCRIPTION, SERVICE, ALERT, DASHBOARD, TOPIC, SECRET, BUCKET})
"""The kinds whose labels name their deployment."""

_MARKED: Final = frozenset({TOPIC, SUBSCRIPTION, SERVICE})
"""The kinds whose labels prove that a resource without a label, but with the deployment's name, belongs to it."""

_SAFE_IN_QUOTES: Final = re.compile(r"[^\"`\\!$]*")
"""Text that a shell leaves as it is between double quotes."""


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


def changes(runner: Runner, target: Target, resources: Sequence[Resource]) -> tuple[Action, ...]:
    """Return the actions of a deployment, by what exists; none if everything is as planned.

    The last ones remove what the configuration no longer has. Raises GcloudFault and GcloudMissing, and CommandError if
    a resource belongs to somebody else or cannot be changed as planned.
    """
    live = read_live(runner, target, resources)
    refuse_others(target, live.existing)
    refuse_elsewhere(target, live.existing)
    refuse_fixed(resources, live.existing)
    members = {account_member(target, account) for account in accounts()}
    actions = (*plan(resources, live.existing), *superfluous_resources(live.grants, resources, members, target))
    actions = (*actions, *closing_steps(live, resources, actions, target))
    return (*actions, *superfluous_functions(live, actions, target))


def removal(
    target: Target, things: Mapping[str, Existing], remaining: Mapping[str, Existing], grants: Collection[Grant]
) -> Removal:
    """Return the actions of a removal, in ORDER. `things` are the deployment's resources, of which `remaining` stay.

    `grants` are the IAM bindings of the project and of `remaining`: bindings on other resources go with these.
    """
    members = {account_member(target, account) for account in accounts()}
    found = {
        **{key: deletion(target, key, each) for key, each in things.items() if key not in remaining},
        **{grant.key: (remove_binding(grant, target),) for grant in grants if grant.member in members},
    }
    actions: list[Action] = []
    for kind in ORDER:
        before = tuple(key for action in actions for key in action.settles)
        for key in sorted(key for key in found if _kind(key) == kind):
            # Bindings are deleted one by one: two changes of the same policy would undo each other.
            needs = before if kind != GRANT else tuple(each for action in actions for each in action.settles)
            actions.append(_deletion_of(key, why="is to go", commands=found[key], needs=needs))
    return Removal(tuple(actions), tuple(sorted(remaining)))


def deployment_resources(target: Target, existing: Mapping[str, Existing]) -> dict[str, Existing]:
    """Return the resources in the project that belong to this deployment.

    Without a resource of a kind in _MARKED, those without a label are left out: somebody else may have made them.
    """
    own = {
        *(key_of(JOB, target.name_of(each.name)) for function in FUNCTIONS for each in function.schedules),
        key_of(DASHBOARD, dashboard_id(target)),
        *(key_of(METRIC, target.name_of(each.name)) for each in (*LOG_METRICS, *FURTHER_METRICS.values())),
        key_of(METRIC, target.name_of(SWEEPS)),
        database_key(target),
        key_of(DATABASE, gcp_names.tap_database(target)),
        bucket_key(target),
        *(key_of(ALERT, alert_name(target, alarm.name)) for alarm in ALARMS),
        *(account_key(target, name) for name in accounts()),
    }
    found = {key: each for key, each in existing.items() if _is_own(key, each, own)}
    if is_marked(target, existing):
        return found
    return {key: each for key, each in found.items() if _kind(key) not in UNLABELLED}


def staying(target: Target, things: Mapping[str, Existing], everything: bool) -> dict[str, Existing]:
    """Return the deployment's resources that are not deleted; none if `everything` is."""
    held = subscription_key(target, gcp_names.holding_subscription(DEAD_LETTERS))
    dead_letters = {topic_key(target, DEAD_LETTERS), held}
    keeping = {SECRET, BUCKET, DATABASE}
    found = {key: each for key, each in things.items() if _kind(key) in keeping or key in dead_letters}
    return {} if everything else found


def plan(wanted: Sequence[Resource], existing: Mapping[str, Existing]) -> tuple[Action, ...]:
    """Return the actions. `existing` is by key: NOTHING for a plan from the beginning. `wanted` is in order."""
    return tuple(_apis_at_once(action for each in wanted if (action := _action(each, existing.get(each.key)))))


def fixed_differences(wanted: Iterable[Resource], existing: Mapping[str, Existing]) -> tuple[Difference, ...]:
    """Return the differences that no update can change. A setting that gcloud does not report stops no deployment."""
    found = ((each, existing[each.key]) for each in wanted if each.key in existing)
    return tuple(each for pair in found for each in _different(*pair) if each.setting.fixed and each.found is not None)


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
    content = json.dumps(retained_content(resource, found.description), indent=2) + "\n"
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


def superfluous_resources(
    granted: Collection[Grant], wanted: Iterable[Resource], own_members: Collection[str], target: Target
) -> tuple[Action, ...]:
    """Return actions that remove bindings of `own_members` which are not wanted, one by one, after everything else.

    Two changes of the same policy at once would undo each other.
    """
    needed = {resource.key for resource in wanted}
    found = [grant for grant in granted if grant.member in own_members and grant.key not in needed]
    before = tuple(needed)
    actions: list[Action] = []
    for grant in sorted(found, key=lambda grant: grant.key):
        commands = (remove_binding(grant, target),)
        actions.append(_deletion_of(grant.key, why="it is no longer needed", commands=commands, needs=before))
        before = (*before, grant.key)
    return tuple(actions)


def _deletion_of(key: str, *, why: str, commands: tuple[Command, ...], needs: tuple[str, ...]) -> Action:
    kind, _, name = key.partition(" ")  # as `key_of` makes it
    return Action("delete", kind, name, why, commands, settles=(key,), needs=needs)


def script(actions: Sequence[Action], target: Target) -> Iterator[str]:
    """Yield the lines of a shell script that does what the plan does, each command with its reason."""
    if any(PROJECT_NUMBER in text for action in actions for each in action.commands for text in each.arguments):
        asking = ("projects", "describe", target.project, "--format=value(projectNumber)")
        yield f"PROJECT_NUMBER=$({shlex.join(command_line(asking, target.project))})"
    for number, action in enumerate(actions, 1):
        yield ""
        yield oneline(f"# {number} of {len(actions)}: {action.verb} {action.kind} {action.name}: {action.why}")
        for command in action.commands:
            yield shell_line(command, target)


def shell_line(command: Command, target: Target) -> str:
    """Return the command as a line for a shell. A secret's value is never part of it."""
    line = " ".join(map(_quoted, command_line(command.arguments, target.project)))
    if command.secret:
        # The value is read from standard input, so that neither a shell's history nor a list of processes shows it.
        return f"{line}  # type the value of {command.secret}, then Ctrl-D"
    return line


def _quoted(text: str) -> str:
    """Return the argument quoted for a shell, which is still to replace PROJECT_NUMBER in it."""
    if PROJECT_NUMBER in text and all(map(_SAFE_IN_QUOTES.fullmatch, text.split(PROJECT_NUMBER))):
        return f'"{text}"'
    return shlex.quote(text)


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


def deletion(target: Target, key: str, found: Existing) -> tuple[Command, ...]:
    """Return the commands that delete the resource with this key. Raises KeyError for a kind that none deletes."""
    kind, _, name = key.partition(" ")
    values = {"name": gcloud_name(kind, name, target), "region": target.region, "address": found.address}
    return tuple(Command(tuple(word.format(**values) for word in line.split())) for line in DELETIONS[kind])


def superfluous_functions(live: Live, actions: Sequence[Action], target: Target) -> Iterator[Action]:
    """Yield actions that delete the functions which the configuration does not have any more, after everything else.

    What they have stored stays, and so do their secrets.
    """
    if not is_marked(target, live.existing):
        return
    before = tuple(key for action in actions for key in action.settles)
    for key, found in sorted(live.unneeded.items(), key=lambda each: ORDER.index(_kind(each[0]))):
        why = "the configuration does not have it any more; what it has stored is kept"
        yield _deletion_of(key, why=why, commands=deletion(target, key, found), needs=before)
        before = (*before, key)


def closing_steps(
    live: Live, resources: Sequence[Resource], actions: Sequence[Action], target: Target
) -> tuple[Action, ...]:
    """Return actions that remove access for everybody from the deployment's own resources, after its own bindings."""
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
    if found and "-" in found.region and found.region != target.region:  # without a dash, as `eur3`, it is many regions
        where = f"the deployment {target.bundle!r} is in {found.region}, where its database is"
        raise CommandError(f"nothing was changed: {where}. Use --region {found.region} (make: REGION=…)")


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
    """Return the kind of a resource by its key, which `key_of` makes."""
    return key.partition(" ")[0]


def _is_own(key: str, found: Existing, own: Collection[str]) -> bool:
    """Return whether the resource is of this deployment: by its label, or if it can have none, by its name in `own`."""
    kind = _kind(key)
    return kind in ORDER and found.ours and (kind in LABELLED or key in own)
