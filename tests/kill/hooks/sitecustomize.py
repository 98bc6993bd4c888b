"""Python runs this when it starts and finds it on PYTHONPATH: the pipe as it is, in a world that a test disturbs.

DISTURBED_CLOCK    a file of eight bytes: by how many seconds this machine's clock is wrong, changed while it runs
DISTURBED_PORTS    {"20005": 31000}: what is sent to the first port goes through the second, where a proxy listens
DISTURBED_COMMIT   how many seconds longer each commit of SQLite takes, as on a slow disk
DISTURBED_REMOVED  `deduplication`: the ledger lets every claim have its delivery, to show that the test sees it
"""

import json
import mmap
import os
import sqlite3
import struct
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

if path := os.environ.get("DISTURBED_CLOCK"):
    with Path(path).open("rb") as file:
        OFFSET = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    REAL_TIME = time.time

    def disturbed_time() -> float:
        offset: float = struct.unpack_from("d", OFFSET)[0]
        return REAL_TIME() + offset

    vars(time)["time"] = disturbed_time

if text := os.environ.get("DISTURBED_PORTS"):
    from shared.outgoing.http_client import Connection, HttpClient

    PORTS: dict[int, int] = {int(port): proxy for port, proxy in json.loads(text).items()}
    CONNECT = HttpClient._connect

    async def connect_through_proxy(self: HttpClient, deadline: float) -> Connection:
        self._port = PORTS.get(self._port, self._port)
        return await CONNECT(self, deadline)

    HttpClient._connect = connect_through_proxy  # type: ignore[method-assign]

if commit_seconds := float(os.environ.get("DISTURBED_COMMIT") or 0.0):

    class SlowConnection(sqlite3.Connection):
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
        ) -> Literal[False]:
            time.sleep(commit_seconds)
            return super().__exit__(kind, error, at)

    vars(sqlite3)["connect"] = partial(sqlite3.connect, factory=SlowConnection)

if os.environ.get("DISTURBED_REMOVED") == "deduplication":
    from shared import ledger_rules
    from shared.ledger import Claim, Claimed, LedgerRow

    def claim_for_everyone(
        row: LedgerRow,
        *,
        payload_hash: str,
        message: bytes,
        now: float,
        lease_seconds: float,
        due_fence: int | None,
        fence: int,
    ) -> tuple[Claim, LedgerRow]:
        lease_until = now + lease_seconds
        claimed = row._replace(state=ledger_rules.ATTEMPTED, fence=fence, updated_at=now, lease_until=lease_until)
        return Claimed(claimed, message), claimed

    vars(ledger_rules)["claim"] = claim_for_everyone
