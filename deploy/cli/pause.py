"""`hookchain pause DESTINATION`: keep its deliveries until it is resumed, or for a time."""

import time

from deploy.cli.command import duration_option
from deploy.cli.destination_command import Subject, destination_parser, run_on_destination
from deploy.terminal.command_error import CommandError
from shared.ledger import PAUSED_BY_OPERATOR
from shared.times import rfc3339

DETAILS = """\
Nothing is lost: deliveries wait. Without --for they are held until `hookchain resume`; with it they are sent once the
time is over. Running functions notice within 10 s."""


def main(arguments: list[str]) -> int:
    command = destination_parser("pause", "hookchain pause crm --for 2h --platform gcp", DETAILS, "paused")
    command.add_argument(
        "--for",
        metavar="TIME",
        dest="seconds",
        type=duration_option("1s", "365d"),
        help="pause for a time such as 30m, 2h or 1d",
    )
    return run_on_destination("pause", command.parse_args(arguments), _pause)


async def _pause(subject: Subject) -> str:
    now = time.time()
    resume = f"`hookchain resume {subject.name}{subject.where}` ends it"
    state = await subject.ledger.destination_state(subject.name)
    if state.disabled_reason is not None:
        raise CommandError(f"{subject.name} takes no deliveries already: {state.disabled_reason}; {resume}")
    if (seconds := subject.options.seconds) is None:
        await subject.ledger.disable(subject.name, PAUSED_BY_OPERATOR, now)
        return f"paused {subject.noticed}, until you resume it: {resume}"
    await subject.ledger.pause(subject.name, now + seconds, now, PAUSED_BY_OPERATOR)
    return f"paused {subject.noticed}, until {rfc3339(now + seconds)}; {resume} sooner"
