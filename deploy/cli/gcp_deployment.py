"""`hookchain plan-gcp`, `deploy-gcp`, `rollback-gcp` and `destroy-gcp`: a deployment on Google Cloud, to its end.

Each plans actions from the graph of resources and from what is deployed, and runs them by gcloud. A second run of a
deployment continues where the first stopped. A rollback returns to the revisions before those that serve.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Final

from deploy.cli import deployed_hooks, deployment_command
from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.cloud_access.gcp import Gcloud, GcloudFault, Runner, configured_project, read_json, shown, target_of
from deploy.cloud_access.gcp_names import DEFAULT_REGION, Target, add_target_options, find_target
from deploy.config import checkout, compiler
from deploy.config.configured import add_configuration, configured_at, environ_of
from deploy.gcp import apply, deployment as gcp_deployment, live, organization_policies, plan as gcp_plan
from deploy.gcp.graph import Deployment, graph
from deploy.gcp.limits import measured
from deploy.gcp.progress_lines import ProgressLines
from deploy.gcp.resource import GRANT, kind_and_name
from deploy.gcp.resources.stores import database_key
from deploy.secrets.values import first_values
from deploy.terminal.command_line import CommandError, Questions, questions
from deploy.terminal.output import count_of, stdout_screen
from deploy.topology import functions
from deploy.topology.limits import require_limits
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, value_at
from shared.times import unix_seconds


def plan_gcp(arguments: list[str]) -> int:
    command = parser("plan-gcp")
    add_target_options(command)
    add_configuration(command)
    command.add_argument("--live", action="store_true", help="read what is deployed and print the difference only")
    deployment_command.add_out(command, "build", "write bundles here")
    options = command.parse_args(arguments)
    return run_command("plan-gcp", lambda: _run_plan(options))


def _run_plan(options: argparse.Namespace) -> int:
    """Write the bundles, and print the plan as a script; with --live only what differs from what is deployed.

    Nothing is changed on Google Cloud. Return DONE. Raises CommandError, GcloudFault and ConfigFaults.
    """
    environ = environ_of(options)
    config = checkout.config_to_deploy(options.config, environ)
    print(f"# {deployment_command.configuration_line(config)}", flush=True)
    deployment_command.warn_about_address(config)
    target = target_of(options, environ)
    runner = Gcloud(target.project)
    number = live.project_number(runner, target) if options.live else apply.PROJECT_NUMBER
    if options.live:
        organization_policies.refuse_forbidden(target, runner)
    deployment = gcp_deployment.prepare_deployment(target, number, config, environ, options.out)
    deployment_command.print_warnings(gcp_deployment.warnings(deployment.slices, environ))
    resources = graph(deployment)
    require_limits(measured(resources, deployment.topology))
    actions = (
        gcp_plan.changes(runner, target, resources) if options.live else gcp_plan.plan(resources, gcp_plan.NOTHING)
    )
    _write_files(actions)
    if not actions:
        print(deployment_command.UP_TO_DATE)
        return DONE
    what = "Changes" if options.live else "Everything that is created"
    print(f"# {what} in project {target.project}, region {target.region}: {count_of(len(actions), 'step')}")
    print("".join(f"# {line}\n" for line in deployment_command.token_lines(config, environ)), end="")
    print("\n".join(apply.script(actions, target)))
    return DONE


def _write_files(actions: tuple[gcp_plan.Action, ...]) -> None:
    """Write the files that the printed lines read."""
    for file in (file for action in actions for file in action.files):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.content, encoding="utf-8")


def deploy_gcp(arguments: list[str]) -> int:
    command = parser("deploy-gcp")
    add_target_options(command)
    add_configuration(command, creates_env_file=True)
    deployment_command.add_out(command, "build", "write bundles here")
    options = command.parse_args(arguments)
    return run_command("deploy-gcp", lambda: _run_deploy(options, questions()))


def _run_deploy(options: argparse.Namespace, ask: Questions) -> int:
    """Deploy the configuration once its tests pass, and print what comes next. Return NOT_DONE if a step fails.

    What can be verified is verified before the first change of the deployment. To read the organization's policies, the
    API for them may be enabled first.
    Raises CommandError, GcloudFault and ConfigFaults.
    """
    environ = environ_of(options)
    target = _target(options, environ, ask)
    runner = Gcloud(target.project)
    print(f"Project {target.project}, region {target.region}, names begin with {target.prefix}", flush=True)
    config = deployment_command.tested_config(options, environ, ask)
    number = live.project_number(runner, target)
    organization_policies.refuse_forbidden(target, runner, may_enable=True)
    deployment = gcp_deployment.prepare_deployment(target, number, config, environ, options.out)
    deployment_command.print_warnings(gcp_deployment.warnings(deployment.slices, environ))
    resources = graph(deployment)
    require_limits(measured(resources, deployment.topology))
    print("Reading what is deployed", flush=True)
    actions = gcp_plan.changes(runner, target, resources)
    for line in changed_settings(actions):
        print(line, flush=True)
    settings = functions.MAIL_VARIABLES if config else ("EMAIL_ADDRESS", *functions.MAIL_VARIABLES)
    dotenv_settings = gcp_deployment.DotenvSettings(options.env_file, target, environ, settings)
    code = _deploy(deployment, actions, runner, ask, dotenv_settings)
    if code == DONE:
        configuration = configured_at(config, environ)
        deployed_hooks.print_unregistered_hooks(configuration, _platform_options(target))
    return code


def _platform_options(target: Target) -> argparse.Namespace:
    return argparse.Namespace(platform="gcp", stack=None, **asdict(target))


def _deploy(
    deployment: Deployment,
    actions: Sequence[gcp_plan.Action],
    runner: Gcloud,
    ask: Questions,
    dotenv_settings: gcp_deployment.DotenvSettings,
) -> int:
    """Ask for the missing secrets, run the actions, and print what comes next. Return NOT_DONE if an action fails.

    The target is kept in .env before the first action, so that the next command finds what a failed one has made. With
    another region than the default, it is kept only at the end: the region may be mistyped until something runs there.
    Raises CommandError.
    """
    target = deployment.target
    is_kept_first = target.region == DEFAULT_REGION
    if is_kept_first:
        _keep(dotenv_settings)
    missing = gcp_deployment.missing_needs(actions, deployment)
    receive = deployment.slices["receive"]
    where = f"--platform gcp{dotenv_settings.missing_target_options()}"
    values, random = first_values(missing, receive, os.environ, ask, where)
    began = time.monotonic()
    progress = ProgressLines(len(actions), stdout_screen())
    failure = apply.Applying(runner, target, values, progress).apply(actions)
    if failure:
        _report_failure(failure)
        return NOT_DONE
    if not is_kept_first:
        _keep(dotenv_settings)
    done = f"Done in {time.monotonic() - began:.0f} s: {count_of(len(actions), 'change')}."
    print(done if actions else deployment_command.UP_TO_DATE)
    print("\n".join(["", *closing_lines(deployment, random, dotenv_settings.missing_target_options())]))
    return DONE


def closing_lines(deployment: Deployment, random_secrets: Sequence[str], options: str) -> Iterator[str]:
    """Return the lines that the deployment ends with. `options` find it in commands; empty if .env names it."""
    target = deployment.target

    def read_command(name: str) -> str:
        arguments = ("secrets", "versions", "access", "latest", f"--secret={target.name_of(name)}")
        return shown(arguments, target.project)

    subscribe_url = deployment.url("subscribe") if "subscribe" in deployment.slices else ""
    where = f"--platform gcp{options}"
    return deployment_command.closing_lines(
        deployment.slices, deployment.url("receive"), random_secrets, read_command, where, subscribe_url
    )


def _keep(dotenv_settings: gcp_deployment.DotenvSettings) -> None:
    for line in dotenv_settings.keep():
        print(line)


def changed_settings(actions: Sequence[gcp_plan.Action]) -> list[str]:
    """Return lines about the deployed settings that differ from the plan."""
    found = [f"  {action.kind} {action.name}: {each}" for action in actions for each in action.differences]
    return ["Settings that differ from the plan:", *found] if found else []


def _target(options: argparse.Namespace, environ: dict[str, str], ask: Questions) -> Target:
    """Return the target of the options, and ask for the project if none is set. Raises TargetFault and CommandError."""

    def project() -> str:
        how = "no project is set: set PROJECT=ID; `gcloud projects list` shows yours"
        return configured_project(Gcloud()) or ask.ask("Which project? (gcloud projects list shows yours)", how)

    return find_target(options, environ, project)


def _report_failure(failure: apply.Failure) -> None:
    """Print the step that failed, gcloud's message, what is known about it, and the command to try by hand."""
    print(f"\nStopped: {failure.action.verb} {failure.action.kind} {failure.action.name}", file=sys.stderr)
    print(failure.message or "gcloud failed without a message", file=sys.stderr)
    if organization_policies.PUBLIC in failure.message:
        print("Ask an administrator with roles/orgpolicy.policyAdmin to exempt the project from it.", file=sys.stderr)
    if "unrecognized arguments" in failure.message:
        print("This gcloud is too old: run `gcloud components update`", file=sys.stderr)
    print(f"\nTry it by hand:\n  {failure.line}", file=sys.stderr)
    print("Run the same `make deploy-gcp` again to continue from here.", file=sys.stderr)


