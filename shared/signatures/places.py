"""Where in a request a text stands: `header.NAME`, `query.NAME`, `form.NAME`, `data.path` (`*`: each element), or
`signature.KEY` for an item of a signature header that is a list of pairs."""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Place:
    """`kind` is header, query, form, data or signature. A header's name is in lower case."""

    kind: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path[0]


@lru_cache(maxsize=512)
def parse_place(text: str) -> Place:
    """Of a text that the configuration's model has checked."""
    kind, _, rest = text.partition(".")
    if kind == "data":
        return Place(kind, tuple(rest.split(".")))
    return Place(kind, (rest.lower() if kind == "header" else rest,))
