"""`hookchain resume DESTINATION`: let a destination that is paused or disabled take deliveries again."""

import time

from deploy.cli.destination_command import Subject, destination_parser, run_on_destination
from deploy.terminal.command_error import CommandError


def main(arguments: list[str]) -> int:
    details = "A receiver's answer disables a destination, such as 410. Repair that first: `hookchain status` shows it."
    command = destination_parser("resume", "hookchain resume crm --platform gcp", details, "resumed")
    return run_on_destination("resume", command.parse_args(arguments), _resume)


async def _resume(subject: Subject) -> str:
    now = time.time()
    if await subject.stopped_by(now) is None:
        if await subject.ledger.rows(1, destination=subject.name, state="held"):
            act = f"run `hookchain release {subject.name}{subject.where}`"
            raise CommandError(f"{subject.name} is not paused. To send what is held for it, {act}")
        return "not paused: nothing to do"
    return f"resumed; {subject.released_line(await subject.ledger.release(subject.name, now))}"
