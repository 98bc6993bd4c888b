"""The functions of a deployment: what starts each, what it may do, and its usual size. A new one is one more entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, RECOVERED

Store = Literal["ledger", "journal", "owners", "grants", "documents"]
BlobUse = Literal["create", "read", "use"]
"""`create` neither lists, nor reads, replaces or deletes what is there; `read` changes nothing."""

MAIL_VARIABLES: Final = ("EMAIL_FROM", "SMTP_URL")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic whose messages a function gets, at a path of its own."""

    topic: str
    why: str
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A call every minute. `does` is its purpose; `answer_seconds` is how long the scheduler waits."""

    name: str
    path: str
    does: str
    why: str
    answer_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Function:
    """A function, whose name is also that of its folder and of its slice.

    is_optional      only some configurations have a slice for it, and without one it is not deployed
    is_public        everybody may call its URL; else only what hands it messages, or calls it by schedule
    url              a sentence for people: what a public function's URL is for
    alias            the name by which other functions of the operator may call it; empty: none may
    publishes        the topics that it may publish to
    sends_back       the topics of an earlier function that it may publish to too, if routes may wait or a source has
                     `recover`. They do not decide which function is updated first
    stores           the stores that it reads and writes
    asking_stores    further stores that it reads and writes in a configuration whose steps ask other systems
    reads            the stores that it only reads
    blobs            its use of the bucket of large bodies
    mounts_secrets   its secrets are files where the platform can mount them, so that it needs no client to read them
    sends_mail       it sends the mails of the configuration
    variables        the variables that are copied from the environment of the deployment, if they are set
    timeout_seconds  how long one call may take
    attempt_margin   None, or the seconds that it needs besides the longest attempt of a destination
    concurrency      the calls that an instance takes at once, unless bodies are too large for its memory
    copies           the memory of a body as a multiple of its size
    """

    name: str
    does: str
    timeout_seconds: int
    concurrency: int
    is_optional: bool = False
    is_public: bool = False
    subscriptions: tuple[Subscription, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    url: str = ""
    alias: str = ""
    publishes: tuple[str, ...] = ()
    sends_back: tuple[str, ...] = ()
    stores: tuple[Store, ...] = ()
    asking_stores: tuple[Store, ...] = ()
    reads: tuple[Store, ...] = ()
    blobs: BlobUse = "use"
    mounts_secrets: bool = False
    sends_mail: bool = False
    variables: tuple[str, ...] = ()
    attempt_margin: int | None = None
    copies: int = 1

    @property
    def topics(self) -> tuple[str, ...]:
        """Return all topics that it may publish to."""
        return (*self.publishes, *self.sends_back)


SENT_BACK: Final = {
    EVENTS: "events again, for routes that waited",
    RECOVERED: "events that providers could not deliver",
}
"""What a function sends back, by the topic."""
SWEEP: Final = Schedule(
    "sweep",
    "/sweep",
    does="publishes the deliveries whose time has come",
    why="retries whose time has come, each minute",
)
FUNCTIONS: Final = (
    Function(
        "receive",
        "receives webhooks",
        timeout_seconds=30,  # 10 s for the body and 4 s for the bus
        concurrency=80,
        is_public=True,
        url="Senders post to this URL, followed by the source's name",
        publishes=(EVENTS,),
        blobs="create",
        mounts_secrets=True,
    ),
    Function(
        "transform",
        "runs the routes",
        timeout_seconds=60,  # a step may call another system
        concurrency=40,
        subscriptions=(Subscription(EVENTS, "hands events to transform"),),
        alias="chains",
        publishes=(DELIVERIES, DEAD_LETTERS),
        stores=("journal", "owners"),
        asking_stores=("grants",),  # on AWS, so that a host that hangs holds few instances
        copies=3,  # parsed and as text
    ),
    Function(
        "notify",
        "makes the deliveries",
        timeout_seconds=60,
        attempt_margin=30,  # for claiming, recording and the mails of a list
        concurrency=40,
        subscriptions=(
            Subscription(DELIVERIES, "hands deliveries to notify"),
            Subscription(DEAD_LETTERS, "has notify keep dead letters", "/dead-letters"),
        ),
        schedules=(SWEEP,),
        publishes=(DELIVERIES, DEAD_LETTERS),  # the sweep publishes deliveries again
        sends_back=(EVENTS, RECOVERED),
        stores=("ledger", "journal", "grants"),
        sends_mail=True,
        variables=MAIL_VARIABLES,
        copies=3,
    ),
    Function(
        "subscribe",
        "serves the API and the portal for your users",
        timeout_seconds=30,
        concurrency=40,
        is_optional=True,
        is_public=True,
        url="The API is at /v1 of this URL, and the portal at /portal",
        publishes=(DELIVERIES,),  # what an endpoint is to get again, and tests
        stores=("documents", "ledger", "grants"),  # a delivery that is sent again is reopened; a tenant's rate is kept
        reads=("journal",),
        blobs="read",
        mounts_secrets=True,
        copies=3,
    ),
)
"""In the order of an event's path; then what only some configurations have."""


def consumers(function: Function, functions: Sequence[Function] = FUNCTIONS) -> tuple[Function, ...]:
    """Return the other functions that take what this one publishes, and does not send back."""
    others = [each for each in functions if each.name != function.name]
    return tuple(each for each in others if any(found.topic in function.publishes for found in each.subscriptions))


def subscription_name(function: Function, subscription: Subscription) -> str:
    return f"{subscription.topic}-{function.name}"


def subscription_names() -> tuple[str, ...]:
    return tuple(subscription_name(each, found) for each in FUNCTIONS for found in each.subscriptions)
