"""Where a command looks: what `hookchain dev` keeps here, or what a bundle keeps on Google Cloud."""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.commands.state import State, StateFault
from deploy.gcp.gcloud import Gcloud, configured_project
from deploy.gcp.target import Target, TargetFault, add_target_options, find_target
from shared.settings import DEFAULT_STATE

LOCAL: Final = "local"
GCP: Final = "gcp"


def add_choice(words: argparse.ArgumentParser) -> None:
    words.add_argument(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=Path(os.environ.get("HOOKCHAIN_STATE") or DEFAULT_STATE),
        help="where `hookchain dev` keeps what happens (HOOKCHAIN_STATE; .hookchain)",
    )
    words.add_argument(
        "--platform", choices=(LOCAL, GCP), default=LOCAL, help=f"this machine, or Google Cloud (default: {LOCAL})"
    )
    add_target_options(words)


@contextmanager
def chosen_state(options: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[State]:
    """Raises StateFault."""
    if options.platform == GCP:
        from deploy.commands import cloud_state  # brings an HTTP client along

        with cloud_state.opened(chosen_target(options, environ), environ) as state:
            yield state
    else:
        from deploy.commands import local_state

        with local_state.opened(options.state) as state:
            yield state


def chosen_target(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Raises StateFault."""
    try:
        return find_target(options, environ, lambda: configured_project(Gcloud()))
    except TargetFault as fault:
        raise StateFault(str(fault)) from fault
