"""What is kept of events, where a command looks for it."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.google.target import Target, TargetFault
from deploy.history.platform_options import is_gcp, target_of
from deploy.history.state import State, StateFault


@contextmanager
def chosen_state(options: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[State]:
    """Raises StateFault."""
    if is_gcp(options):
        from deploy.history import state_cloud as cloud  # brings an HTTP client along

        with cloud.opened(chosen_target(options, environ), environ) as state:
            yield state
    else:
        from deploy.history import state_local as local

        with local.opened(options.state) as state:
            yield state


def chosen_target(options: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Raises StateFault."""
    try:
        return target_of(options, environ)
    except TargetFault as fault:
        raise StateFault(str(fault)) from fault
