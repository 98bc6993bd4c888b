"""A `hookchain dev` of its own, for a test to be rough with."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config.page_token import page_token, page_url
from deploy.dev.caught import Mailbox
from deploy.dev.mail import Mail
from deploy.history.journal_view import DeadLetterRow
from deploy.history.local_journal import JournalReader
from shared.cloud.local.journal import FILE_NAME
from shared.jsontext import JsonObject
from tests.running.emulation import JSON_TYPE
from tests.running.ports import free_base
from tests.running.processes import PATIENCE_SECONDS, ROOT

OFFSETS: Final = {"receive": 0, "transform": 1, "notify": 2, "apis": 5}
"""The killed processes' ports, from the first of the stack's."""


@dataclass(frozen=True, slots=True)
class Stack:
    base: int
    state: Path
    pid: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.base}"

    @property
    def page(self) -> str:
        """The URL that opens the page, with its token."""
        return page_url(self.base + 10, page_token(self.state))

    @property
    def page_headers(self) -> dict[str, str]:
        return {**JSON_TYPE, "Authorization": f"Bearer {page_token(self.state)}"}

    def port(self, name: str) -> int:
        return self.base + OFFSETS[name]

    def kill(self, name: str) -> int:
        """End every process of that part at once, as a crash would; how many there were."""
        pids = self.pids(name)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def pids(self, name: str) -> list[int]:
        """gunicorn's master and worker have the same arguments, in which the port is."""
        table = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        port = f"--port {self.port(name)}"
        rows = [line.strip().partition(" ") for line in table.splitlines()]
        return [int(pid) for pid, _, arguments in rows if port in f"{arguments} ".replace("  ", " ")]

    def mails(self) -> list[Mail]:
        """What the emulated SendGrid has, newest first."""
        with contextlib.closing(Mailbox(self.state)) as mailbox:
            return list(mailbox.list_mail(1_000_000))

    def dead_letters(self) -> list[DeadLetterRow]:
        with JournalReader(self.state / FILE_NAME) as reader:
            return list(reader.dead_letters(500, state=None))

    def trouble(self, faults: JsonObject) -> bool:
        """Set the emulated APIs' faults, which a restart forgets; False where they do not answer now."""
        body = json.dumps(faults).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.base + 5}/emulator/faults", body, JSON_TYPE)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def running(
    folder: Path,
    config: str | None,
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
    log_level: str = "WARNING",
    base: int | None = None,
    root: Path = ROOT,
    *,
    serves: bool = False,
) -> Iterator[Stack]:
    """The whole pipe, until the block ends; None is the mode without a file. It prints into `<folder>/output`.

    `base` is the first of its ports, from `free_base`, for those who must know it before; `root` is the checkout.
    `serves`: it is `hookchain serve`.
    """
    path = folder / "hookchain.yaml"
    path.write_text(config or "", encoding="utf-8")
    if serves:
        (folder / "env").touch(mode=0o600)
    base, state = base or free_base(), folder / "state"
    command = [
        sys.executable,
        "-m",
        "deploy.cli",
        "serve" if serves else "dev",
        "--config",
        str(path) if config else "none",
        "--port-base",
        str(base),
    ]
    command += ["--state", str(state), "--env-file", str(folder / "env"), *([] if serves else ["--no-reload"])]
    command += ["--log-level", log_level, *arguments]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=root, env={**os.environ, **environ}, stdout=output, stderr=output)
    stack = Stack(base, state, process.pid)
    try:
        _wait_until_up(process, folder / "output")
        yield stack
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait_until_up(process: "subprocess.Popen[bytes]", output: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        if "Hookchain is up" in output.read_text(encoding="utf-8", errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"hookchain dev did not come up:\n{output.read_text(errors='replace')[-3000:]}")
