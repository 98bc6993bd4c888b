"""The options of `hookchain dev`, from its command line and the environment."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config.ports import DEFAULT_BASE, HIGHEST_BASE
from deploy.terminal.help_text import HelpText
from shared.logs import SEVERITIES
from shared.settings import DEFAULT_STATE

_DESCRIPTION: Final = """\
Run Hookchain on this machine, without a cloud account: the three functions, an emulated Pub/Sub and SendGrid, and a
page that shows what happens. Mails are caught and shown on the page, and sent only with --send-mail. What you post is
stored in the state folder until its retention ends."""

_EPILOG: Final = """\
Without --config or HOOKCHAIN_CONFIG, it serves deploy/hookchain.yaml if it exists. Otherwise, if EMAIL_ADDRESS is set,
it mails whatever is posted to /webhook. Otherwise it serves the example, deploy/hookchain.example.yaml.

Missing secrets are generated into .env, which only you can read. Press Ctrl-C to stop.

example:
  hookchain dev --config deploy/recipes/password-created/hookchain.yaml

exit code: 0 stopped, 1 it could not start, 2 usage error"""


@dataclass(frozen=True, slots=True)
class Options:
    config: str | None
    port_base: int
    state: Path
    env_file: Path
    reload: bool
    send_mail: bool
    log_level: str
    colours: bool


def parse_options(arguments: Sequence[str], environ: Mapping[str, str], root: Path, is_terminal: bool) -> Options:
    """Return the options. Exits with argparse's message and status on a usage error."""
    parsed = _parser(environ, root).parse_args(arguments)
    return Options(
        config=parsed.config,
        port_base=parsed.port_base,
        state=parsed.state.absolute(),
        env_file=parsed.env_file,
        reload=not parsed.no_reload,
        send_mail=parsed.send_mail,
        log_level=parsed.log_level,
        colours=is_terminal and not parsed.no_color and not environ.get("NO_COLOR"),
    )


def env_file_in(arguments: Sequence[str], root: Path) -> Path:
    """Return the file of --env-file, which is read before the other options: its settings are their defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_env_file(parser, root)
    path: Path = parser.parse_known_args(arguments)[0].env_file
    return path


def _parser(environ: Mapping[str, str], root: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "hookchain dev", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=HelpText
    )
    add = parser.add_argument
    add(
        "--config",
        metavar="FILE",
        help="serve this configuration, or `none` for the mode without a file [HOOKCHAIN_CONFIG]",
    )
    add(
        "--port-base",
        metavar="N",
        type=_port_base,
        default=environ.get("PORT_BASE") or DEFAULT_BASE,
        help="use ports N (receive), N+1 (transform), N+2 (notify), N+5 (cloud APIs), N+10 (page) [PORT_BASE or 8080]",
    )
    add(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=Path(environ.get("HOOKCHAIN_STATE") or root / DEFAULT_STATE),
        help="keep events, deliveries and mails in this folder [HOOKCHAIN_STATE or .hookchain]",
    )
    _add_env_file(parser, root)
    add("--no-reload", action="store_true", help="do not restart when the configuration or the code changes")
    add("--send-mail", action="store_true", help="send mails for real, with SENDGRID_API_KEY or SMTP_URL")
    add(
        "--log-level",
        metavar="LEVEL",
        type=_log_level,
        default=environ.get("LOG_LEVEL") or "INFO",
        help=f"print lines of at least this level: {', '.join(SEVERITIES)} [LOG_LEVEL or INFO]",
    )
    add("--no-color", action="store_true", help="print no colours, even on a terminal [NO_COLOR]")
    return parser


def _add_env_file(parser: argparse.ArgumentParser, root: Path) -> None:
    parser.add_argument(
        "--env-file",
        metavar="FILE",
        type=Path,
        default=root / ".env",
        help="read settings and secrets from this file [.env]",
    )


def _port_base(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= HIGHEST_BASE:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {HIGHEST_BASE}; got {text!r}")
    return int(text)


def _log_level(text: str) -> str:
    level = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(text.upper(), text.upper())
    if level not in SEVERITIES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(SEVERITIES)}; got {text!r}")
    return level


def prefer_config(options: Options, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with --config as HOOKCHAIN_CONFIG, if it is given."""
    return {**environ, "HOOKCHAIN_CONFIG": options.config} if options.config else dict(environ)
