"""The names of a deployment's resources on Google Cloud. All begin with its prefix, so that a project can have two."""

from collections.abc import Mapping
from typing import Final

from deploy.google.target import Target
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS

TOPICS: Final = (EVENTS, DELIVERIES, DEAD_LETTERS)

TRANSFORM_SUBSCRIPTION: Final = "events-transform"
NOTIFY_SUBSCRIPTION: Final = "deliveries-notify"
DEAD_LETTERS_SUBSCRIPTION: Final = "dead-letters-notify"
HOLDING_SUBSCRIPTION: Final = "dead-letters-hold"
"""A pull subscription that keeps dead letters for 31 days, even if notify cannot process them."""

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
    """Return the labels of every resource that can have labels, which name its deployment."""
    return {BUNDLE_LABEL: target.bundle}


def environment(target: Target, function: str) -> dict[str, str]:
    """Return the variables of a deployed function. receive has no database."""
    variables = {
        "GOOGLE_CLOUD_PROJECT": target.project,
        "HOOKCHAIN_PREFIX": target.prefix,
        "HOOKCHAIN_BUCKET": bucket(target),
    }
    return variables if function == "receive" else {**variables, "HOOKCHAIN_FIRESTORE": database(target)}
