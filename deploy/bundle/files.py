"""The files of the checkout that a function's bundle contains, and their paths in it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.config.imported_modules import imported_modules


@dataclass(frozen=True, slots=True)
class BundlePlatform:
    """A platform as bundles see it.

    entry_point   the file in a function's folder that the platform loads
    at_top        it looks for that file at the top of the bundle, as Google's buildpack does
    others        the ports that its bundles do not need
    """

    entry_point: str
    at_top: bool
    others: tuple[str, ...]


PLATFORMS: Final = {
    "gcp": BundlePlatform("main.py", at_top=True, others=("shared/cloud/aws",)),
    "aws": BundlePlatform("lambda_handler.py", at_top=False, others=("shared/cloud/gcp", "shared/cloud/local")),
}
_CLOUD: Final = Path("shared/cloud")
_CLOUD_MODULES: Final = "shared.cloud."


def bundle_files(root: Path, function: str, platform: str) -> dict[PurePosixPath, Path]:
    """Return the files by their paths in the bundle: the function's folder, with the platform's entry point; shared/
    without shared/cloud; and the modules of shared/cloud that these import, directly or indirectly."""
    chosen = PLATFORMS[platform]
    folder = Path("functions") / function
    foreign = {folder / each.entry_point for each in PLATFORMS.values()} - {folder / chosen.entry_point}
    own = [path for path in _files_under(root, folder) if path not in foreign]
    library = [path for path in _files_under(root, Path("shared")) if not path.is_relative_to(_CLOUD)]
    found = [Path("functions/__init__.py"), *own, *library]
    found += imported_from_cloud(root, found, chosen.others)
    at_top = folder / chosen.entry_point if chosen.at_top else None
    return {PurePosixPath(path.name if path == at_top else path.as_posix()): root / path for path in sorted(found)}


def _files_under(root: Path, folder: Path) -> Iterator[Path]:
    for path in sorted((root / folder).rglob("*")):
        relative = path.relative_to(root)
        is_left_out = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not is_left_out and path.suffix != ".pyc":
            yield relative


def imported_from_cloud(root: Path, files: Iterable[Path], others: tuple[str, ...]) -> set[Path]:
    """Return the modules of shared/cloud that the files import, including imports inside of functions, but for those
    in the folders `others`."""
    found: set[Path] = set()
    waiting = [path for path in files if path.suffix == ".py"]
    while waiting:
        modules = imported_modules((root / waiting.pop()).read_text(encoding="utf-8"))
        for module in [each for each in modules if f"{each}.".startswith(_CLOUD_MODULES)]:
            cloud = [path for path in _module_files(root, module) if path.is_relative_to(_CLOUD)]
            new = {path for path in cloud if not any(map(path.is_relative_to, others))} - found
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
