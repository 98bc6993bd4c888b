"""`hookchain release DESTINATION`: deliver what is held because nobody knew whether it arrived."""

import time

from deploy.cli.destination_command import Subject, destination_parser, run_on_destination
from deploy.terminal.command_error import CommandError
from shared.ledger import PAUSED_BY_OPERATOR


def main(arguments: list[str]) -> int:
    details = "With `on_unknown: hold`, a delivery that got no response waits until you have asked the receiver."
    command = destination_parser("release", "hookchain release crm --platform gcp", details, "released")
    return run_on_destination("release", command.parse_args(arguments), _release)


async def _release(subject: Subject) -> str:
    now = time.time()
    if reason := await subject.stopped_by(now):
        resume = f"run `hookchain resume {subject.name}{subject.where}`"
        act = resume if PAUSED_BY_OPERATOR in reason else f"fix that first, then {resume}"
        raise CommandError(f"{subject.name} takes no deliveries: {reason}; {act}")
    return subject.released_line(await subject.ledger.release(subject.name, now))
