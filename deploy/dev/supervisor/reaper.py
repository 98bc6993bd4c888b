"""The process that ends the supervisor's process groups once the supervisor is gone, even if it was killed.

Run as `python -I -S reaper.py FOLDER` with a pipe as standard input. A line `+123` adds a group, `-123` removes it.
When the pipe closes, because the supervisor closed it or was killed, every remaining group gets SIGTERM, then SIGKILL,
and FOLDER is deleted. It imports little, so it starts in milliseconds and needs little memory.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 3.0


def groups_left(lines: Iterable[str]) -> set[int]:
    """Return the groups that were added and not removed."""
    left: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            left.add(group)
        else:
            left.discard(group)
    return left


def end_groups(groups: Iterable[int], grace_seconds: float) -> None:
    """Send SIGTERM, and SIGKILL to the groups that are still there after the grace period."""
    left = [group for group in groups if signal_group(group, signal.SIGTERM)]
    deadline = time.monotonic() + grace_seconds
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if signal_group(group, 0)]
    for group in left:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Send a signal; return whether the group exists. Number 0 sends nothing."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group that holds nothing but zombies
        return False
    return True


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(groups_left(sys.stdin), GRACE_SECONDS)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
