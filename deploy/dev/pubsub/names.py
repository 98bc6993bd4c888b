"""Names of resources: `projects/<project>/topics/<id>` and `projects/<project>/subscriptions/<id>`."""

import re
from typing import Final

from deploy.dev.pubsub.errors import invalid

DELETED_TOPIC: Final = "_deleted-topic_"

_PROJECT: Final = r"[a-z][a-z0-9.:-]{0,127}"
_ID: Final = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_NAME: Final = re.compile(rf"projects/{_PROJECT}/(topics|subscriptions)/{_ID}")


def checked_name(name: str, collection: str) -> str:
    """`collection` is `topics` or `subscriptions`."""
    found = _NAME.fullmatch(name)
    if not found or found[1] != collection:
        raise invalid(
            f"Invalid [{collection}] name: (name={name}). It is projects/<project>/{collection}/<id>; the id has 3 to "
            "255 letters, digits or any of -_.~+%, begins with a letter and not with 'goog'."
        )
    return name


def project_of(name: str) -> str:
    return name.split("/")[1]


def short(name: str) -> str:
    return name.rpartition("/")[2]
