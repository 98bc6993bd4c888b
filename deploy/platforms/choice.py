"""The choice of a platform by a command's options. A platform is one entry in PLATFORMS."""

import argparse
import importlib
import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.cloud_access.aws_names import DEFAULT_STACK
from deploy.cloud_access.gcp_names import DEFAULT_PREFIX, DEFAULT_REGION
from deploy.config.checkout import LOCAL, state_folder
from deploy.history.audit import Action, audited
from deploy.terminal.command_line import UsageError

if TYPE_CHECKING:  # a platform takes as long to import as the rest of a command
    from deploy.platforms.platform import Platform, PlatformKind


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of --platform.

    options  the options that name a deployment on the platform
    module   the module with the platform's KIND, which is slow to import
    """

    title: str
    options: tuple[str, ...]
    module: str


PLATFORMS: Final = {
    LOCAL: Choice("this machine", (), "deploy.platforms.local"),
    "gcp": Choice("Google Cloud", ("project", "region", "prefix"), "deploy.platforms.gcp"),
    "aws": Choice("AWS", ("stack", "region", "prefix"), "deploy.platforms.aws"),
}
_HELP: Final = {
    "project": ("ID", "set the project on Google Cloud [GOOGLE_CLOUD_PROJECT, else gcloud's]"),
    "prefix": (
        "PREFIX",
        f"set the prefix of all names [Google Cloud: HOOKCHAIN_PREFIX, else {DEFAULT_PREFIX}; AWS: STACK-]",
    ),
    "stack": ("STACK", f"set the stack on AWS [HOOKCHAIN_STACK, else {DEFAULT_STACK}]"),
    "region": (
        "REGION",
        f"set the region [Google Cloud: HOOKCHAIN_REGION, else {DEFAULT_REGION}; AWS: AWS_REGION, else the profile's]",
    ),
}
TARGET_OPTIONS: Final = tuple(_HELP)


def add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=state_folder(),
        help="set the folder where `hookchain dev` stores events [HOOKCHAIN_STATE, else .hookchain]",
    )


def add_platform(parser: argparse.ArgumentParser) -> None:
    *titles, last = (each.title for each in PLATFORMS.values())
    named = f"choose {', '.join(titles)} or {last} [{LOCAL}]"
    parser.add_argument("--platform", choices=tuple(PLATFORMS), default=LOCAL, help=named)
    for name, (metavar, text) in _HELP.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)


def is_local(options: argparse.Namespace) -> bool:
    return bool(options.platform == LOCAL)


def open_platform(options: argparse.Namespace, environ: Mapping[str, str]) -> "Platform":
    """Return the platform that the options choose. Raises UsageError and TargetFault."""
    return chosen_kind(options).open(options, environ, same_platform(options))


def chosen_kind(options: argparse.Namespace) -> "PlatformKind":
    """Return the kind of platform. Raises UsageError."""
    verify_platform(options)
    kind: PlatformKind = importlib.import_module(PLATFORMS[options.platform].module).KIND
    return kind


def verify_platform(options: argparse.Namespace) -> None:
    """Raise UsageError if an option of another platform is given: the operator may have meant that platform."""
    chosen = PLATFORMS[options.platform]
    for name in TARGET_OPTIONS:
        if getattr(options, name) is not None and name not in chosen.options:
            takers = " or ".join(f"--platform {key}" for key, each in PLATFORMS.items() if name in each.options)
            raise UsageError(f"--{name}: needs {takers}; got --platform {options.platform}")
    if not is_local(options) and getattr(options, "state", None) not in {None, state_folder()}:
        raise UsageError(f"--state: has no effect with --platform {options.platform}")


def same_platform(options: argparse.Namespace) -> str:
    """Return the options with which a suggested command acts on the same deployment, after a space.

    Empty for this machine.
    """
    if is_local(options):
        return ""
    arguments: list[str] = []
    for name in PLATFORMS[options.platform].options:
        if value := getattr(options, name):
            arguments += [f"--{name}", value]
    return f" {shlex.join(['--platform', options.platform, *arguments])}"


def audited_action(
    options: argparse.Namespace, tool: str, what: str, planned: int | None = None
) -> AbstractContextManager[Action]:
    """Leave audit records of an action on the deployment that the options choose. Raises as `audited` does."""
    where = same_platform(options).strip() or f"--state {options.state}"
    return audited(options.state, where, tool, what, planned)


def same_state(options: argparse.Namespace) -> str:
    """Return the same options as same_platform, and --state if it was given. It is for commands that have --state."""
    is_named = is_local(options) and options.state != state_folder()
    return f" --state {shlex.quote(str(options.state))}" if is_named else same_platform(options)
