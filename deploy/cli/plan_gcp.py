"""`make plan-gcp`: every command that a deployment would run, asked of nobody; with LIVE=1 only what is to change."""

import argparse
from pathlib import Path

from deploy.bundle.bundle import NotABundle
from deploy.bundle.requirements import PinsFault
from deploy.cli.ending import DONE, ended
from deploy.cli.main import parser
from deploy.config.checkout import ROOT, deployed_config
from deploy.config.configured import add_configuration, environ_of
from deploy.gcp.changes import changes
from deploy.gcp.deployment import prepared
from deploy.gcp.graph import graph
from deploy.gcp.live import project_number
from deploy.gcp.organization_policies import refuse_forbidden
from deploy.gcp.output import counted
from deploy.gcp.plan import NOTHING, PROJECT_NUMBER, Action, plan, script
from deploy.google.gcloud import Gcloud
from deploy.google.target import add_target_options
from deploy.history.platform_options import target_of
from deploy.terminal.command_error import CannotTell

UP_TO_DATE = "Nothing to do: what is there is what the configuration asks for."


def main(arguments: list[str]) -> int:
    return ended("plan-gcp", lambda: _run(_options(arguments)))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    target = target_of(options, environ)
    runner = Gcloud(target.project)
    number = project_number(runner, target) if options.live else PROJECT_NUMBER
    if options.live:
        refuse_forbidden(target, runner)
    try:
        deployment = prepared(target, number, deployed_config(options.config, environ), environ, options.out)
    except (PinsFault, NotABundle) as fault:
        raise CannotTell(str(fault)) from fault
    resources = graph(deployment)
    actions = changes(runner, target, resources) if options.live else plan(resources, NOTHING)
    _write_files(actions)
    if not actions:
        print(UP_TO_DATE)
        return DONE
    what = "What is to change" if options.live else "All that is made"
    print(f"# {what} in project {target.project}, region {target.region}: {counted(len(actions), 'step')}")
    print("\n".join(script(actions, target)))
    return DONE


def _write_files(actions: tuple[Action, ...]) -> None:
    """So that the lines work when they are pasted."""
    for file in (file for action in actions for file in action.files):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.content, encoding="utf-8")


def _options(arguments: list[str]) -> argparse.Namespace:
    words = parser("plan-gcp", "It runs nothing.\n\nexit code: 0, or 1 where the configuration has faults")
    add_target_options(words)
    add_configuration(words)
    words.add_argument("--live", action="store_true", help="ask Google Cloud what is there, and print the difference")
    words.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "build", help="of bundles (default: build)")
    return words.parse_args(arguments)
