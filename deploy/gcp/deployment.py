"""From a configuration to what a graph is built from: the slices, and the three bundles in build/."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.bundle.bundle import contents, write
from deploy.config.checkout import ROOT
from deploy.config.compiler import FUNCTIONS, compile_file
from deploy.config.mail_settings import mail_fault
from deploy.gcp.graph import Deployment
from deploy.gcp.resources.services import Bundle
from deploy.google.target import Target
from deploy.terminal.command_error import CannotTell

COMMAND_FILES: Final = "gcp"
"""The folder beside the bundles that takes the files which commands read."""


def prepared(
    target: Target, project_number: str, config: Path | None, environ: Mapping[str, str], out: Path
) -> Deployment:
    """Compiles and bundles into `out`. Raises ConfigFaults, PinsFault, NotABundle and CannotTell."""
    if fault := mail_fault(environ):
        raise CannotTell(fault)
    slices = compile_file(config, environ)
    folder = Path(os.path.relpath(out))
    bundles: dict[str, Bundle] = {}
    for function in FUNCTIONS:
        files = contents(ROOT, function, slices[function], "gcp")
        write(out / function, files)
        bundles[function] = Bundle(folder / function, digest_of_files(files))
    return Deployment(target, project_number, slices, bundles, environ, folder / COMMAND_FILES)


def digest_of_files(files: Mapping[PurePosixPath, bytes]) -> str:
    digest = hashlib.sha256()
    for place, content in sorted(files.items()):
        digest.update(f"{place} {len(content)}\n".encode() + content)
    return digest.hexdigest()
