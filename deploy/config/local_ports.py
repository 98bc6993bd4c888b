"""The ports of a local Hookchain, all counted from one port base, and whether they are free."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from deploy.terminal.command_line import UsageError

HOST: Final = "127.0.0.1"
DEFAULT_BASE: Final = 8080
HIGHEST_BASE: Final = 65_535 - 10
"""The highest port is 65535, and the inspector has the base port plus 10."""
LSOF_SECONDS: Final = 2
"""lsof is slow on some machines, and its answer only makes a message more helpful."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the functions, of the emulated cloud APIs and of the page, which the inspector serves.

    `subscribe` is 0 if the configuration has no subscribers.
    """

    receive: int
    transform: int
    notify: int
    apis: int
    inspector: int
    subscribe: int = 0

    def named(self) -> dict[str, int]:
        """Return the ports that are used, by their names."""
        return {name: port for name, port in asdict(self).items() if port}


def function_url(port: int) -> str:
    """Return a local function's URL, which is the audience of push tokens."""
    return f"http://{HOST}:{port}"


def ports_from(base: int, has_subscribers: bool = False) -> Ports:
    """Return the ports for a port base."""
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
    base: int, can_listen: Callable[[int], bool], owner: Callable[[int], str | None], command: str = "make dev"
) -> None:
    """Raise PortsTaken if a port is in use. Pass `is_free` and `owner_of`, or stand-ins for them in a test.

    The port of subscribe must be free too, because `subscribers` may be added while `hookchain dev` runs.
    """
    busy = {name: port for name, port in ports_from(base, has_subscribers=True).named().items() if not can_listen(port)}
    if not busy:
        return
    owners = {port: owner(port) for port in busy.values()}
    lines = [
        f"Port {port} ({name}) is in use" + (f" by {owners[port]}." if owners[port] else ".")
        for name, port in busy.items()
    ]
    advice = "Stop that program, or move all ports"
    free = next(_free_bases(can_listen), None)
    lines.append(f"{advice}: PORT_BASE={free} {command}" if free else f"{advice} with PORT_BASE.")
    raise PortsTaken("\n".join(lines))


def _free_bases(can_listen: Callable[[int], bool]) -> Iterator[int]:
    for base in range(9080, 30_000, 1000):
        if all(can_listen(port) for port in ports_from(base, has_subscribers=True).named().values()):
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
    fields: dict[str, str] = {}
    for line in filter(None, listing.splitlines()):
        fields.setdefault(line[0], line[1:])  # of several processes, the first one is shown
    return f"{fields['c']} (process {fields['p']})" if {"c", "p"} <= fields.keys() else None
