"""Building a bundle: the folder of one function that gcloud or CloudFormation uploads.

    build/gcp/receive/main.py, functions/receive/…, shared/…, requirements.txt, slice.json

slice.json is the part of the compiled configuration that the function needs. The same inputs always give the same
bytes, modes and times, so that two bundles can be compared.
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
    """The requirements of a platform for a bundle.

    entry_point   the file in a function's folder that the platform loads
    at_top        the platform looks for that file at the top of the bundle, as Google's buildpack does
    unneeded      the folders with the code of other platforms
    """

    entry_point: str
    at_top: bool
    unneeded: tuple[str, ...]


PLATFORMS: Final = {
    "gcp": BundlePlatform("main.py", at_top=True, unneeded=("shared/cloud/aws",)),
    "aws": BundlePlatform("lambda_handler.py", at_top=False, unneeded=("shared/cloud/gcp", "shared/cloud/local")),
}
_CLOUD: Final = Path("shared/cloud")
_CLOUD_MODULES: Final = "shared.cloud."


def bundle_files(root: Path, function: str, platform: str) -> dict[PurePosixPath, Path]:
    """Return the files by their paths in the bundle.

    These are the function's folder with the platform's entry point, shared/ without shared/cloud, the modules of
    shared/cloud that these import, directly or indirectly, and the data files beside these modules.
    """
    chosen = PLATFORMS[platform]
    folder = Path("functions") / function
    entry_point = folder / chosen.entry_point
    other_entry_points = {folder / each.entry_point for each in PLATFORMS.values()} - {entry_point}
    own = [path for path in _files_under(root, folder) if path not in other_entry_points]
    library = [path for path in _files_under(root, Path("shared")) if not path.is_relative_to(_CLOUD)]
    files = [Path("functions/__init__.py"), *own, *library]
    cloud_modules = imported_from_cloud(root, files, chosen.unneeded)
    files += cloud_modules
    for package in {path.parent for path in cloud_modules} - {_CLOUD}:
        files += [path for path in _files_under(root, package) if path.suffix != ".py"]
    by_place = {PurePosixPath(path): root / path for path in sorted(files)}
    if chosen.at_top:
        by_place[PurePosixPath(entry_point.name)] = by_place.pop(PurePosixPath(entry_point))
    return by_place


def _files_under(root: Path, folder: Path) -> Iterator[Path]:
    for path in sorted((root / folder).rglob("*")):
        relative = path.relative_to(root)
        is_left_out = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not is_left_out and path.suffix != ".pyc":
            yield relative


def imported_from_cloud(root: Path, files: Iterable[Path], unneeded: tuple[str, ...]) -> set[Path]:
    """Return the modules of shared/cloud that the files import, directly or indirectly, also inside a `def`.

    A deployed function imports the code of each platform where it needs it, so the modules in the `unneeded` folders
    are left out.
    """
    found: set[Path] = set()
    unread = [path for path in files if path.suffix == ".py"]
    while unread:
        modules = imported_modules((root / unread.pop()).read_text(encoding="utf-8"))
        for module in modules:
            if not f"{module}.".startswith(_CLOUD_MODULES):
                continue
            for path in _module_files(root, module):
                is_needed = path.is_relative_to(_CLOUD) and not any(map(path.is_relative_to, unneeded))
                if is_needed and path not in found:
                    found.add(path)
                    unread.append(path)
    return found


def _module_files(root: Path, module: str) -> Iterator[Path]:
    """Yield the module's file and the `__init__.py` of each package above it. A name in a module yields its module."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = Path(*parts[:end])
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if (root / candidate).is_file():
                yield candidate


WRITTEN_AT: Final = 315_619_200
"""1980-01-02: ZIP files cannot store a time before 1980, and one day more allows for every time zone."""
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
    """The configuration works on this machine, but not on the platform."""


class NotABundle(CommandError):
    """The folder for a bundle contains something else, which is not overwritten."""


def contents(root: Path, function: str, compiled: JsonObject, platform: str) -> dict[PurePosixPath, bytes]:
    """Return the content of a bundle's files by their paths in it. Raises PinsFault and CannotDeploy."""
    if function == "notify" and (faults := list(_platform_faults(compiled, platform))):
        raise CannotDeploy("\n".join(faults))
    files = {place: path.read_bytes() for place, path in bundle_files(root, function, platform).items()}
    extras = [function, platform, *needed_extras(function, compiled)]
    if platform == "gcp" and not any(each.name == function and each.mounts_secrets for each in FUNCTIONS):
        extras.append("gcp-secrets")  # without mounted files, the function reads its secrets over an API
    files[PurePosixPath("requirements.txt")] = requirements(
        root / "pyproject.toml", root / "deploy" / "pins.txt", extras
    ).encode()
    if platform == "gcp":
        files[IGNORE_FILE] = IGNORED.encode()
    files[SLICE] = (json.dumps(compiled, ensure_ascii=False, indent=2) + "\n").encode()
    return dict(sorted(files.items()))


def _platform_faults(notify: JsonObject, platform: str) -> Iterator[str]:
    """Yield a fault for each destination that cannot work on the platform."""
    for name, rule in unreachable_databases(notify, platform):
        yield f"destinations.{name}.sql.{rule}"
    if platform == "aws":
        rule = "must name a secret on AWS, with the key (JSON) of a service account of Google's; got none"
        for name, kind in without_google_account(notify):
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
