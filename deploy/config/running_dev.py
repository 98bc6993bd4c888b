"""A running `hookchain dev`: its ports, whether they are free, and dev.json, which says what it serves.

dev.json is in the state folder, for other commands and the page.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deploy.terminal.command_line import UsageError
from shared.jsontext import Json, JsonObject, list_at, mapping_at, to_json, value_at

HOST: Final = "127.0.0.1"
DEFAULT_BASE: Final = 8080
HIGHEST_BASE: Final = 65_535 - 10
"""The highest port is 65535, and the inspector has the base port plus 10."""
LSOF_SECONDS: Final = 2
"""lsof is slow on some machines, and its answer only makes a message more helpful."""
OTHER_FOLDER: Final = (
    "If Hookchain was started with another HOOKCHAIN_STATE, set the same here. Most commands also have --state."
)
"""The advice if a state folder does not have the data that a command looks for."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports. `apis` serves the emulated Pub/Sub, SendGrid and Firestore. `subscribe` is 0 without subscribers."""

    receive: int
    transform: int
    notify: int
    apis: int
    inspector: int
    subscribe: int = 0

    def named(self) -> dict[str, int]:
        return {name: port for name, port in asdict(self).items() if port}


def function_url(port: int) -> str:
    """Return a local function's URL, which is the audience of push tokens."""
    return f"http://{HOST}:{port}"


def ports_from(base: int, has_subscribers: bool = False) -> Ports:
    return Ports(
        receive=base,
        transform=base + 1,
        notify=base + 2,
        subscribe=base + 3 if has_subscribers else 0,
        apis=base + 5,
        inspector=base + 10,
    )


def port_base(environ: Mapping[str, str]) -> int:
    """Return PORT_BASE, else the default. Raises UsageError."""
    text = environ.get("PORT_BASE") or str(DEFAULT_BASE)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= HIGHEST_BASE):
        raise UsageError(f"PORT_BASE: must be a number from 1 to {HIGHEST_BASE}; got {text!r}")
    return int(text)


class PortsTaken(Exception):
    """A port is in use. The text names the port, the program if it is known, and what to do."""


def require_free(
    base: int, is_free: Callable[[int], bool], owner: Callable[[int], str | None], command: str = "make dev"
) -> None:
    """Raise PortsTaken if a port is in use.

    The port of subscribe must be free too, because `subscribers` may be added while `hookchain dev` runs.
    """
    busy = {name: port for name, port in ports_from(base, has_subscribers=True).named().items() if not is_free(port)}
    if not busy:
        return
    owners = {port: owner(port) for port in busy.values()}
    lines = [
        f"Port {port} ({name}) is in use" + (f" by {owners[port]}." if owners[port] else ".")
        for name, port in busy.items()
    ]
    advice = "Stop that program, or move all ports"
    free = next(_free_bases(is_free), None)
    lines.append(f"{advice}: PORT_BASE={free} {command}" if free else f"{advice} with PORT_BASE.")
    raise PortsTaken("\n".join(lines))


def _free_bases(is_free: Callable[[int], bool]) -> Iterator[int]:
    for base in range(9080, 30_000, 1000):
        if all(is_free(port) for port in ports_from(base, has_subscribers=True).named().values()):
            yield base


def is_free(port: int) -> bool:
    """Return whether nothing listens on the port."""
    # On some systems a program can bind a port on which another one listens on all addresses, so try to connect first.
    with socket.socket() as client:
        client.settimeout(0.2)
        if client.connect_ex((HOST, port)) == 0:
            return False
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def owner_of(port: int) -> str | None:
    """Return the program that listens on the port, if lsof is installed and knows it."""
    lsof = shutil.which("lsof")
    if lsof is None:
        return None
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LSOF_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return owner_from(done.stdout)


def owner_from(listing: str) -> str | None:
    """Return the program from lsof's field output: a line `p<pid>`, then a line `c<command>`."""
    fields = {line[0]: line[1:] for line in reversed(listing.splitlines()) if line}
    return f"{fields['c']} (process {fields['p']})" if {"c", "p"} <= fields.keys() else None


