"""Where a command looks: what `hookchain dev` keeps here, or what a bundle keeps on Google Cloud."""

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path

from deploy.config.checkout import state_folder
from deploy.google.gcloud import Gcloud, configured_project
from deploy.google.target import Target, add_target_options, find_target


def add_state(words: argparse.ArgumentParser) -> None:
    words.add_argument(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=state_folder(),
        help="set the folder where `hookchain dev` stores events [HOOKCHAIN_STATE, else .hookchain]",
    )


def add_platform(words: argparse.ArgumentParser) -> None:
    words.add_argument(
        "--platform", choices=("local", "gcp"), default="local", help="choose this machine or Google Cloud [local]"
    )
    add_target_options(words)


def is_gcp(options: argparse.Namespace) -> bool:
    return bool(options.platform == "gcp")


def same_platform(options: argparse.Namespace) -> str:
    """What the line of another command, told as advice, goes on with: nothing for this machine. A bundle that was named
    is named again, or the advice would be about another one."""
    if not is_gcp(options):
        return ""
    named = [(name, getattr(options, name)) for name in ("project", "region", "prefix")]
    said = [word for name, value in named if value for word in (f"--{name}", value)]
    return f" {shlex.join(['--platform', 'gcp', *said])}"


def target_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Raises TargetFault."""
    return find_target(options, environ, lambda: configured_project(Gcloud()))
