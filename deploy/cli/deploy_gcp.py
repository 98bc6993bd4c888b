"""`make deploy-gcp`: checks, bundles, plans and carries the plan out. Run again, it goes on where it stopped."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.bundle.bundle import NotABundle
from deploy.bundle.requirements import PinsFault
from deploy.cli.ending import DONE, NOT_DONE, ended
from deploy.cli.main import parser
from deploy.cli.plan_gcp import UP_TO_DATE
from deploy.config.checkout import ROOT, deployed_config
from deploy.config.configured import add_configuration, environ_of
from deploy.explain.config_tests import require_passing_tests
from deploy.gcp.apply import Applying, Failure
from deploy.gcp.changes import changes
from deploy.gcp.deployment import Memory, prepared
from deploy.gcp.first_values import first_values
from deploy.gcp.graph import MAIL_VARIABLES, Deployment, graph
from deploy.gcp.live import project_number
from deploy.gcp.organization_policies import PUBLIC, refuse_forbidden
from deploy.gcp.output import Lines, closing, counted
from deploy.gcp.plan import Action
from deploy.gcp.questions import Questions, questions
from deploy.google.gcloud import Gcloud, configured_project
from deploy.google.target import DEFAULT_REGION, Target, add_target_options, find_target
from deploy.terminal.command_error import CannotTell
from deploy.terminal.tables import screen_of

EPILOG: Final = """\
It asks for what is missing: the project, the address that mails go to, the value of a secret. Whatever is there
already and as it should be is left alone.

exit code: 0 all is deployed, 1 something is at fault or failed, and the same command goes on from there"""


def main(arguments: list[str]) -> int:
    return ended("deploy-gcp", lambda: _run(_options(arguments), questions()))


def _run(options: argparse.Namespace, ask: Questions) -> int:
    environ = environ_of(options)
    target = _target(options, environ, ask)
    runner = Gcloud(target.project)
    print(f"Project {target.project}, region {target.region}, names begin with {target.prefix}", flush=True)
    config = deployed_config(options.config, environ)
    if config is None and not environ.get("EMAIL_ADDRESS"):
        how = "say EMAIL_ADDRESS=you@example.com, or write deploy/hookchain.yaml"
        environ["EMAIL_ADDRESS"] = ask.ask("Which address are webhooks mailed to?", f"there is no configuration: {how}")
    if tried := require_passing_tests(config, environ):
        print(f"The configuration's own tests pass: {tried}", flush=True)
    number = project_number(runner, target)
    refuse_forbidden(target, runner, may_enable=True)
    try:
        deployment = prepared(target, number, config, environ, options.out)
    except (PinsFault, NotABundle) as fault:
        raise CannotTell(str(fault)) from fault
    print(f"Configuration: {config or 'none but EMAIL_ADDRESS'}. Looking at what is there", flush=True)
    actions = changes(runner, target, graph(deployment))
    for line in different_settings(actions):
        print(line, flush=True)
    settings = MAIL_VARIABLES if config else ("EMAIL_ADDRESS", *MAIL_VARIABLES)
    return _deployed(deployment, actions, runner, ask, Memory(options.env_file, deployment, settings))


def _deployed(deployment: Deployment, actions: Sequence[Action], runner: Gcloud, ask: Questions, memory: Memory) -> int:
    target = deployment.target
    is_certain = target.region == DEFAULT_REGION  # another may be mistyped, until something runs there
    if is_certain:
        memory.keep()
    values, made = first_values(actions, deployment, os.environ, ask, memory.missing_target_options())
    began = time.monotonic()
    progress = Lines(len(actions), screen_of(sys.stdout, os.environ))
    failure = Applying(runner, target, values, progress).apply(actions)
    if failure:
        _tell(failure)
        return NOT_DONE
    if not is_certain:
        memory.keep()
    done = f"Done in {time.monotonic() - began:.0f} s: {counted(len(actions), 'change')}."
    print(done if actions else UP_TO_DATE)
    print("\n".join(["", *closing(deployment, made, memory.missing_target_options())]))
    return DONE


def different_settings(actions: Sequence[Action]) -> list[str]:
    """Return the lines that say which settings of what is there are not the planned ones."""
    found = [f"  {action.kind} {action.name}: {each}" for action in actions for each in action.differences]
    return ["Settings that differ from the plan:", *found] if found else []


def _target(options: argparse.Namespace, environ: dict[str, str], ask: Questions) -> Target:
    """Raises TargetFault and CannotTell."""

    def project() -> str:
        how = "no project is named: say PROJECT=ID; `gcloud projects list` shows yours"
        return configured_project(Gcloud()) or ask.ask("Which project? (gcloud projects list shows yours)", how)

    return find_target(options, environ, project)


def _tell(failure: Failure) -> None:
    print(f"\nStopped: {failure.action.verb} {failure.action.kind} {failure.action.name}", file=sys.stderr)
    print(failure.said or "gcloud failed and said nothing", file=sys.stderr)
    if PUBLIC in failure.said:
        print("Ask whoever has roles/orgpolicy.policyAdmin to exempt the project from it.", file=sys.stderr)
    if "unrecognized arguments" in failure.said:
        print("This gcloud is too old for it: gcloud components update", file=sys.stderr)
    print(f"\nTry it by hand:\n  {failure.line}", file=sys.stderr)
    print("The same `make deploy-gcp` goes on from here; what is done is not done again.", file=sys.stderr)


def _options(arguments: list[str]) -> argparse.Namespace:
    words = parser("deploy-gcp", EPILOG)
    add_target_options(words)
    add_configuration(words)
    words.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "build", help="of bundles (default: build)")
    return words.parse_args(arguments)
