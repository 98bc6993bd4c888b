"""The modules that a source file imports."""

import ast
import functools
from collections.abc import Iterable, Iterator


@functools.lru_cache(maxsize=2_048)
def imported_modules(source: str) -> tuple[str, ...]:
    """Return every module that an import statement may mean: for `from a import b`, both `a` and `a.b`."""
    return tuple(_imported(ast.parse(source).body))


def _imported(statements: Iterable[ast.AST]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _imported(getattr(node, block, ()))
