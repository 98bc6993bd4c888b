"""CPU time and memory of a process and of everything that it started.

On Linux the kernel's clock of each process counts nanoseconds. Elsewhere `ps` counts hundredths of a second, and of the
processes that ended meanwhile nothing.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

IS_LINUX = sys.platform == "linux"


def cpu_seconds(root: int) -> float:
    """Return the user and system time so far of the process, its descendants and its descendants that have ended."""
    return cpu_seconds_of(tree_of(root))


def cpu_seconds_of(pids: Iterable[int]) -> float:
    return sum(map(_process_seconds, pids))


def resident_mib(root: int) -> float:
    """Return the resident memory of the process and its descendants; memory that they share counts in each."""
    pids = ",".join(map(str, tree_of(root)))
    return sum(map(int, _ps("-o", "rss=", "-p", pids).split())) / 1024


def tree_of(root: int) -> set[int]:
    return process_tree(root, read_parents(_ps("-A", "-o", "pid=,ppid=")))


def process_tree(root: int, parents: Mapping[int, int]) -> set[int]:
    """Return the process and its descendants. `parents` maps each process to its parent."""
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def read_parents(table: str) -> dict[int, int]:
    """Parse the lines of `ps -o pid=,ppid=`."""
    return {int(pid): int(parent) for pid, parent in (line.split() for line in table.splitlines() if line.strip())}


def ended_children_ticks(stat: str) -> int:
    """Return the CPU time of the ended children that the process has waited for, from its `/proc/<pid>/stat`."""
    fields = stat.rpartition(")")[2].split()  # the program's name before it may contain spaces and brackets
    return int(fields[13]) + int(fields[14])


def ps_seconds(text: str) -> float:
    """Parse `[[dd-]hh:]mm:ss[.ss]`, as `ps -o time=` prints CPU time."""
    days, _, clock = text.strip().rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + int(days or 0) * 86_400


def _process_seconds(pid: int) -> float:
    """Return 0 for a process that ended since it was listed."""
    if not IS_LINUX:
        return sum(map(ps_seconds, _ps("-o", "time=", "-p", str(pid)).splitlines()))
    try:
        # The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it.
        own = time.clock_gettime((~pid << 3) | 2)
        children = ended_children_ticks(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return 0.0
    return own + children / os.sysconf("SC_CLK_TCK")


def _ps(*arguments: str) -> str:
    """Return what ps prints. It fails where a process has ended, which is no fault."""
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout
