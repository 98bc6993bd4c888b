"""The name of the object that holds a blob, the same in every object store."""

import hashlib
import re
from typing import Final

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,499}")


def object_name(name: str) -> str:
    """Return a blob's name as an object's name: unchanged if it is plain, otherwise its hash."""
    is_plain = _PLAIN_NAME.fullmatch(name) and ".." not in name and "//" not in name
    return name if is_plain else "other/" + hashlib.sha256(name.encode()).hexdigest()
