"""The names of a stack's resources on AWS. All begin with its prefix, so that an account can have two stacks."""

from typing import Final

from shared.cloud.aws import tables

TABLES: Final = tuple(each.name for each in tables.TABLES)

STACK_TAG: Final = "hookchain"
"""The tag of every resource that can have tags. Its value is the prefix."""
URL_OUTPUT: Final = "ReceiveUrl"
"""The output of the stack that is the URL of receive."""


def function(prefix: str, name: str) -> str:
    """`name` is `receive`, `transform` or `notify`."""
    return f"{prefix}{name}"


def log_group(prefix: str, name: str) -> str:
    return f"/aws/lambda/{function(prefix, name)}"


def queue(prefix: str, topic: str) -> str:
    """`topic` is one of TOPIC_NAMES."""
    return f"{prefix}{topic}"


def undelivered_queue(prefix: str, topic: str) -> str:
    """Return the name of the queue that gets a topic's messages after too many attempts."""
    return f"{prefix}{topic}-undelivered"


def table(prefix: str, name: str) -> str:
    """`name` is one of TABLES."""
    return f"{prefix}{name}"


def secret_id(prefix: str, name: str) -> str:
    return f"{prefix}{name}"


def bucket(prefix: str, account: str, region: str) -> str:
    """Return the name of the bucket of large bodies, which is unique among all accounts."""
    return f"{prefix}blobs-{account}-{region}"
