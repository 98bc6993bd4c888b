"""The alarms of a deployment: what is measured, the bound, and what the operator does then."""

from dataclasses import dataclass
from typing import Final, Literal

Measure = Literal["dead_letters", "oldest_message", "oldest_brought", "errors", "sweeps"]
"""Dead letters in the window; the age of the oldest message of a topic in seconds, and of those that a bus brings to a
source; failed calls of a function in the window; sweeps that succeeded in the window."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm. In `advice`, {platform} is the name in commands, {prefix} that of all names, and {bus} and {scheduler}
    are the platform's services.

    window_seconds  the time over which the measure is taken
    bound           the alarm goes off above it, or with `is_least` below it
    holds_seconds   for how long it must be so
    """

    name: str
    why: str
    condition: str
    advice: str
    measure: Measure
    window_seconds: int
    bound: int
    is_least: bool = False
    holds_seconds: int = 0


ALARMS: Final = (
    Alarm(
        "dead-letters",
        "something was given up on",
        "a dead letter in the last five minutes",
        "Something was given up on. `hookchain dead-letters list --platform {platform}` says what and why.",
        measure="dead_letters",
        window_seconds=300,
        bound=0,
    ),
    Alarm(
        "oldest-message",
        "something waits for more than five minutes",
        "a message waits for more than five minutes",
        "A function does not take what is pushed to it. `hookchain status --platform {platform}` says which, "
        "`hookchain logs --platform {platform}` why.",
        measure="oldest_message",
        window_seconds=60,
        bound=300,
        holds_seconds=60,
    ),
    Alarm(
        "errors",
        "a function answers with errors",
        "more than five answers of 500 and more in ten minutes",
        "A part of ours is in trouble: `hookchain logs --platform {platform}` says which. Senders and {bus} try again, "
        "so nothing is lost yet.",
        measure="errors",
        window_seconds=600,
        bound=5,
    ),
    Alarm(
        "sweep",
        "no sweep succeeded for ten minutes",
        "no sweep succeeded in ten minutes",
        "No sweep succeeded for ten minutes, so retries are not sent. Check the job {prefix}sweep in {scheduler}, then "
        "`hookchain logs --platform {platform}`; `make deploy-{platform}` starts a paused or deleted job again.",
        measure="sweeps",
        window_seconds=600,
        bound=1,
        is_least=True,
        holds_seconds=60,
    ),
)
SOURCE_ALARM: Final = Alarm(
    "source-messages",
    "a message for a source waits for more than five minutes",
    "a message for a source waits for more than five minutes",
    "Messages of another system's bus wait, or come again and again. `hookchain status --platform {platform}` says for "
    "which source, `hookchain logs --platform {platform}` why.",
    measure="oldest_brought",
    window_seconds=60,
    bound=300,
    holds_seconds=60,
)
"""For a configuration with a source that a bus brings messages to."""
