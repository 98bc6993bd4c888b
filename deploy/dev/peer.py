"""Which user of this machine a connection comes from.

Linux lists the owner of every TCP socket in /proc/net. Other systems do not: there, every local user counts as the one
who runs this process.
"""

import os
import socket
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

Address: TypeAlias = tuple[str, int]

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_OWNER: Final = 7
_INODE: Final = 9
_ROOT: Final = 0


def is_other_user(client: Address, server: Address) -> bool:
    """Return whether another user than ours, or than root, opened this IPv4 connection, or nobody holds it any more."""
    return _owners_are_listed() and _owner(client, server) not in {os.geteuid(), _ROOT}


def _owner(client: Address, server: Address) -> int | None:
    for table in _TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()
        except OSError:  # no IPv6 here, or no /proc
            continue
        if (owner := owner_in(lines, client, server)) is not None:
            return owner
    return None


def owner_in(lines: Iterable[str], client: Address, server: Address) -> int | None:
    """Return the user who holds the client's end, by the lines of a table, or None.

    The kernel lists a socket that its process has closed with user 0 and inode 0: nobody holds it.
    """
    ends = {f"{_hex(client)} {_hex(server)}", f"{_mapped(client)} {_mapped(server)}"}
    for line in lines:
        fields = line.split()
        if " ".join(fields[1:3]) in ends and fields[_INODE] != "0":
            return int(fields[_OWNER])
    return None


def _hex(address: Address) -> str:
    """Return an IPv4 address and a port as /proc/net/tcp writes them: the address in the machine's byte order."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def _mapped(address: Address) -> str:
    """Return the same as an IPv6 socket has it, which some clients use for IPv4 too."""
    word = int.from_bytes(b"\x00\x00\xff\xff", sys.byteorder)
    return f"{0:016X}{word:08X}{_hex(address)}"


@cache
def _owners_are_listed() -> bool:
    """Try with a connection of our own: without /proc, or in some sandboxes, the tables do not tell."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        return _owner(client.getsockname(), listener.getsockname()) == os.geteuid()
