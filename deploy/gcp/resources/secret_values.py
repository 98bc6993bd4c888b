"""Secrets in Secret Manager: the secret, and that it has a value."""

from typing import Final

from deploy.gcp.resource import Command, Resource, key_of, label_text, one
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target

SECRET: Final = "secret"  # noqa: S105 a kind of thing
VALUE: Final = "value"


def value_key(target: Target, name: str) -> str:
    return key_of(VALUE, names.secret_id(target, name))


def replication(target: Target) -> tuple[str, ...]:
    """Where all else of the bundle is: `automatic` is refused where a policy keeps data in some regions."""
    return "--replication-policy=user-managed", f"--locations={target.region}"


def secret(target: Target, name: str, readers: tuple[str, ...]) -> tuple[Resource, Resource]:
    """A value that is there is never replaced by a plan: `hookchain secrets set` does that."""
    secret_id = names.secret_id(target, name)
    made = Resource(
        SECRET,
        secret_id,
        f"read by {' and '.join(readers)}",
        one("secrets", "create", secret_id, *replication(target), f"--labels={label_text(target)}"),
        needs=(key_of(API, "secretmanager.googleapis.com"),),
    )
    adding = Command(("secrets", "versions", "add", secret_id, "--data-file=-"), secret=name)
    return made, Resource(VALUE, secret_id, "its first value", (adding,), needs=(made.key,))
