"""`make destroy-gcp`: remove a deployment. Secrets and dead letters stay unless ALL=1."""

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, run_command
from deploy.cli.deployment_command import removal_parser, require_confirmed
from deploy.config.configured import environ_of
from deploy.gcp.apply import Applying
from deploy.gcp.changes import refuse_elsewhere
from deploy.gcp.live import project_number, read_grants, read_resources, topics_of_others
from deploy.gcp.output import Lines
from deploy.gcp.removal import Removal, deployment_resources, removal, staying
from deploy.google.cloud import target_of
from deploy.google.gcloud import Gcloud
from deploy.google.target import Target, add_target_options
from deploy.terminal.tables import screen_of

DETAILS: Final = """\
Waiting messages are removed with their subscriptions. What Cloud Run kept of its builds stays: images in Artifact
Registry, under cloud-run-source-deploy; sources in the bucket run-sources-… expire. APIs stay enabled."""


def main(arguments: list[str]) -> int:
    command = removal_parser(
        "destroy-gcp", "hookchain destroy-gcp --project my-project", DETAILS, "secrets, dead letters and their store"
    )
    add_target_options(command)
    options = command.parse_args(arguments)
    return run_command("destroy-gcp", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    target = target_of(options, environ_of(options))
    runner = Gcloud(target.project)
    project_number(runner, target)
    there = read_resources(runner, target)
    things = deployment_resources(target, there)
    refuse_elsewhere(target, things)
    remaining = staying(target, things, options.all)
    read = [(kind, name) for kind, _, name in (key.partition(" ") for key in remaining)]
    grants = read_grants(runner, target, read, topics_of_others(there) if things else ())
    removed = removal(target, things, remaining, grants)
    if not removed.actions:
        print(f"There is nothing of {target.prefix} in project {target.project} to remove.")
        if removed.remaining:
            print(f"Kept (ALL=1 removes them too): {', '.join(removed.remaining)}")
        return DONE
    print("\n".join(_removal_lines(target, removed)))
    require_confirmed(options.confirm, target.prefix)
    progress = Lines(len(removed.actions), screen_of(sys.stdout, os.environ))
    if failure := Applying(runner, target, {}, progress).apply(removed.actions):
        print(f"\n{failure.message}\nTry it by hand:\n  {failure.line}", file=sys.stderr)
        return NOT_DONE
    return DONE


def _removal_lines(target: Target, removed: Removal) -> Iterator[str]:
    yield f"This removes from project {target.project}:"
    for kind, actions in groupby(removed.actions, key=lambda action: action.kind):
        named = [action.name for action in actions]
        yield f"  {kind}: {', '.join(named) if kind != 'grant' else f'{len(named)} of the accounts below'}"
    if removed.remaining:
        yield f"and keeps (ALL=1 removes them too): {', '.join(removed.remaining)}"
