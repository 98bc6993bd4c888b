"""Send an event again while the receiver does not confirm it, as senders do."""

import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar

from deploy.client.hookchain.outcome import Outcome

MOST: Final = 3
"""How often an event is sent at most."""
WAIT_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 30.0

Sent = TypeVar("Sent")


def send_until_confirmed(
    send: Callable[[], Sent],
    outcome_of: Callable[[Sent], Outcome],
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Return what `send` returned, called again after each 503. It sends the same event each time.

    The wait is the receiver's `Retry-After`. An event for which it asks for a long wait is not sent again.
    """
    for number in range(2, MOST + 1):
        sent = send()
        outcome = outcome_of(sent)
        wait = WAIT_SECONDS if outcome.retry_after_seconds is None else outcome.retry_after_seconds
        if outcome.status != 503 or wait > LONGEST_WAIT_SECONDS:
            return sent
        say(f"not confirmed ({outcome.status} {outcome.code}): sending it again in {wait:g} s ({number} of {MOST})")
        sleep(wait)
    return send()
