"""`hookchain resume DESTINATION`: let a destination that is paused or disabled take deliveries again."""

import time
from typing import Final

from deploy.cli.destination_command import CACHE_TIME, Subject, destination_parser, run_on_destination
from deploy.history.destinations import Resumed, resume_destination
from deploy.terminal.command_error import CommandError
from deploy.terminal.printing import count_of

DETAILS: Final = f"""\
An answer such as 410 disables a destination. Fix the cause first: `hookchain status` shows it. Failures in a row pause
a destination for a time; resume it if the receiver is available sooner. Its waiting deliveries are then attempted
without the rest of their wait, except those that the receiver may already have accepted. Running functions can take
{CACHE_TIME} to notice."""


def main(arguments: list[str]) -> int:
    command = destination_parser("resume", "hookchain resume crm --platform gcp", DETAILS, "resumed")
    return run_on_destination("resume", command.parse_args(arguments), _resume)


async def _resume(subject: Subject) -> str:
    now = time.time()
    is_stopped = await subject.stopped_by(now) is not None
    if not is_stopped and await subject.ledger.rows(1, destination=subject.name, state="held"):
        act = f"run `hookchain release {subject.name}{subject.where}`"
        raise CommandError(f"{subject.name} is not paused. To send what is held for it, {act}")
    resumed = await resume_destination(subject.ledger, subject.name, now)
    if not is_stopped and not resumed.hastened:
        return "not paused: nothing to do"
    deliveries = _deliveries(resumed, subject.attempt_time(resumed.delay_seconds))
    return f"{'resumed' if is_stopped else 'it was not paused'}; {deliveries}"


def _deliveries(resumed: Resumed, attempt_time: str) -> str:
    counts = (
        (resumed.released, "held delivery", "held deliveries"),
        (resumed.hastened, "waiting delivery", "waiting deliveries"),
    )
    found = " and ".join(count_of(count, one, many) for count, one, many in counts if count)
    return f"{found} will be attempted {attempt_time}" if found else "no delivery was held or waiting"
