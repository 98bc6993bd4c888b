"""The options of `hookchain dev`, of which `hookchain serve` has some too."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config import checkout, local_ports
from deploy.dev.supervisor.processes import Production
from deploy.terminal.command_line import CommandParser, HelpText
from shared import logs, settings

_DESCRIPTION: Final = """\
Run all of Hookchain on this machine, without a cloud account: the functions, an emulated cloud (Pub/Sub and
SendGrid, or Lambda and the other services of AWS), and a page that shows what happens. No mail leaves the machine
without --send-mail: it is kept and shown on the page. What you post is stored until you delete the state folder."""
_EPILOG: Final = """\
Without --config or HOOKCHAIN_CONFIG it uses deploy/hookchain.yaml if that exists. Otherwise, if EMAIL_ADDRESS is set,
it mails every event of /webhook to it; if not, it uses the example, deploy/hookchain.example.yaml.

Missing secrets are generated into .env, readable by you only. Press Ctrl-C to stop everything.

exit codes: 0 stopped, 1 it cannot start, 2 usage error

example:
  hookchain dev --config deploy/recipes/password-created/hookchain.yaml"""
PLATFORMS: Final = ("gcp", "aws")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `hookchain dev`; with `production`, those of `hookchain serve`."""

    platform: str
    config: str | None
    port_base: int
    state: Path
    env_file: Path
    reload: bool
    send_mail: bool
    log_level: str
    colours: bool
    production: Production | None = None

    @property
    def command(self) -> str:
        return "hookchain serve" if self.production else "make dev"

    def with_config(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment with --config as HOOKCHAIN_CONFIG, if it is given."""
        return {**environ, "HOOKCHAIN_CONFIG": self.config} if self.config else dict(environ)


def parse_options(arguments: Sequence[str], environ: Mapping[str, str], root: Path, is_terminal: bool) -> Options:
    """Return the options. Exits with argparse's message and status on a usage error."""
    parsed = _parser(environ, root).parse_args(arguments)
    return Options(
        platform=parsed.platform,
        config=parsed.config,
        port_base=parsed.port_base,
        state=parsed.state.absolute(),
        env_file=parsed.env_file,
        reload=not parsed.no_reload,
        send_mail=parsed.send_mail,
        log_level=parsed.log_level,
        colours=is_terminal and not parsed.no_color and not environ.get("NO_COLOR"),
    )


def env_file_in(arguments: Sequence[str], environ: Mapping[str, str], root: Path) -> Path:
    """Return the file of --env-file, which is read before the other options: its settings are their defaults."""
    parser = CommandParser("hookchain dev", add_help=False)
    _add_env_file(parser, environ, root)
    path: Path = parser.parse_known_args(arguments)[0].env_file
    return path


def _parser(environ: Mapping[str, str], root: Path) -> argparse.ArgumentParser:
    parser = CommandParser("hookchain dev", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=HelpText)
    add = parser.add_argument
    add(
        "--platform",
        metavar="PLATFORM",
        type=_platform,
        default=environ.get("PLATFORM") or PLATFORMS[0],
        help="choose an emulated Google Cloud (gcp), or Lambda's own runtime on a local AWS (aws) [PLATFORM, else gcp]",
    )
    add_common_options(parser, environ, root)
    add("--no-reload", action="store_true", help="do not restart when the configuration or the code changes")
    add("--send-mail", action="store_true", help="send real mail, through SENDGRID_API_KEY or SMTP_URL")
    add("--no-color", action="store_true", help="print no colours [NO_COLOR]")
    return parser


def add_common_options(parser: argparse.ArgumentParser, environ: Mapping[str, str], root: Path) -> None:
    """Add the options of both `hookchain dev` and `hookchain serve`."""
    add = parser.add_argument
    add("--config", metavar="FILE", help="set the configuration, or `none` for no file [HOOKCHAIN_CONFIG]")
    add(
        "--port-base",
        metavar="N",
        type=_port_base,
        default=environ.get("PORT_BASE") or local_ports.DEFAULT_BASE,
        help="set receive's port; transform has N+1, notify N+2, subscribe N+3, the APIs N+5, the page N+10 "
        "[PORT_BASE, else 8080]",
    )
    add(
        "--state",
        metavar="FOLDER",
        type=Path,
        default=Path(environ.get("HOOKCHAIN_STATE") or root / settings.DEFAULT_STATE),
        help="store events, deliveries and mails in FOLDER [HOOKCHAIN_STATE, else .hookchain]",
    )
    _add_env_file(parser, environ, root)
    add(
        "--log-level",
        metavar="LEVEL",
        type=_log_level,
        default=environ.get("LOG_LEVEL") or "INFO",
        help=f"print this severity and above: {', '.join(logs.SEVERITIES)} [LOG_LEVEL, else INFO]",
    )


def _add_env_file(parser: argparse.ArgumentParser, environ: Mapping[str, str], root: Path) -> None:
    parser.add_argument(
        "--env-file",
        metavar="FILE",
        type=Path,
        default=checkout.own_env_file(environ, root),
        help="read settings and secrets [HOOKCHAIN_ENV_FILE, else .env]",
    )


def _platform(text: str) -> str:
    """A type, because argparse compares no default with its choices, and this one may come from the environment."""
    if text not in PLATFORMS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(PLATFORMS)}; got {text!r}")
    return text


def _port_base(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= local_ports.HIGHEST_BASE:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {local_ports.HIGHEST_BASE}; got {text!r}")
    return int(text)


def _log_level(text: str) -> str:
    level = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(text.upper(), text.upper())
    if level not in logs.SEVERITIES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(logs.SEVERITIES)}; got {text!r}")
    return level
