"""The names of a deployment's resources on Google Cloud. All begin with its prefix, so that a project can have two."""

from collections.abc import Mapping
from typing import Final

from deploy.google.target import Target

BUNDLE_LABEL: Final = "hookchain"
PLAN_LABEL: Final = "hookchain-plan"


def service(target: Target, function: str) -> str:
    return f"{target.prefix}{function}"


def topic(target: Target, name: str) -> str:
    return f"{target.prefix}{name}"


def subscription(target: Target, name: str) -> str:
    return f"{target.prefix}{name}"


def holding_subscription(topic: str) -> str:
    """Return the name of the subscription that keeps a topic's messages beside those that are pushed."""
    return f"{topic}-hold"


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


def job(target: Target, name: str) -> str:
    return f"{target.prefix}{name}"


def labels(target: Target) -> Mapping[str, str]:
    """Return the labels of every resource that can have labels, which name its deployment."""
    return {BUNDLE_LABEL: target.bundle}


def environment(target: Target, has_database: bool) -> dict[str, str]:
    """Return the variables of a deployed function."""
    variables = {
        "GOOGLE_CLOUD_PROJECT": target.project,
        "HOOKCHAIN_PREFIX": target.prefix,
        "HOOKCHAIN_BUCKET": bucket(target),
    }
    return {**variables, "HOOKCHAIN_FIRESTORE": database(target)} if has_database else variables
