"""The files of the checkout that a function's bundle contains, and their paths in it."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.config.imports import imported_modules

ENTRY_POINTS: Final = ("main.py", "lambda_handler.py")
_CLOUD: Final = Path("shared/cloud")


def bundle_files(root: Path, function: str) -> dict[PurePosixPath, Path]:
    """Return the files by their paths in the bundle: the function's folder, with its entry points at the top, where
    Google's buildpack looks for main.py; shared/ without shared/cloud; and the modules of shared/cloud that these
    import, directly or indirectly."""
    own = [Path("functions/__init__.py"), *_files_under(root, Path("functions") / function)]
    library = [path for path in _files_under(root, Path("shared")) if not path.is_relative_to(_CLOUD)]
    cloud = imported_from_cloud(root, [*own, *library])
    return {_place(path): root / path for path in sorted({*own, *library, *cloud})}


def _place(path: Path) -> PurePosixPath:
    is_entry_point = path.parts[0] == "functions" and len(path.parts) == 3 and path.name in ENTRY_POINTS
    return PurePosixPath(path.name if is_entry_point else path.as_posix())


def _files_under(root: Path, folder: Path) -> Iterator[Path]:
    for path in sorted((root / folder).rglob("*")):
        relative = path.relative_to(root)
        is_left_out = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not is_left_out and path.suffix != ".pyc":
            yield relative


def imported_from_cloud(root: Path, files: Iterable[Path]) -> set[Path]:
    """Return the modules of shared/cloud that the files import, including imports inside of functions."""
    found: set[Path] = set()
    waiting = [path for path in files if path.suffix == ".py"]
    while waiting:
        for module in imported_modules((root / waiting.pop()).read_text(encoding="utf-8")):
            new = {path for path in _module_files(root, module) if path.is_relative_to(_CLOUD)} - found
            found |= new
            waiting.extend(new)
    return found


def _module_files(root: Path, module: str) -> Iterator[Path]:
    """Yield the module's file and the `__init__.py` of each package above it; nothing for a module outside."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = Path(*parts[:end])
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if (root / candidate).is_file():
                yield candidate
