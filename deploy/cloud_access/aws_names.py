"""The target of a deployment on AWS, a stack and its region, and the names of its resources."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.terminal.command_line import CommandError
from shared import ports
from shared.cloud.aws import tables

DEFAULT_STACK: Final = "hookchain"

_NAME: Final = re.compile(r"[a-z](?:-?[a-z0-9]){2,27}")
_REGION: Final = re.compile(r"[a-z]{2,5}(?:-[a-z]+)+-\d{1,2}")


@dataclass(frozen=True, slots=True)
class StackTarget:
    """A stack in a region. `prefix` begins all names and ends in a dash, as in `hookchain-`."""

    stack: str
    region: str
    prefix: str


def checked_target(stack: str, region: str, prefix: str | None = None) -> StackTarget:
    """Return a valid target. The prefix is the stack's name unless there is another. Raises CommandError."""
    # A bucket's name has at most 63 characters: the prefix, `blobs-`, the account, a dash and the region.
    rule = "must be 3 to 28 lower-case letters, digits and single dashes, beginning with a letter"
    names = {"stack": stack, "prefix": (prefix or stack).removesuffix("-")}
    for field, name in names.items():
        if not _NAME.fullmatch(name) or len(name) > 28:
            raise CommandError(f"{field}: {rule}; got {name!r}")
    if not _REGION.fullmatch(region):
        raise CommandError(f"region: must be a region such as eu-central-1; got {region!r}")
    return StackTarget(stack, region, f"{names['prefix']}-")


def find_target(
    options: argparse.Namespace, environ: Mapping[str, str], configured_region: Callable[[], str | None]
) -> StackTarget:
    """Return the target from the options, else the environment. The region may also be that of the AWS profile, which
    is read only if nothing else names one. Raises CommandError."""
    region = options.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or configured_region()
    if not region:
        hint = "add --region REGION (make: REGION=REGION), or set AWS_REGION"
        raise CommandError(f"no region is named: {hint}; `aws configure list` shows the profile's")
    stack = options.stack or environ.get("HOOKCHAIN_STACK") or DEFAULT_STACK
    return checked_target(stack, region, options.prefix)


def add_target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", help=f"set the stack's name [HOOKCHAIN_STACK, else {DEFAULT_STACK}]")
    parser.add_argument("--region", help="set the region [AWS_REGION, else the profile's]")
    parser.add_argument("--prefix", help="set the prefix of all names [the stack's name and a dash]")


# The names of resources


TABLES: Final = tuple(each.name for each in tables.TABLES)

STACK_TAG: Final = "hookchain"
"""The tag of every resource that can have tags. Its value is the prefix."""
URL_OUTPUT: Final = "ReceiveUrl"
"""The output of the stack that is the URL of receive."""
METRIC_NAMESPACE: Final = "Hookchain"
"""The namespace of the metrics that are counted from logs. Their names begin with the prefix."""


def function(prefix: str, name: str) -> str:
    """Return the name of a function. `name` is its name in the topology, such as `receive`."""
    return f"{prefix}{name}"


def log_group(prefix: str, name: str) -> str:
    return f"/aws/lambda/{function(prefix, name)}"


def queue(prefix: str, topic: str) -> str:
    """Return the name of a topic's queue, or of a source's queue, which `topic` then names."""
    return f"{prefix}{topic}"


def undelivered_queue(prefix: str, topic: str) -> str:
    """Return the name of the queue that gets a topic's messages after too many attempts."""
    return f"{prefix}{topic}{ports.UNDELIVERED}"


def table(prefix: str, name: str) -> str:
    """Return the name of a table. `name` is one of TABLES."""
    return f"{prefix}{name}"


def secret_id(prefix: str, name: str) -> str:
    return f"{prefix}{name}"


def bucket(prefix: str, account: str, region: str) -> str:
    """Return the name of the bucket of large bodies, which is unique among all accounts."""
    return f"{prefix}blobs-{account}-{region}"
