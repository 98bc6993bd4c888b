"""Header values of the form `type/subtype; name=value; name="value"`: Content-Type and Content-Disposition."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

_PARAMETER: Final = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.){0,1024}+)"|([^;]*+))', re.DOTALL)


class MediaType(NamedTuple):
    """`name` and the parameters' names are in lower case; their values are as they came. `name` may be empty."""

    name: str
    parameters: Mapping[str, str]

    @property
    def charset(self) -> str | None:
        return self.parameters.get("charset", "").lower() or None


@lru_cache(maxsize=64)
def media_type(header: str) -> MediaType:
    """Never raises: of a malformed header, what can be read."""
    name, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(";" + rest):
        quoted, bare = found[2], found[3]
        # Only what must be escaped is taken as escaped: old browsers send `C:\path` as it is.
        value = bare.strip() if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        parameters.setdefault(found[1].lower(), value)
    return MediaType(name.strip().lower(), parameters)
