"""Memory that is kept for a while, in a process of its own where it is real: it is set for the whole of one."""

import asyncio
import ctypes
import subprocess
import sys
from collections.abc import Callable

import pytest

from shared import freed_memory
from shared.freed_memory import keep_freed_memory
from tests.processes import ROOT

KEPT_AND_GIVEN_BACK = """
import asyncio, resource
from pathlib import Path
from shared import freed_memory

MIB = 1024 * 1024

def use():
    pieces = [b"x" * MIB for _ in range(20)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    use()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // MIB

async def main():
    use()
    first = faults()
    freed_memory.KEPT_SECONDS = 0.05
    freed_memory.keep_freed_memory()
    use()
    again, kept = faults(), resident_mib()
    await asyncio.sleep(0.2)
    print(first, again, kept - resident_mib())

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_memory_that_was_freed_is_used_again_without_a_page_fault_and_given_back_later() -> None:
    command = [sys.executable, "-c", KEPT_AND_GIVEN_BACK]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first, again, given_back_mib = map(int, printed.split())
    assert first > 1_000
    assert again < 50
    assert given_back_mib > 15


def test_memory_is_given_back_only_once_no_large_request_has_come_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    handles: list[asyncio.TimerHandle] = []

    async def two_requests() -> list[bool]:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def remembered(delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
            handles.append(call_later(delay, callback))
            return handles[-1]

        monkeypatch.setattr(loop, "call_later", remembered)
        for _ in range(2):
            keep_freed_memory()
        return [handle.cancelled() for handle in handles]

    monkeypatch.setattr(freed_memory, "_freed_memory", freed_memory._FreedMemory())
    assert asyncio.run(two_requests()) == [True, False]


def test_a_python_without_ctypes_takes_large_requests_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def request() -> None:
        keep_freed_memory()
        await asyncio.sleep(0.01)

    monkeypatch.setitem(sys.modules, "ctypes", None)
    monkeypatch.setattr(freed_memory, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(freed_memory, "_freed_memory", freed_memory._FreedMemory())
    asyncio.run(request())
