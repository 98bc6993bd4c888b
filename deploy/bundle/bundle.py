"""Building a function's folder, ready to deploy.

The same inputs always give the same bytes, modes and times, so that two bundles can be compared.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.bundle.files import bundle_files
from deploy.bundle.requirements import features, requirements
from deploy.config.google_accounts import without_google_account
from deploy.config.sql_destinations import unreachable_databases
from deploy.terminal.command_line import CommandError
from deploy.topology.functions import FUNCTIONS
from shared.jsontext import JsonObject

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


class NotABundle(Exception):
    """The folder for a bundle has something else in it, which is left alone."""


def contents(root: Path, function: str, compiled: JsonObject, platform: str) -> dict[PurePosixPath, bytes]:
    """Return a bundle's files by their paths in it. Raises PinsFault, and CannotDeploy."""
    if function == "notify" and (faults := list(_platform_faults(compiled, platform))):
        raise CannotDeploy("\n".join(faults))
    files = {place: path.read_bytes() for place, path in bundle_files(root, function, platform).items()}
    mounted = {each.name for each in FUNCTIONS if each.mounts_secrets}
    by_name = ("gcp-secrets",) if platform == "gcp" and function not in mounted else ()
    extras = (function, platform, *by_name, *features(function, compiled))
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
