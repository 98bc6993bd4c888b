"""The configuration and the environment of a command, from its --config and --env-file."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.checkout import LOCAL, ROOT, chosen_config, deployed_config, environ_with
from deploy.config.compiler import compile_config, read_config
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Configured:
    """A compiled configuration. `environ` is .env overridden by the shell; `document` is the configuration as written.
    `path` is None in the mode without a file."""

    environ: Mapping[str, str]
    path: Path | None
    document: Json
    slices: Mapping[str, JsonObject]


def add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="set the configuration, or `none` for no file")
    parser.add_argument(
        "--env-file", metavar="FILE", type=Path, default=ROOT / ".env", help="read settings and secrets [.env]"
    )


def environ_of(options: argparse.Namespace) -> dict[str, str]:
    """Raises DotenvFault."""
    return environ_with(options.env_file)


def configured(options: argparse.Namespace) -> Configured:
    """Raises ConfigFaults and DotenvFault."""
    environ = environ_of(options)
    return configured_at(config_path(options, environ), environ)


def configured_at(path: Path | None, environ: Mapping[str, str]) -> Configured:
    """Raises ConfigFaults."""
    file = read_config(path, environ)
    return Configured(environ, path, file.document, compile_config(file))


def config_path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file of a command. Not every command has the options --platform and --state."""
    if getattr(options, "platform", LOCAL) != LOCAL:
        return deployed_config(options.config, environ)
    return chosen_config(options.config, environ, getattr(options, "state", None))
