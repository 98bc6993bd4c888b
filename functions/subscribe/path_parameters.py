"""The parameters in the paths of the API: how each is written. What is written otherwise names nothing: 404."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.subscribers.names import ENDPOINT_PATTERN, TENANT_PATTERN, TYPE_PATTERN


class Param(NamedTuple):
    """`rule` tells a caller how the parameter is written."""

    pattern: str
    description: str
    rule: str

    def is_valid(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


MESSAGE_PATTERN: Final = r"[0-9]{14}-[0-9a-zA-Z_.-]{1,200}-[0-9a-f]{8}"
KEY_PATTERN: Final = r"[0-9a-z]{12}"
SESSION_PATTERN: Final = r"[0-9a-f]{32}"
_NAME: Final = "has letters, digits, '_', '.' and '-', begins with a letter or a digit, and has at most"

PARAMS: Final[Mapping[str, Param]] = {
    "tenant": Param(TENANT_PATTERN, "The tenant's id, which is the operator's own.", f"a tenant's id {_NAME} 100"),
    "endpoint": Param(ENDPOINT_PATTERN, "The endpoint's id.", "an endpoint's id is 'ep_' and 20 letters or digits"),
    "delivery": Param(r"[A-Za-z0-9_-]{20,400}", "The delivery's id.", "a delivery's id is that of a list"),
    "message": Param(MESSAGE_PATTERN, "The message's id.", "a message's id is that of a list"),
    "type": Param(TYPE_PATTERN, "The name of an event type.", f"the name of an event type {_NAME} 128"),
    "key": Param(KEY_PATTERN, "The API key's id.", "an API key's id is 12 letters or digits"),
    "session": Param(SESSION_PATTERN, "The portal session's id.", "a portal session's id is 32 hexadecimal digits"),
}
