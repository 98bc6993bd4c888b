"""A route as transform has it: which events, through which steps, to which destinations."""

import fnmatch
import re
from dataclasses import dataclass

from functions.transform.chain import Chain
from functions.transform.expressions import Expression


@dataclass(frozen=True, slots=True)
class TypeGlobs:
    """`signup.*` takes any text for its `*`, dots too; case counts."""

    globs: tuple[str, ...]
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, globs: tuple[str, ...]) -> "TypeGlobs":
        return cls(globs, re.compile("|".join(fnmatch.translate(glob) for glob in globs)))

    def take(self, event_type: str) -> bool:
        return self.pattern.match(event_type) is not None


@dataclass(frozen=True, slots=True)
class Route:
    """`sources`, `types` and `where` are None where the route takes all. `is_else`: only what no other route takes."""

    name: str
    chain: Chain
    destinations: tuple[str, ...]
    sources: frozenset[str] | None = None
    types: TypeGlobs | None = None
    where: Expression | None = None
    is_else: bool = False
    enabled: bool = True
