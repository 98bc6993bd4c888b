"""Whether things are a bundle's own: by the label that it puts on what can carry one, and from there on the rest.

A database called `shop`, or an account `shop-notify`, may have been somebody's before there was a bundle with the
prefix `shop-`. The topic of dead letters, with its label, is made before such things and removed after them.
"""

from collections.abc import Mapping
from typing import Final

from deploy.gcp.resource import Existing
from deploy.gcp.resources.accounts import ACCOUNT
from deploy.gcp.resources.monitoring import METRIC
from deploy.gcp.resources.services import SERVICE
from deploy.gcp.resources.stores import DATABASE
from deploy.gcp.resources.sweep import JOB
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC
from deploy.google.target import Target
from deploy.terminal.command_error import CommandError

UNLABELLED: Final = frozenset({DATABASE, ACCOUNT, JOB, METRIC})
_MARKED: Final = frozenset({TOPIC, SUBSCRIPTION, SERVICE})


def is_marked(target: Target, things: Mapping[str, Existing]) -> bool:
    """Whether something of it is there for certain."""
    return any(found.owner == target.bundle and _kind(key) in _MARKED for key, found in things.items())


def refuse_others(target: Target, existing: Mapping[str, Existing]) -> None:
    """`existing` are things that the bundle wants. Raises CommandError for one that is another's."""
    for key, found in existing.items():
        # Prefixes `shop-` and `shop-eu-` give secrets `eu-key` and `key` one name.
        if found.owner not in ("", target.bundle):
            what = f"{key} is of the bundle {found.owner!r}, as its label says"
            raise CommandError(f"nothing was made: {what}: give it another name, or this bundle another prefix")
    if is_marked(target, existing):
        return
    if others := sorted(key for key, found in existing.items() if _kind(key) in {*UNLABELLED, SERVICE}):
        what = f"{others[0]} is there, and nothing of a bundle {target.bundle!r} that it could belong to"
        raise CommandError(f"nothing was made: {what}: take another prefix (make: PREFIX=…)")


def _kind(key: str) -> str:
    return key.partition(" ")[0]
