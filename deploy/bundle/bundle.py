"""Building a function's folder, ready to deploy.

The same inputs always give the same bytes, modes and times, so that two bundles can be compared.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.bundle.requirements import needed_extras, requirements
from deploy.config.databases import unreachable_databases
from deploy.config.platform_parts import without_google_account
from deploy.config.sections.own_files import imported_modules
from deploy.terminal.command_line import CommandError
from deploy.topology.functions import FUNCTIONS
from shared.jsontext import JsonObject


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
    without shared/cloud; the modules of shared/cloud that these import, directly or indirectly; and their data."""
    chosen = PLATFORMS[platform]
    folder = Path("functions") / function
    foreign = {folder / each.entry_point for each in PLATFORMS.values()} - {folder / chosen.entry_point}
    own = [path for path in _files_under(root, folder) if path not in foreign]
    library = [path for path in _files_under(root, Path("shared")) if not path.is_relative_to(_CLOUD)]
    found = [Path("functions/__init__.py"), *own, *library]
    modules = imported_from_cloud(root, found, chosen.others)
    found += modules
    for package in sorted({path.parent for path in modules} - {_CLOUD}):
        found += [path for path in _files_under(root, package) if path.suffix != ".py"]
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


WRITTEN_AT: Final = 315_619_200  # 1980-01-02: a ZIP file knows no time before 1980, in whichever zone it is read
SLICE: Final = PurePosixPath("slice.json")
IGNORE_FILE: Final = PurePosixPath(".gcloudignore")
IGNORED: Final = """\
# What gcloud does not upload of this folder. Without this file it would follow a .gitignore.
.gcloudignore
.env
__pycache__/
*.pyc
"""


class CannotDeploy(CommandError):
    """A configuration that works on this machine, and not on the platform."""


class NotABundle(CommandError):
    """The folder for a bundle has something else in it, which is left alone."""


def contents(root: Path, function: str, compiled: JsonObject, platform: str) -> dict[PurePosixPath, bytes]:
    """Return a bundle's files by their paths in it. Raises PinsFault, and CannotDeploy."""
    if function == "notify" and (faults := list(_platform_faults(compiled, platform))):
        raise CannotDeploy("\n".join(faults))
    files = {place: path.read_bytes() for place, path in bundle_files(root, function, platform).items()}
    mounted = {each.name for each in FUNCTIONS if each.mounts_secrets}
    by_name = ("gcp-secrets",) if platform == "gcp" and function not in mounted else ()
    extras = (function, platform, *by_name, *needed_extras(function, compiled))
    files[PurePosixPath("requirements.txt")] = requirements(
        root / "pyproject.toml", root / "deploy" / "pins.txt", extras
    ).encode()
    if platform == "gcp":
        files[IGNORE_FILE] = IGNORED.encode()
    files[SLICE] = (json.dumps(compiled, ensure_ascii=False, indent=2) + "\n").encode()
    return dict(sorted(files.items()))


def _platform_faults(notify: JsonObject, platform: str) -> Iterator[str]:
    """Yield the rule that each destination breaks on the platform."""
    for name, rule in unreachable_databases(notify, platform):
        yield f"destinations.{name}.sql.{rule}"
    for name, kind in without_google_account(notify) if platform == "aws" else ():
        rule = "must name a secret on AWS, with the key (JSON) of a service account of Google's; got none"
        yield f"destinations.{name}.{kind}.secret: {rule}"


def digest_of_files(files: Mapping[PurePosixPath, bytes]) -> str:
    digest = hashlib.sha256()
    for place, content in sorted(files.items()):
        digest.update(f"{place} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def write(folder: Path, files: Mapping[PurePosixPath, bytes]) -> None:
    """Replace the folder's content with these files. Raises NotABundle."""
    if folder.exists() and not (folder / SLICE).is_file():
        raise NotABundle(f"{folder} exists and is not a bundle. Move it away, or choose another folder with --out")
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for place, content in files.items():
        path = fresh / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in [fresh, *fresh.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (WRITTEN_AT, WRITTEN_AT))
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)
