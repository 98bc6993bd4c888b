"""The causes of a path that is not a source's."""

from collections.abc import Mapping
from typing import Final

from functions.receive.admission import source_name
from functions.receive.source import Source
from shared.did_you_mean import nearest

MAX_NAME: Final = 63
"""The longest name of a source. A longer path is not compared: the cost grows with its square."""


def other_path(path: str, sources: Mapping[str, Source]) -> str | None:
    """Return the path that the sender probably means; None if no source has a similar one.

    It names configured sources only: the path that was requested may hold a token or anything else.
    """
    name = source_name(path) or path.strip("/")  # an empty name: the path begins with two slashes
    if source := sources.get(name):
        return None if source.takes_path_token else f"the URL of this source ends in /{name}"
    near = nearest(name, sources) if 0 < len(name) <= MAX_NAME else None
    return f"the path of the source with the nearest name is /{near}" if near else None
