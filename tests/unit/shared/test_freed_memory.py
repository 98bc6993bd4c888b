"""Freed memory, in a process of its own: the limits hold for the whole of one."""

import ctypes
import subprocess
import sys

import pytest

from tests.processes import ROOT

USED_AGAIN = """
import resource
from shared.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [b"x" * 1024 * 1024 for _ in range(20)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_memory_that_was_freed_is_used_again_without_a_page_fault() -> None:
    command = [sys.executable, "-c", USED_AGAIN]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first, again = map(int, printed.split())
    assert first > 1_000
    assert again < 50
