"""Running checks side by side within a time limit, so that one that hangs or fails does not hide what others found."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from deploy.cloud_access import aws, gcp
from deploy.terminal import command_line
from deploy.terminal.finding import Check, Finding, unknown
from shared import errors

LONGEST_SECONDS: Final = 45.0
"""gcloud may take 30 s for a token on a small machine; the requests that use it come after that."""
PROGRESS_SECONDS: Final = 0.5


def checkup(
    checks: Sequence[Check], progress: Callable[[int], None], longest_seconds: float = LONGEST_SECONDS
) -> list[tuple[str, Finding]]:
    """Return the findings in the order of `checks`. `progress` gets the number that are done, twice a second."""
    done: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()
    for check in checks:
        # A daemon: what hangs in a system call must not keep the command from ending.
        threading.Thread(target=_run, args=(check, done), daemon=True).start()
    deadline = time.monotonic() + longest_seconds
    found: dict[str, Finding] = {}
    while len(found) < len(checks) and (left := deadline - time.monotonic()) > 0:
        try:
            name, finding = done.get(timeout=min(PROGRESS_SECONDS, left))
            found[name] = finding
        except queue.Empty:
            progress(len(found))
    late = unknown(f"no answer within {longest_seconds:.0f} s", "try again; or check your connection")
    return [(check.name, found.get(check.name, late)) for check in checks]


def _run(check: Check, done: "queue.SimpleQueue[tuple[str, Finding]]") -> None:
    done.put((check.name, _finding_of(check)))


def _finding_of(check: Check) -> Finding:
    try:
        return check.run()
    except (gcp.NotSignedIn, gcp.GcloudMissing):
        return unknown("needs gcloud, signed in")
    except aws.NoCredentials:
        return unknown("needs AWS credentials")
    except (gcp.ApiError, command_line.CommandError) as fault:
        return unknown(str(fault).split("\n")[0])
    except Exception as error:  # one check's own fault must not hide what the others found
        return unknown(f"the check failed: {errors.place_of(error)}", "please report it")