FILE_NAME: Final = "dev.json"


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint for a first event. `trial` is a command that sends one; `sources` are lines with their URLs."""

    trial: str
    sources: tuple[str, ...]


def write_dev_file(
    state: Path,
    ports: Ports,
    hint: Hint,
    config: Path | None,
    sends_mail: bool = False,
    by_name: bool = False,
    faults: str = "",
    aws: Mapping[str, str] | None = None,
    env_file: Path | None = None,
    env_version: int | None = None,
    reloads: bool = True,
) -> None:
    """Write the file.

    config      the configuration's file; None in the mode without a file
    sends_mail  mails are sent to people
    by_name     `hookchain dev` was started with the name of its configuration
    faults      the reason why an older version of the files is served; empty if it is the newest
    aws         the environment of a function if the functions run on the local AWS, otherwise None
    env_version the version of the env file when it was read
    reloads     a configuration that changes is served at once
    """
    document: Json = {
        "process": os.getpid(),
        "ports": dict(ports.named()),
        "trial": hint.trial,
        "sources": list(hint.sources),
        "config": str(config.absolute()) if config else "none",
        "sends_mail": sends_mail,
        "by_name": by_name,
        "faults": faults,
        "aws": None if aws is None else dict(aws),
        "env_file": None if env_file is None else str(env_file.absolute()),
        "env_version": env_version,
        "unchanged_since": None if reloads or config is None else time.time(),
    }
    descriptor = os.open(state / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # it may be there already
        file.write(to_json(document))


def read_hint(state: Path) -> Hint | None:
    """Return the hint of the running `hookchain dev`, or None."""
    document = read_dev_file(state)
    if document is None:
        return None
    return Hint(str(document.get("trial", "")), tuple(map(str, list_at(document, "sources"))))


PRODUCTION_FILE: Final = "production"
"""An empty file in the state of `hookchain serve`, whose deliveries leave this machine."""


def is_production(state: Path) -> bool:
    return (state / PRODUCTION_FILE).exists()


def command_of(state: Path) -> str:
    """Return the command that runs with the state folder."""
    return "hookchain serve" if is_production(state) else "hookchain dev"


def start_command(state: Path) -> str:
    """Return the command that starts Hookchain with the state folder, as an operator types it."""
    return "hookchain serve" if is_production(state) else "make dev"


def is_sending_mail(state: Path) -> bool:
    """Return whether a running `hookchain dev` sends mails to people."""
    return value_at(read_dev_file(state), "sends_mail") is True


def served_config(state: Path) -> str | None:
    """Return the HOOKCHAIN_CONFIG that stands for what a running `hookchain dev` serves; None if none is running."""
    config = value_at(read_dev_file(state), "config")
    return config if isinstance(config, str) else None


def served_env_file(state: Path) -> str | None:
    """Return the env file of a running `hookchain dev`; None if none is running."""
    env_file = value_at(read_dev_file(state), "env_file")
    return str(env_file) if env_file else None


def env_version(env_file: Path) -> int | None:
    """Return a number that each change of the file changes; None if the file does not exist."""
    try:
        return env_file.stat().st_mtime_ns
    except OSError:
        return None


def unread_since(state: Path, env_file: Path) -> float | None:
    """Return when the env file was changed, in Unix seconds; None if nothing runs that has to read it again."""
    document = read_dev_file(state)
    version = env_version(env_file)
    if document is None or document.get("env_version") == version:
        return None
    return (version or 0) / 1e9


def is_served_by_name(state: Path) -> bool:
    """Return whether a running `hookchain dev` was started with the name of its configuration."""
    return value_at(read_dev_file(state), "by_name") is True


def read_aws_environ(state: Path) -> Mapping[str, str] | None:
    """Return the environment of a function of a running `hookchain dev --platform aws`; None if none is running."""
    environ = value_at(read_dev_file(state), "aws")
    return {name: str(value) for name, value in environ.items()} if isinstance(environ, dict) else None


def config_faults(state: Path) -> str:
    """Return why a running `hookchain dev` serves an older configuration; empty if it does not."""
    return outdated(state) or str(mapping_at(read_dev_file(state)).get("faults", ""))


def outdated(state: Path) -> str:
    """Return a sentence if a running `hookchain dev --no-reload` serves an older version of its file; else nothing."""
    document = read_dev_file(state) or {}
    since = document.get("unchanged_since")
    config = str(document.get("config"))
    with suppress(OSError):  # the file is gone: what is served is not older than it
        if isinstance(since, float) and Path(config).stat().st_mtime > since:
            if is_production(state):
                return f"{config} has changed since `hookchain serve` read it: send it SIGHUP to serve it"
            return f"{config} has changed since `hookchain dev --no-reload` read it: restart that to serve it"
    return ""


def read_dev_file(state: Path) -> JsonObject | None:
    """Return the file, or None if no `hookchain dev` is running. A killed one leaves its file behind."""
    try:
        document: Json = json.loads((state / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and _is_alive(document.get("process")) else None


def _is_alive(process: Json) -> bool:
    if not isinstance(process, int) or process < 1:
        return False
    try:
        os.kill(process, 0)  # the signal 0 only asks if the process exists
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def remove_dev_file(state: Path) -> None:
    (state / FILE_NAME).unlink(missing_ok=True)


PAUSE_FILE: Final = "restored.json"
"""An empty file in a state folder that `hookchain restore` made: nothing is delivered until `hookchain resume --all`
removes it."""
NOT_RESUMED: Final = "restored from a backup, delivers nothing yet"
RESUME_ALL: Final = "hookchain resume --all"


def is_paused(state: Path) -> bool:
    """Return whether nothing is delivered since a restore."""
    return (state / PAUSE_FILE).exists()
