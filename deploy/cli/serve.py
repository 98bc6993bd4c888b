"""`hookchain serve`: run everything on this machine for good. Nothing is generated, caught or emulated for a user."""

import argparse
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.cli.command import parser
from deploy.cli.dev import find_warnings
from deploy.config import checkout
from deploy.dev.supervisor import options, processes, setup, start
from deploy.terminal.command_line import CommandParser

LONGEST_TIMEOUT_SECONDS: Final = 60
"""The longest `timeout` that a destination may have: deploy/config/sections/destination.py."""
STOP_SECONDS: Final = LONGEST_TIMEOUT_SECONDS + int(setup.STOP_MARGIN_SECONDS)
"""How long the functions may take to finish what is under way."""
TIMEOUT_STOP_SECONDS: Final = STOP_SECONDS + 15
"""systemd kills what has not stopped by then. The bus and this process end a few seconds after the functions."""
UNIT: Final = Path("/etc/systemd/system/hookchain.service")
UNIT_TEMPLATE: Final = checkout.ROOT / "deploy" / "serve" / "hookchain.service"
INSTALLED: Final = {
    "config": "/etc/hookchain/hookchain.yaml",
    "env_file": "/etc/hookchain/hookchain.env",
    "state": "/var/lib/hookchain/state",
}
"""The places in a unit, unless the options name others. The service may write only below /var/lib/hookchain, and in the
state folder."""


PATHS: Final = (*INSTALLED, "tls_certificate", "tls_key")
"""The options that name files and folders, from which a unit has whole paths."""


def main(arguments: list[str]) -> int:
    environ = dict(os.environ)
    env_file = options.env_file_in(arguments, environ, checkout.ROOT)
    command = _parser(environ)
    chosen = command.parse_args(arguments)
    if chosen.install:
        for name in PATHS:
            if not str(getattr(chosen, name)).isprintable():
                command.error(f"{_option(name)}: must have no line break or control character in a unit")
        return install(chosen, command.given(arguments))
    if env_file != checkout.ROOT / ".env" and not env_file.is_file():
        command.error(f"--env-file: must be a file that exists; got {str(env_file)!r}")
    if chosen.yes and not chosen.adopt:
        command.error("--yes: needs --adopt or --install")
    if len({each is None for each in (chosen.listen, chosen.tls_certificate, chosen.tls_key)}) > 1:
        command.error("--listen, --tls-certificate and --tls-key: need each other")

    def read_options() -> options.Options:
        # Read again with the settings of the env file, which are the options' defaults. Raises DotenvFault.
        return _options(_parser(checkout.environ_with(env_file)).parse_args(arguments))

    return start.start(read_options, find_warnings)


def _parser(environ: Mapping[str, str]) -> CommandParser:
    command = parser("serve")
    options.add_common_options(command, environ, checkout.ROOT)
    add = command.add_argument
    add(
        "--listen",
        metavar="ADDRESS:PORT",
        type=_address,
        help="serve HTTPS for other machines, for example on [::]:443",
    )
    add("--tls-certificate", metavar="PEM", type=Path, help="read the certificate, with its chain")
    add("--tls-key", metavar="PEM", type=Path, help="read the certificate's private key")
    add("--adopt", action="store_true", help="take over state of `make dev`: list what would be sent for real")
    add("--install", choices=("systemd",), help="print a systemd unit with these options, and start nothing")
    add("--yes", action="store_true", help="with --adopt: take over and start; with --install: write the unit")
    return command


def _address(text: str) -> tuple[str, int]:
    """Return the address, without the brackets of IPv6, and the port. Raises ArgumentTypeError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal() and len(port) < 6 and 1 <= int(port) <= 65_535):
        raise argparse.ArgumentTypeError(f"must be ADDRESS:PORT, such as 0.0.0.0:443; got {text!r}")
    return host, int(port)


def _options(chosen: argparse.Namespace) -> options.Options:
    # Whole paths: a function runs in its own folder.
    certificate, key = (path and path.absolute() for path in (chosen.tls_certificate, chosen.tls_key))
    production = processes.Production(chosen.listen, certificate, key, chosen.adopt, chosen.yes)
    return options.Options(
        platform=options.PLATFORMS[0],
        config=chosen.config,
        port_base=chosen.port_base,
        state=chosen.state.absolute(),
        env_file=chosen.env_file,
        reload=False,
        send_mail=True,
        log_level=chosen.log_level,
        colours=False,
        production=production,
    )


def install(chosen: argparse.Namespace, given: Collection[str]) -> int:
    """Print the unit; with --yes, write it. Return the exit code."""
    unit = systemd_unit(chosen, given)
    if not chosen.yes:
        print(unit, end="")
        print(f"# To write it to {UNIT}: add --yes", file=sys.stderr)
        return 0
    try:
        UNIT.write_text(unit, encoding="utf-8")
    except OSError as error:
        print(f"hookchain serve: {UNIT} cannot be written: {error.strerror}. Run the command as root.", file=sys.stderr)
        return 1
    print(f"{UNIT} is written. To start it:\n  systemctl daemon-reload\n  systemctl enable --now hookchain")
    return 0


def systemd_unit(chosen: argparse.Namespace, given: Collection[str]) -> str:
    """Return the unit with the options that were given."""
    names = (*PATHS, "port_base", "log_level")
    named = {name: str(getattr(chosen, name)) for name in names if _option(name) in given}
    if chosen.listen:
        host, port = chosen.listen
        named["listen"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # systemd replaces no variable in the path of the program or in `ReadWritePaths`, so `$` stands there for itself.
    program = _unit_word(str(Path(sys.executable).parent / "hookchain")).replace("$$", "$")
    command = [program, "serve"]
    for name, value in {**INSTALLED, **named}.items():
        is_path = name in PATHS and value != "none"
        command += [_option(name), _unit_word(str(Path(value).absolute()) if is_path else value)]
    state = str(Path(named.get("state", INSTALLED["state"])).absolute())
    needs_low_port = chosen.listen is not None and chosen.listen[1] < 1024
    return UNIT_TEMPLATE.read_text(encoding="utf-8").format(
        root=_without_specifiers(str(checkout.ROOT)),
        documentation=_without_specifiers(quote(f"{checkout.ROOT}/deploy/serve/README.md")),
        user="hookchain",
        command=" ".join(command),
        stop_seconds=STOP_SECONDS,
        timeout_stop_seconds=TIMEOUT_STOP_SECONDS,
        state=_unit_word(f"-{state}").replace("$$", "$"),
        capabilities="CAP_NET_BIND_SERVICE" if needs_low_port else "",
    )


def _unit_word(text: str) -> str:
    """Return one word of a command line as systemd reads it: with escapes of C, specifiers and variables.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Command%20lines
    """
    if re.fullmatch(r"[\w@+=:,./-]+", text):
        return text
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("$", "$$")
    return f'"{_without_specifiers(escaped)}"'


def _without_specifiers(text: str) -> str:
    """Return the text as a unit has it: `%n` stands for the unit's name, and `%%` for a percent sign."""
    return text.replace("%", "%%")


def _option(name: str) -> str:
    """Return the option on the command line of an attribute of the options."""
    return f"--{name.replace('_', '-')}"
