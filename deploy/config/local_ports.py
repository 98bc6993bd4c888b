"""The ports of a local Hookchain, all counted from one port base, and whether they are free."""

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from deploy.terminal.command_line import UsageError

HOST: Final = "127.0.0.1"
DEFAULT_BASE: Final = 8080
HIGHEST_BASE: Final = 65_535 - 10
"""The highest port is 65535, and the inspector has the base port plus 10."""


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
    """A port is in use. The text names each such port, and then what to do, on a line of its own."""


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


def require_free(base: int, command: str = "make dev", can_listen: Callable[[int], bool] = is_free) -> None:
    """Raise PortsTaken if a port is in use. `command` is run again with the port base that the text suggests.

    The port of subscribe must be free too, because `subscribers` may be added while `hookchain dev` runs.
    """
    ports = ports_from(base, has_subscribers=True).named()
    busy = [f"Port {port} ({name}) is in use." for name, port in ports.items() if not can_listen(port)]
    if not busy:
        return
    advice = "Stop the program that uses it, or move all ports"
    free = next(_free_bases(can_listen), None)
    advice += f": PORT_BASE={free} {command}" if free else " with PORT_BASE."
    raise PortsTaken("\n".join([*busy, advice]))


def _free_bases(can_listen: Callable[[int], bool]) -> Iterator[int]:
    for base in range(9080, 30_000, 1000):
        if all(can_listen(port) for port in ports_from(base, has_subscribers=True).named().values()):
            yield base
