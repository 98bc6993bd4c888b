"""What the operator's commands have in common: which configuration, and how they end."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.checkout import ROOT, chosen_config, environ_with
from deploy.commands.terminal.tables import printable
from deploy.compiler import compile_config, read_config
from deploy.faults import ConfigFaults
from deploy.gcp.gcloud import GcloudFault, GcloudMissing
from deploy.gcp.target import TargetFault
from deploy.local.supervisor.dotenv import DotenvFault
from shared.errors import HookchainError
from shared.jsontext import Json, JsonObject

DONE: Final = 0
NOT_DONE: Final = 1
USAGE: Final = 2
FAULTS: Final = (ConfigFaults, DotenvFault, TargetFault, GcloudFault, GcloudMissing)


class CannotTell(Exception):
    """What was asked for cannot be had; its text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Configured:
    """`environ` is the shell's over .env's, `document` as it is written. Without a file `path` is None."""

    environ: Mapping[str, str]
    path: Path | None
    document: Json
    slices: Mapping[str, JsonObject]


def add_configuration(words: argparse.ArgumentParser) -> None:
    words.add_argument("--config", metavar="FILE", help="the configuration, or `none` for the mode without one")
    words.add_argument("--env-file", metavar="FILE", type=Path, default=ROOT / ".env", help="settings, secrets (.env)")


def environ_of(options: argparse.Namespace) -> dict[str, str]:
    """Raises DotenvFault."""
    return environ_with(options.env_file)


def configured(options: argparse.Namespace) -> Configured:
    """Raises ConfigFaults and DotenvFault."""
    environ = environ_of(options)
    path = chosen_config(options.config, environ)
    file = read_config(path, environ)
    return Configured(environ, path, file.document, compile_config(file))


def ended(command: str, run: Callable[[], int]) -> int:
    """The exit code of `run`; what it raises on purpose is told in words."""
    try:
        code = run()
        sys.stdout.flush()
    except (CannotTell, HookchainError, *FAULTS) as fault:
        text = fault.detail if isinstance(fault, HookchainError) else str(fault)
        for line in map(printable, text.split("\n")):
            is_to_paste = line.startswith("  ")
            print(line if is_to_paste else f"hookchain {command}: {line}", file=sys.stderr)
        return NOT_DONE
    return code
