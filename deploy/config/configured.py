"""The configuration and the environment of a command, from its --config and --env-file."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config import checkout, config_file, dotenv
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that a command has loaded and compiled.

    environ   the variables of .env, overridden by the shell's
    path      None in the mode without a file
    document  the configuration as it is written
    slices    what it is compiled to, by function
    """

    environ: Mapping[str, str]
    path: Path | None
    document: Json
    slices: Mapping[str, JsonObject]


def add_configuration(parser: argparse.ArgumentParser, *, creates_env_file: bool = False) -> None:
    parser.add_argument("--config", metavar="FILE", help="set the configuration, or `none` for no file")
    add_env_file(parser, creates=creates_env_file)


def add_env_file(parser: argparse.ArgumentParser, *, creates: bool = False) -> None:
    """Add --env-file. Without it, a command reads the file that `checkout.env_file` returns.

    `creates`: the command may create the file.
    """
    text = "read settings and secrets [HOOKCHAIN_ENV_FILE, that of a running `hookchain dev`, else .env]"
    read = Path if creates else existing_file
    parser.add_argument("--env-file", metavar="FILE", type=read, default=checkout.env_file(), help=text)


def existing_file(text: str) -> Path:
    """Raises ArgumentTypeError."""
    path = Path(text)
    if path.is_dir() or not path.exists():
        raise argparse.ArgumentTypeError(f"must be a file that exists; got {text!r}")
    return path


def environ_of(options: argparse.Namespace) -> dict[str, str]:
    """Raises DotenvFault."""
    return checkout.environ_with(options.env_file)


def checked_environ(options: argparse.Namespace) -> dict[str, str]:
    """Raises ConfigFaults for a fault of the env file too, for commands that print faults as JSON."""
    try:
        return environ_of(options)
    except dotenv.DotenvFault as fault:
        raise config_file.ConfigFaults(str(options.env_file), [config_file.Fault(0, "", str(fault))]) from fault


def configured(options: argparse.Namespace) -> LoadedConfig:
    """Raises ConfigFaults and DotenvFault."""
    environ = environ_of(options)
    return configured_at(config_path(options, environ), environ)


def configured_at(path: Path | None, environ: Mapping[str, str]) -> LoadedConfig:
    """Raises ConfigFaults."""
    # Imported here, because it is slow to import, and `hookchain mcp` must answer its first message within a second.
    from deploy.config import compiler

    file = compiler.read_config(path, environ)
    return LoadedConfig(environ, path, file.document, compiler.compile_config(file))


def optional_slices(options: argparse.Namespace) -> Mapping[str, JsonObject]:
    """Return the slices, for a command that can answer without. With faults in a file that is not named there are
    none, and a note says so. Raises ConfigFaults for a file that --config names."""
    try:
        return configured(options).slices
    except config_file.ConfigFaults as faults:
        if options.config:
            raise
        print(f"without what {faults.file} adds: it has faults, see `hookchain lint`", file=sys.stderr)
        return {}


def config_path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file of a command. Not every command has the options --platform and --state."""
    if getattr(options, "platform", checkout.LOCAL) != checkout.LOCAL:
        return checkout.config_to_deploy(options.config, environ)
    return checkout.config_in_use(options.config, environ, getattr(options, "state", None))
