"""Options that choose a platform: the state of `hookchain dev` here, or a deployment on Google Cloud."""

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path

from deploy.config.checkout import state_folder
from deploy.google.gcloud import Gcloud, configured_project
from deploy.google.target import Target, add_target_options, find_target


def add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=state_folder(),
        help="set the folder where `hookchain dev` stores events [HOOKCHAIN_STATE, else .hookchain]",
    )


def add_platform(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--platform", choices=("local", "gcp"), default="local", help="choose this machine or Google Cloud [local]"
    )
    add_target_options(parser)


def is_gcp(options: argparse.Namespace) -> bool:
    return bool(options.platform == "gcp")


def same_platform(options: argparse.Namespace) -> str:
    """Return the options that a suggested command needs to mean the same deployment, with a space before them.

    Empty for this machine.
    """
    if not is_gcp(options):
        return ""
    named = [(name, getattr(options, name)) for name in ("project", "region", "prefix")]
    arguments = [word for name, value in named if value for word in (f"--{name}", value)]
    return f" {shlex.join(['--platform', 'gcp', *arguments])}"


def target_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Return the deployment that the options name. Raises TargetFault."""
    return find_target(options, environ, lambda: configured_project(Gcloud()))
