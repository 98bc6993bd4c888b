"""The modules that a source file imports."""

import ast
from collections.abc import Iterator


def imported_modules(source: str) -> Iterator[str]:
    """Yield every module that an import statement may mean: for `from a import b`, both `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
