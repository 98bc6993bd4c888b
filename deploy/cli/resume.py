"""`hookchain resume DESTINATION`: let a destination that is paused or disabled take deliveries again."""

import time

from deploy.cli.destination_command import Subject, destination_parser, run_on_destination
from deploy.history.destinations import resume_destination
from deploy.terminal.command_error import CommandError
from deploy.terminal.printing import count_of


def main(arguments: list[str]) -> int:
    details = """\
A receiver's answer disables a destination, such as 410. Repair that first: `hookchain status` shows it.
The end of a pause takes 11 s, until all running functions notice. What waits for the destination is then sent."""
    command = destination_parser("resume", "hookchain resume crm --platform gcp", details, "resumed")
    return run_on_destination("resume", command.parse_args(arguments), _resume)


async def _resume(subject: Subject) -> str:
    now = time.time()
    if await subject.stopped_by(now) is None:
        if await subject.ledger.rows(1, destination=subject.name, state="held"):
            act = f"run `hookchain release {subject.name}{subject.where}`"
            raise CommandError(f"{subject.name} is not paused. To send what is held for it, {act}")
        return "not paused: nothing to do"
    held, waiting = await resume_destination(subject.ledger, subject.name, time.time)
    more = f"; {count_of(waiting, 'delivery', 'deliveries')} that waited, too" if waiting else ""
    return f"resumed; {subject.released_line(held)}{more}"
