"""Memory that is kept, in a process of its own: it is set for the whole of one."""

import ctypes
import subprocess
import sys

import pytest

from shared.freed_memory import keep_freed_memory
from tests.processes import ROOT

FAULTS = """
import resource
from shared.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        b"".join([b"x" * size for size in range(1_300, 1_400)])
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_memory_that_was_freed_is_used_again_without_a_page_fault() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", FAULTS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    given_back, kept = map(int, printed.split())
    assert given_back > 1_000
    assert kept < 50


def test_a_python_without_ctypes_sends_large_requests_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    keep_freed_memory.__wrapped__()
