"""Servers of npm packages, each in a process of Node's own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.running.ports import free_port

END: Final = 'process.stdin.resume().on("end", () => process.exit(0));'


@contextmanager
def npm_server(start: str, package: Path) -> Iterator[int]:
    """Yield the port of a server. `start` prints "ready"; its arguments are the package's folder and the port."""
    if shutil.which("node") is None:
        pytest.skip(f"node is not here: install nodejs, which runs npm's {package.name}")
    port = free_port()
    command = ["node", "-e", f"{start}\n{END}", str(package), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield port
        finally:
            process.kill()
