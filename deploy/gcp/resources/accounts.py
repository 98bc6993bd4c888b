"""Service accounts: one a function, one that pushes and calls, one that builds."""

from typing import Final

from deploy.gcp.resource import Resource, key_of, one
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target

ACCOUNT: Final = "account"

ACCOUNTS: Final = {
    "receive": "receive runs as it",
    "transform": "transform runs as it",
    "notify": "notify runs as it",
    "push": "Pub/Sub and Cloud Scheduler call transform and notify as it",
    "build": "Cloud Build builds the functions as it",
}


def account_key(target: Target, name: str) -> str:
    return key_of(ACCOUNT, names.account(target, name))


def accounts(target: Target, before: tuple[str, ...]) -> tuple[Resource, ...]:
    """`before` are keys of what is there before them."""
    return tuple(_account(target, name, why, before) for name, why in ACCOUNTS.items())


def _account(target: Target, name: str, why: str, before: tuple[str, ...]) -> Resource:
    command, email = ("iam", "service-accounts"), names.account_email(target, name)
    shown = f"--display-name=Hookchain {target.bundle} {name}"
    return Resource(
        ACCOUNT,
        names.account(target, name),
        why,
        one(*command, "create", names.account(target, name), shown),
        (*one(*command, "update", email, shown), *one(*command, "enable", email)),
        needs=(key_of(API, "iam.googleapis.com"), *before),
    )
