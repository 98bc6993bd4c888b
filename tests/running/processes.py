"""Starting programs and waiting for what they bring about."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE_SECONDS: Final = 120.0
"""How long a test waits for what a process is to bring about. Only a failure takes that long, on any machine."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to post."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Running:
    pid: int
    port: int
    start_seconds: float
    log: Path

    def output(self) -> str:
        """What it has written so far, on both of its outputs."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def post(port: int, request: Request, timeout: float = PATIENCE_SECONDS) -> int:
    """The status; 0 where nothing listens yet."""
    web = urllib.request.Request(f"http://127.0.0.1:{port}{request.path}", request.body, dict(request.headers))
    try:
        with urllib.request.urlopen(web, timeout=timeout) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextlib.contextmanager
def started(
    command: Sequence[str],
    environ: Mapping[str, str],
    port: int,
    request: Request,
    ready: str = "200",
    cwd: Path = ROOT,
) -> Iterator[Running]:
    """The process, from its start until it is ready (a status: answers so; `open`: listens) until the block ends."""
    with tempfile.TemporaryDirectory() as runtime:
        log = Path(runtime, "output")
        whole = {**os.environ, "XDG_RUNTIME_DIR": runtime, **environ}
        began = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=cwd, env=whole, stdout=output, stderr=output, start_new_session=True
            )
        try:
            _wait(process, log, lambda: is_open(port) if ready == "open" else post(port, request) == int(ready))
            yield Running(process.pid, port, time.perf_counter() - began, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)


def _wait(process: "subprocess.Popen[bytes]", log: Path, is_ready: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        if is_ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.003)
    raise RuntimeError(f"{process.args!r} did not get ready:\n{log.read_text(errors='replace')[-2000:]}")


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def functions_framework(folder: str, target: str, port: int) -> list[str]:
    source = str(ROOT / folder / "main.py")
    return [str(BIN / "functions-framework"), "--source", source, "--target", target, "--port", str(port)]


def wait_for(claim: Callable[[], bool], seconds: float = PATIENCE_SECONDS, every_seconds: float = 0.05) -> None:
    give_up_at = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < give_up_at, "it did not come true in time"
        time.sleep(every_seconds)
