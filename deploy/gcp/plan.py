"""The plan: the actions from what exists to what is wanted, as data and as a shell script."""

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Literal

from deploy.gcp.drift import Difference, differences
from deploy.gcp.iam_bindings import GRANT, Grant, remove_binding
from deploy.gcp.live_settings import retained_content, settings_of
from deploy.gcp.resource import ADDRESS, Command, Existing, File, Resource, key_of
from deploy.gcp.resources.alerts import ALERT
from deploy.gcp.resources.project import API
from deploy.google.gcloud import command_line
from deploy.google.target import Target
from shared.event import oneline

NOTHING: Final[Mapping[str, Existing]] = {}


@dataclass(frozen=True, slots=True)
class Action:
    """An action. `commands` run in order, and can all run again after a failure. `settles` are the keys of the
    resources that are as planned afterwards, `needs` those that must be so before. `differences` are the settings that
    differ from the plan."""

    verb: Literal["create", "update", "delete"]
    kind: str
    name: str
    why: str
    commands: tuple[Command, ...]
    settles: tuple[str, ...]
    needs: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    differences: tuple[str, ...] = ()


def plan(wanted: Sequence[Resource], existing: Mapping[str, Existing]) -> tuple[Action, ...]:
    """Return the actions. `existing` is by key: NOTHING for a plan from the beginning. `wanted` is in order."""
    return tuple(_apis_at_once(action for each in wanted if (action := _action(each, existing.get(each.key)))))


def _action(resource: Resource, found: Existing | None) -> Action | None:
    made = Action(
        "create",
        resource.kind,
        resource.name,
        resource.why,
        resource.create,
        (resource.key,),
        resource.needs,
        resource.files,
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


def fixed_differences(wanted: Iterable[Resource], existing: Mapping[str, Existing]) -> tuple[Difference, ...]:
    """Return the differences that no update can change. A setting that gcloud does not report stops no deployment."""
    found = ((each, existing[each.key]) for each in wanted if each.key in existing)
    return tuple(each for pair in found for each in _different(*pair) if each.setting.fixed and each.found is not None)


def _different(resource: Resource, found: Existing) -> tuple[Difference, ...]:
    return () if found.description is None else differences(settings_of(resource), found.description)


def _files(resource: Resource, found: Existing) -> tuple[File, ...]:
    """Return the files. gcloud replaces a policy or a lifecycle as a whole, so they include what others have set."""
    if found.description is None or not (resource.kind == ALERT or resource.is_shared):
        return resource.files
    content = json.dumps(retained_content(resource, found.description), indent=2) + "\n"
    return tuple(replace(file, content=content) for file in resource.files)


def _addressed(command: Command, address: str) -> Command:
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
    """Return actions that remove permissions which our accounts no longer need, one by one, after everything else."""
    needed = {resource.key for resource in wanted}
    found = [grant for grant in granted if grant.member in own_members and grant.key not in needed]
    before = tuple(needed)
    actions: list[Action] = []
    for grant in sorted(found, key=lambda grant: grant.key):
        why, command = "it is no longer needed", remove_binding(grant, target)
        actions.append(Action("delete", GRANT, grant.text, why, (command,), (grant.key,), before))
        before = (*before, grant.key)
    return tuple(actions)


PROJECT_NUMBER: Final = "${PROJECT_NUMBER}"
"""The placeholder for the project's number in a plan that calls no API."""
_SAFE_IN_QUOTES: Final = re.compile(r"[^\"`\\!$]*")


def script(actions: Sequence[Action], target: Target) -> Iterator[str]:
    if any(PROJECT_NUMBER in text for action in actions for each in action.commands for text in each.arguments):
        asking = ("projects", "describe", target.project, "--format=value(projectNumber)")
        yield f"PROJECT_NUMBER=$({shlex.join(command_line(asking, target.project))})"
    for number, action in enumerate(actions, 1):
        yield ""
        yield oneline(f"# {number} of {len(actions)}: {action.verb} {action.kind} {action.name}: {action.why}")
        for command in action.commands:
            yield shell_line(command, target)


def shell_line(command: Command, target: Target) -> str:
    line = " ".join(map(_quoted, command_line(command.arguments, target.project)))
    if command.secret:
        # The value is read from standard input, so that neither a shell's history nor a list of processes shows it.
        return f"{line}  # type the value of {command.secret}, then Ctrl-D"
    return line


def _quoted(text: str) -> str:
    if PROJECT_NUMBER in text and all(map(_SAFE_IN_QUOTES.fullmatch, text.split(PROJECT_NUMBER))):
        return f'"{text}"'
    return shlex.quote(text)