ONE_DEPLOYMENT_SECONDS: Final = 1_800.0
"""Revisions that were created within this time of each other belong to one deployment."""
NOTE: Final = """\
The previous revision reads what the newer one stored. A delivery that it cannot read becomes a dead letter: `hookchain
dead-letters list --platform gcp` shows it. Replay it after the next deployment. See deploy/CHANGELOG.md."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """One function's revisions, by their names on Cloud Run.

    serving        the one with the most traffic; `serving_since` is its creation in Unix seconds
    previous       None if there is no earlier one that is ready
    """

    function: str
    serving: str
    serving_since: float
    previous: str | None


def rollback_gcp(arguments: list[str]) -> int:
    command = deployment_command.rollback_parser("rollback-gcp", "print the commands without running them")
    add_target_options(command)
    options = command.parse_args(arguments)
    return run_command("rollback-gcp", lambda: _run_rollback(options))


def _run_rollback(options: argparse.Namespace) -> int:
    """Send all requests of the chosen functions to their previous revisions, by default of the last deployment's.

    Return NOT_DONE if one of them has none. Raises CommandError and GcloudFault, after which the functions before the
    failed one are rolled back.
    """
    target = target_of(options, environ_of(options))
    runner = Gcloud(target.project)
    found = [read_rollback(runner, target, each) for each in options.function or _deployed(runner, target)]
    chosen = found if options.function else last_deployment(found)
    is_rolled_back = False
    for each in chosen:
        if each.previous is None:
            print(f"{each.function}: {each.serving} stays, because there is no earlier revision")
            continue
        arguments = _traffic(target, each.function, each.previous)
        if options.dry_run:
            print(shown(arguments, target.project))
            continue
        answer = runner.run(arguments)
        if answer.code:
            raise GcloudFault(shown(arguments, target.project), answer.stderr)
        print(f"{each.function}: {each.previous} serves now, instead of {each.serving}")
        is_rolled_back = True
    if is_rolled_back:
        print(NOTE)
    return NOT_DONE if any(each.previous is None for each in chosen) else DONE


def _deployed(runner: Runner, target: Target) -> list[str]:
    """Return the functions that every deployment has, and those of the others that this one has."""
    services = read_json(runner, ["run", "services", "list", f"--region={target.region}"], target.project)
    listed = {_name(each) for each in objects_at(services)}
    return [*compiler.FUNCTIONS, *(each for each in compiler.OPTIONAL if target.name_of(each) in listed)]


def last_deployment(found: Sequence[Rollback]) -> list[Rollback]:
    """Return the functions that the last deployment changed, by when their revisions were created. One is needed."""
    newest = max(each.serving_since for each in found)
    return [each for each in found if newest - each.serving_since <= ONE_DEPLOYMENT_SECONDS]


def read_rollback(runner: Runner, target: Target, function: str) -> Rollback:
    """Return the revision to which the function can go back. Raises GcloudFault, GcloudMissing and CommandError."""
    service = target.name_of(function)
    region = f"--region={target.region}"
    described = read_json(runner, ["run", "services", "describe", service, region], target.project)
    listed = read_json(runner, ["run", "revisions", "list", f"--service={service}", region], target.project)
    serving = _serving(described)
    revisions = {_name(each): each for each in objects_at(listed)}
    if serving not in revisions:
        raise CommandError(f"{service}: gcloud lists no revision that serves; see `hookchain status --platform gcp`")
    since = _created(revisions[serving])
    earlier = [each for each in revisions.values() if _created(each) < since and _is_ready(each)]
    previous = max(earlier, key=_created, default=None)
    return Rollback(function, serving, since, None if previous is None else _name(previous))


def _traffic(target: Target, function: str, revision: str) -> list[str]:
    service = target.name_of(function)
    return ["run", "services", "update-traffic", service, f"--to-revisions={revision}=100", f"--region={target.region}"]


def _serving(described: Json) -> str:
    """Return the revision with the largest share of the traffic."""
    largest = max(objects_at(described, "status", "traffic"), key=_percent, default={})
    return str(largest.get("revisionName", ""))


def _percent(share: JsonObject) -> int:
    percent = share.get("percent")
    return percent if isinstance(percent, int) else 0


def _name(revision: JsonObject) -> str:
    return str(mapping_at(revision, "metadata").get("name", ""))


def _created(revision: JsonObject) -> float:
    return unix_seconds(str(value_at(revision, "metadata", "creationTimestamp")))


def _is_ready(revision: JsonObject) -> bool:
    """Return whether the revision is not known to have failed."""
    conditions = objects_at(revision, "status", "conditions")
    return not any(each.get("type") == "Ready" and each.get("status") == "False" for each in conditions)


def destroy_gcp(arguments: list[str]) -> int:
    command = deployment_command.removal_parser("destroy-gcp", "secrets, dead letters and their store")
    add_target_options(command)
    options = command.parse_args(arguments)
    return run_command("destroy-gcp", lambda: _run_destroy(options))


def _run_destroy(options: argparse.Namespace) -> int:
    """Print what is removed, ask, and remove it; with --all also what holds data. Return NOT_DONE if a step fails.

    Raises CommandError, also if the removal is not confirmed, and GcloudFault.
    """
    environ = environ_of(options)
    target = target_of(options, environ)
    runner = Gcloud(target.project)
    live.project_number(runner, target)  # raises if the project does not exist
    in_project = live.read_resources(runner, target)
    existing = gcp_plan.deployment_resources(target, in_project)
    gcp_plan.reject_other_region(target, existing)
    kept = gcp_plan.remaining_resources(target, existing, options.all)
    # Bindings on resources that are deleted go with them. Those on the others must be removed.
    topics_of_others = live.topics_of_others(in_project) if existing else ()
    grants = live.read_grants(runner, target, map(kind_and_name, kept), topics_of_others)
    removal = gcp_plan.removal(target, existing, kept, grants)
    if not removal.actions:
        print(f"There is nothing of {target.prefix} in project {target.project} to remove.")
        print("".join(f"{line}\n" for line in deployment_command.kept_lines("Kept", removal.remaining)), end="")
        return DONE
    print("\n".join(_removal_lines(target, removal)))
    if database_key(target) in existing:
        deployed_hooks.print_left_hooks(environ, _platform_options(target))
    deployment_command.require_confirmed(options.confirm, target.prefix)
    progress = ProgressLines(len(removal.actions), stdout_screen())
    if failure := apply.Applying(runner, target, {}, progress).apply(removal.actions):
        print(f"\n{failure.message}\nTry it by hand:\n  {failure.line}", file=sys.stderr)
        return NOT_DONE
    return DONE


def _removal_lines(target: Target, removal: gcp_plan.Removal) -> Iterator[str]:
    """Yield the lines before the question, one for each kind of resource: the actions are in the order of kinds.

    Grants are only counted, because their accounts are listed below them.
    """
    yield f"This removes from project {target.project}:"
    for kind, actions in groupby(removal.actions, key=lambda action: action.kind):
        names = [action.name for action in actions]
        yield f"  {kind}: {f'{len(names)} of the accounts below' if kind == GRANT else ', '.join(names)}"
    yield from deployment_command.kept_lines("and keeps", removal.remaining)
