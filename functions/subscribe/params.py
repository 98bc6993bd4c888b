"""The parameters in the paths of the API: how each is written. What is written otherwise names nothing: 404."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.subscribers.names import ENDPOINT_PATTERN, TENANT_PATTERN, TYPE_PATTERN


class Param(NamedTuple):
    pattern: str
    description: str

    def is_valid(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


MESSAGE_PATTERN: Final = r"[0-9]{14}-[0-9a-zA-Z_.-]{1,200}-[0-9a-f]{8}"
KEY_PATTERN: Final = r"[0-9a-z]{12}"
SESSION_PATTERN: Final = r"[0-9a-f]{32}"

PARAMS: Final[Mapping[str, Param]] = {
    "tenant": Param(TENANT_PATTERN, "The tenant's id, which is the operator's own."),
    "endpoint": Param(ENDPOINT_PATTERN, "The endpoint's id."),
    "delivery": Param(r"[A-Za-z0-9_-]{20,400}", "The delivery's id."),
    "message": Param(MESSAGE_PATTERN, "The message's id."),
    "type": Param(TYPE_PATTERN, "The name of an event type."),
    "key": Param(KEY_PATTERN, "The API key's id."),
    "session": Param(SESSION_PATTERN, "The portal session's id."),
}
