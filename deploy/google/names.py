"""The name of each thing that a bundle has on Google Cloud. The prefix is in front of all, so that two can live in one
project."""

from collections.abc import Mapping
from typing import Final

from deploy.google.target import Target
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS

TOPICS: Final = (EVENTS, DELIVERIES, DEAD_LETTERS)

TRANSFORM_SUBSCRIPTION: Final = "events-transform"
NOTIFY_SUBSCRIPTION: Final = "deliveries-notify"
DEAD_LETTERS_SUBSCRIPTION: Final = "dead-letters-notify"
HOLDING_SUBSCRIPTION: Final = "dead-letters-hold"
"""A pull subscription that keeps what was given up on for 31 days, whatever becomes of everything else."""

BUNDLE_LABEL: Final = "hookchain"
PLAN_LABEL: Final = "hookchain-plan"


def service(target: Target, function: str) -> str:
    return f"{target.prefix}{function}"


def topic(target: Target, name: str) -> str:
    """`name` is one of TOPICS."""
    return f"{target.prefix}{name}"


def subscription(target: Target, name: str) -> str:
    return f"{target.prefix}{name}"


def account(target: Target, name: str) -> str:
    """`name` is a function, `push` or `build`."""
    return f"{target.prefix}{name}"


def account_email(target: Target, name: str) -> str:
    return f"{account(target, name)}@{target.project}.iam.gserviceaccount.com"


def secret_id(target: Target, name: str) -> str:
    return f"{target.prefix}{name}"


def database(target: Target) -> str:
    return target.bundle


def bucket(target: Target) -> str:
    return f"{target.project}-{target.prefix}blobs"


def sweep_job(target: Target) -> str:
    return f"{target.prefix}sweep"


def labels(target: Target) -> Mapping[str, str]:
    """On everything that can carry labels: what is ours, and whose."""
    return {BUNDLE_LABEL: target.bundle}


def environment(target: Target, function: str) -> dict[str, str]:
    """The variables of a deployed function. receive has no database."""
    variables = {
        "GOOGLE_CLOUD_PROJECT": target.project,
        "HOOKCHAIN_PREFIX": target.prefix,
        "HOOKCHAIN_BUCKET": bucket(target),
    }
    return variables if function == "receive" else {**variables, "HOOKCHAIN_FIRESTORE": database(target)}
