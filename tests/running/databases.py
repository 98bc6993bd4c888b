"""Real databases for tests: a new PostgreSQL or MariaDB in a folder of its own, at a port of its own."""

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, wait_for

DATABASE: Final = "app"
NO_FILES: Final[Mapping[str, str]] = {}


def has_postgresql() -> bool:
    return _initdb() is not None and shutil.which("psql") is not None


def _initdb() -> str | None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return shutil.which("initdb") or (str(programs[-1]) if programs else None)


@contextmanager
def postgresql(*options: str, files: Mapping[str, str] = NO_FILES) -> Iterator[str]:
    """Yield the URL of a new database, whose user `app` needs no password. Skip the test where there is no server.

    `options` are the server's, in which `{folder}` is that of the `files`, which only it can read.
    """
    initdb = _initdb()
    if initdb is None or not shutil.which("psql"):
        pytest.skip("PostgreSQL is not here: install the package postgresql")
    with _folder("postgres") as (folder, user):
        arguments = ["--pgdata", str(folder / "data"), "--username", "app", "--auth", "trust", "--no-sync"]
        subprocess.run([initdb, *arguments], user=user, cwd=folder, check=True, capture_output=True)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
            (folder / name).chmod(0o600)
            shutil.chown(folder / name, user)
        port = free_port()
        server = [str(Path(initdb).with_name("postgres")), "-D", str(folder / "data"), "-F"]
        server += [option.format(folder=folder) for option in options]
        address = ["-h", "127.0.0.1", "-p", str(port), *([] if "-k" in options else ["-k", ""])]
        # SIGINT closes the connections that are left.
        with _server([*server, *address], folder, user, signal.SIGINT):
            url = f"postgresql://app@127.0.0.1:{port}/postgres"
            wait_for(lambda: subprocess.run(["psql", url, "-c", ""], capture_output=True).returncode == 0)
            yield url


@contextmanager
def mariadb() -> Iterator[str]:
    """Yield the URL of a new database, whose user `app` has a password. Skip the test where there is no server."""
    install, server = shutil.which("mariadb-install-db"), shutil.which("mariadbd")
    if install is None or server is None:
        pytest.skip("MariaDB is not here: install the package mariadb-server")
    with _folder("mysql") as (folder, user):
        data = ["--no-defaults", f"--datadir={folder / 'data'}"]
        quiet = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        subprocess.run([install, *data, *quiet], user=user, cwd=folder, check=True, capture_output=True)
        port, socket = free_port(), folder / "socket"
        address = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={socket}", f"--pid-file={folder / 'pid'}"]
        fast = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--performance-schema=off"]
        with _server([server, *data, *address, *fast], folder, user, signal.SIGTERM):
            client = [
                "mariadb",
                "--no-defaults",
                "--default-character-set=utf8mb4",
                f"--socket={socket}",
                "--user=root",
            ]
            wait_for(lambda: subprocess.run([*client, "-e", ""], capture_output=True).returncode == 0)
            made = (
                f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4; CREATE USER app@'%' IDENTIFIED BY 'app''s k€y';"
                f"GRANT ALL ON {DATABASE}.* TO app@'%'"
            )
            subprocess.run([*client, "-e", made], check=True, capture_output=True)
            yield f"mysql://app:app%27s%20k%E2%82%ACy@127.0.0.1:{port}/{DATABASE}"


@contextmanager
def _folder(account: str) -> Iterator[tuple[Path, str]]:
    """Yield a folder and the user that a server runs as, which is not root."""
    user = account if os.getuid() == 0 else getpass.getuser()
    folder = Path(tempfile.mkdtemp(prefix=f"hookchain-{account}-"))
    try:
        shutil.chown(folder, user)
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(command: Sequence[str], folder: Path, user: str, ending: signal.Signals) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(ending)
        process.wait(PATIENCE_SECONDS)
