"""`make plan-gcp`: print every command that a deployment would run; with LIVE=1 only the changes."""

import argparse
from pathlib import Path

from deploy.bundle.bundle import NotABundle
from deploy.bundle.requirements import PinsFault
from deploy.cli.command import DONE, parser, run_command
from deploy.cli.deployment_command import UP_TO_DATE, configuration_line, warn_about_address, warn_local_only
from deploy.config.checkout import ROOT, deployed_config
from deploy.config.configured import add_configuration, environ_of
from deploy.gcp.changes import changes
from deploy.gcp.deployment import prepare_deployment
from deploy.gcp.graph import graph
from deploy.gcp.limits import measured
from deploy.gcp.live import project_number
from deploy.gcp.organization_policies import refuse_forbidden
from deploy.gcp.output import counted
from deploy.gcp.plan import NOTHING, PROJECT_NUMBER, Action, plan, script
from deploy.google.cloud import target_of
from deploy.google.gcloud import Gcloud
from deploy.google.target import add_target_options
from deploy.terminal.command_error import CommandError
from deploy.topology.limits import require_limits


def main(arguments: list[str]) -> int:
    codes = "0 done, 1 failed, or faults in the configuration, 2 usage error"
    command = parser("plan-gcp", "hookchain plan-gcp --project my-project", exit_codes=codes)
    add_target_options(command)
    add_configuration(command)
    command.add_argument("--live", action="store_true", help="read what is deployed and print the difference only")
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=ROOT / "build", help="write bundles here [build]"
    )
    options = command.parse_args(arguments)
    return run_command("plan-gcp", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    config = deployed_config(options.config, environ)
    print(f"# {configuration_line(config)}", flush=True)
    warn_about_address(config)
    target = target_of(options, environ)
    runner = Gcloud(target.project)
    number = project_number(runner, target) if options.live else PROJECT_NUMBER
    if options.live:
        refuse_forbidden(target, runner)
    try:
        deployment = prepare_deployment(target, number, config, environ, options.out)
    except (PinsFault, NotABundle) as fault:
        raise CommandError(str(fault)) from fault
    warn_local_only(deployment.slices)
    resources = graph(deployment)
    require_limits(measured(resources, deployment.topology))
    actions = changes(runner, target, resources) if options.live else plan(resources, NOTHING)
    _write_files(actions)
    if not actions:
        print(UP_TO_DATE)
        return DONE
    what = "Changes" if options.live else "Everything that is created"
    print(f"# {what} in project {target.project}, region {target.region}: {counted(len(actions), 'step')}")
    print("\n".join(script(actions, target)))
    return DONE


def _write_files(actions: tuple[Action, ...]) -> None:
    """Write the files that the printed lines read."""
    for file in (file for action in actions for file in action.files):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.content, encoding="utf-8")
