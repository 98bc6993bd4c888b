"""The topics of a deployment, and how long a message is tried and kept."""

from dataclasses import dataclass
from typing import Final

from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS

MOST_TRIES: Final = 100
"""With the waits below, about 16 hours: our own parts may fail for so long. Then a message is given up."""
FIRST_WAIT_SECONDS: Final = 10
LONGEST_WAIT_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic.

    does        what it carries
    gives_up    a message that was tried too often is handed to the topic of dead letters
    kept_days   how long a message waits for a function that cannot take it
    held_days   how long each message is kept beside, even if the functions cannot process it; 0: it is not
    """

    name: str
    does: str
    gives_up: bool = True
    kept_days: int = 7
    held_days: int = 0


TOPICS: Final = (
    Topic(EVENTS, "events from receive to transform"),
    Topic(DELIVERIES, "deliveries from transform to notify"),
    Topic(DEAD_LETTERS, "dead letters", gives_up=False, held_days=31),
)
