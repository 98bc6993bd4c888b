"""All checks side by side, each in a thread, and no longer than the slowest that may be waited for."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from deploy.google.api import ApiError, NotSignedIn
from deploy.google.gcloud import GcloudFault, GcloudMissing
from deploy.secrets.backend import BackendError
from deploy.terminal.finding import Check, Finding, unknown
from shared.errors import place_of

LONGEST_SECONDS: Final = 45.0
"""gcloud may take 30 for a token on a small machine, and Google some more for what is asked with it."""
TELL_SECONDS: Final = 0.5


def checkup(
    checks: Sequence[Check], tell: Callable[[int], None], longest_seconds: float = LONGEST_SECONDS
) -> list[tuple[str, Finding]]:
    """In the order of `checks`. `tell` gets how many are done, twice a second."""
    done: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()
    for check in checks:
        # A daemon: what hangs in a system call must not keep the command from ending.
        threading.Thread(target=_run, args=(check, done), daemon=True).start()
    deadline = time.monotonic() + longest_seconds
    found: dict[str, Finding] = {}
    while len(found) < len(checks) and (left := deadline - time.monotonic()) > 0:
        try:
            name, finding = done.get(timeout=min(TELL_SECONDS, left))
            found[name] = finding
        except queue.Empty:
            tell(len(found))
    late = unknown(f"no answer within {longest_seconds:.0f} s", "try again; or look at your connection")
    return [(check.name, found.get(check.name, late)) for check in checks]


def _run(check: Check, done: "queue.SimpleQueue[tuple[str, Finding]]") -> None:
    done.put((check.name, _finding(check)))


def _finding(check: Check) -> Finding:
    try:
        return check.run()
    except (NotSignedIn, GcloudMissing):
        return unknown("needs gcloud, signed in")
    except (ApiError, GcloudFault, BackendError) as fault:
        return unknown(str(fault).split("\n")[0])
    except Exception as error:  # one check's own fault must not hide what the others found
        return unknown(f"the check itself failed: {place_of(error)}", "please report it")
