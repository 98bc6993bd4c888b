"""`make deploy-gcp`: check, bundle, plan and apply. A second run continues where the first stopped."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.bundle.bundle import NotABundle
from deploy.bundle.requirements import PinsFault
from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.cli.deployment_command import UP_TO_DATE, tested_config, warn_local_only
from deploy.config.checkout import ROOT
from deploy.config.configured import add_configuration, environ_of
from deploy.gcp.apply import Applying, Failure
from deploy.gcp.changes import changes
from deploy.gcp.deployment import Memory, missing_needs, prepare_deployment
from deploy.gcp.graph import Deployment, graph
from deploy.gcp.limits import measured
from deploy.gcp.live import project_number
from deploy.gcp.organization_policies import PUBLIC, refuse_forbidden
from deploy.gcp.output import Lines, closing, counted
from deploy.gcp.plan import Action
from deploy.google.gcloud import Gcloud, configured_project
from deploy.google.target import DEFAULT_REGION, Target, add_target_options, find_target
from deploy.secrets.first_values import first_values
from deploy.terminal.command_error import CommandError
from deploy.terminal.questions import Questions, questions
from deploy.terminal.tables import screen_of
from deploy.topology.functions import MAIL_VARIABLES
from deploy.topology.limits import require_limits

DETAILS: Final = """\
It asks for what is missing: the project, the address that mail goes to, the value of a secret. If you run it
again, it continues where it stopped, and changes only what differs."""


def main(arguments: list[str]) -> int:
    codes = "0 deployed, 1 failed: the same command continues, 2 usage error"
    example = "hookchain deploy-gcp --project my-project --config deploy/hookchain.yaml"
    command = parser("deploy-gcp", example, details=DETAILS, exit_codes=codes)
    add_target_options(command)
    add_configuration(command, creates_env_file=True)
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=ROOT / "build", help="write bundles here [build]"
    )
    options = command.parse_args(arguments)
    return run_command("deploy-gcp", lambda: _run(options, questions()))


def _run(options: argparse.Namespace, ask: Questions) -> int:
    environ = environ_of(options)
    target = _target(options, environ, ask)
    runner = Gcloud(target.project)
    print(f"Project {target.project}, region {target.region}, names begin with {target.prefix}", flush=True)
    config = tested_config(options, environ, ask)
    number = project_number(runner, target)
    refuse_forbidden(target, runner, may_enable=True)
    try:
        deployment = prepare_deployment(target, number, config, environ, options.out)
    except (PinsFault, NotABundle) as fault:
        raise CommandError(str(fault)) from fault
    warn_local_only(deployment.slices)
    resources = graph(deployment)
    require_limits(measured(resources, deployment.topology))
    print("Reading what is deployed", flush=True)
    actions = changes(runner, target, resources)
    for line in changed_settings(actions):
        print(line, flush=True)
    settings = MAIL_VARIABLES if config else ("EMAIL_ADDRESS", *MAIL_VARIABLES)
    return _deploy(deployment, actions, runner, ask, Memory(options.env_file, deployment, settings))


def _deploy(deployment: Deployment, actions: Sequence[Action], runner: Gcloud, ask: Questions, memory: Memory) -> int:
    target = deployment.target
    is_certain = target.region == DEFAULT_REGION  # another region may be mistyped, until something runs there
    if is_certain:
        memory.keep()
    missing, receive = missing_needs(actions, deployment), deployment.slices["receive"]
    where = f"--platform gcp{memory.missing_target_options()}"
    values, made = first_values(missing, receive, os.environ, ask, where)
    began = time.monotonic()
    progress = Lines(len(actions), screen_of(sys.stdout, os.environ))
    failure = Applying(runner, target, values, progress).apply(actions)
    if failure:
        _report_failure(failure)
        return NOT_DONE
    if not is_certain:
        memory.keep()
    done = f"Done in {time.monotonic() - began:.0f} s: {counted(len(actions), 'change')}."
    print(done if actions else UP_TO_DATE)
    print("\n".join(["", *closing(deployment, made, memory.missing_target_options())]))
    return DONE


def changed_settings(actions: Sequence[Action]) -> list[str]:
    """Return lines about the deployed settings that differ from the plan."""
    found = [f"  {action.kind} {action.name}: {each}" for action in actions for each in action.differences]
    return ["Settings that differ from the plan:", *found] if found else []


def _target(options: argparse.Namespace, environ: dict[str, str], ask: Questions) -> Target:
    """Raises TargetFault and CommandError."""

    def project() -> str:
        how = "no project is named: set PROJECT=ID; `gcloud projects list` shows yours"
        return configured_project(Gcloud()) or ask.ask("Which project? (gcloud projects list shows yours)", how)

    return find_target(options, environ, project)


def _report_failure(failure: Failure) -> None:
    print(f"\nStopped: {failure.action.verb} {failure.action.kind} {failure.action.name}", file=sys.stderr)
    print(failure.message or "gcloud failed without a message", file=sys.stderr)
    if PUBLIC in failure.message:
        print("Ask an administrator with roles/orgpolicy.policyAdmin to exempt the project from it.", file=sys.stderr)
    if "unrecognized arguments" in failure.message:
        print("This gcloud is too old: run `gcloud components update`", file=sys.stderr)
    print(f"\nTry it by hand:\n  {failure.line}", file=sys.stderr)
    print("Run the same `make deploy-gcp` again to continue from here.", file=sys.stderr)
