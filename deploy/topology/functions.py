"""The functions of a deployment: what starts each, what it may do, and its usual size. A new one is one more entry.

Only data is here. `deploy/gcp` and `deploy/aws` make the resources and rights of their platform from it. People see the
descriptions in plans and in the cloud's console.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, RECOVERED

Store = Literal["ledger", "journal", "owners", "grants", "documents"]
BlobUse = Literal["create", "read", "use"]
"""`create` adds blobs, and can neither list, read, replace nor delete any. `read` changes nothing."""

MAIL_VARIABLES: Final = ("EMAIL_FROM", "SMTP_URL")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic whose messages a function gets, as requests to `path`. `why` says what the subscription does."""

    topic: str
    why: str
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A call of `path` every minute, for whose answer the scheduler waits `answer_seconds`.

    does    describes the schedule in the cloud's console
    why     is the reason for the schedule in a plan
    """

    name: str
    path: str
    does: str
    why: str
    answer_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Function:
    """A function. `name` is also the name of its folder and of its slice, which is its part of the configuration.

    does             describes the function in the cloud's console
    is_optional      it is deployed only if the configuration has a slice for it
    is_public        anyone may call its URL. Otherwise only the bus and the scheduler may
    subscriptions    what the bus calls it with
    url              a sentence about what a public function's URL is for
    alias            the name by which the operator's own functions may call it; empty if they may not
    publishes        the topics that it may publish to
    sends_back       the topics of an earlier function that it may also publish to, if routes may wait or a source has
                     `recover`. They do not affect the order in which functions are updated
    stores           the stores that it reads and writes
    asking_stores    further stores that it reads and writes if a step of the configuration asks another system
    reads            the stores that it only reads
    blobs            its use of the bucket of large bodies
    mounts_secrets   its secrets are files, where the platform can mount them, so that it needs no client to read them
    sends_mail       it sends the mails of the configuration
    variables        the environment variables that it gets from the environment of the deployment, if they are set
    timeout_seconds  how long one call may take
    attempt_margin   the seconds that it needs besides the longest attempt of a destination; None if it makes none
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
        """Return all topics that the function may publish to."""
        return (*self.publishes, *self.sends_back)


SENT_BACK: Final = {
    EVENTS: "events again, for routes that waited",
    RECOVERED: "events that providers could not deliver",
}
"""What a function sends back to each topic of an earlier function, in words."""
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
        asking_stores=("grants",),  # they limit, on AWS, how many instances wait for a host that hangs
        copies=3,  # a body is in memory as bytes, as text and parsed
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
        publishes=(DELIVERIES,),  # test deliveries, and deliveries that a tenant sends again
        # The ledger reopens a delivery that is sent again. The grants keep each tenant's rate of requests.
        stores=("documents", "ledger", "grants"),
        reads=("journal",),
        blobs="read",
        mounts_secrets=True,
        copies=3,
    ),
)
"""The functions in the order in which an event passes them, then the optional ones."""


def consumers(function: Function, functions: Sequence[Function]) -> tuple[Function, ...]:
    """Return the other functions that subscribe to a topic in `publishes` of this one."""
    found: list[Function] = []
    for other in functions:
        subscribed = {subscription.topic for subscription in other.subscriptions}
        if other.name != function.name and subscribed.intersection(function.publishes):
            found.append(other)
    return tuple(found)


def subscription_name(function: Function, subscription: Subscription) -> str:
    return f"{subscription.topic}-{function.name}"


def subscription_names() -> tuple[str, ...]:
    return tuple(
        subscription_name(function, subscription) for function in FUNCTIONS for subscription in function.subscriptions
    )
