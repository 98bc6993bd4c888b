"""From a configuration to what a graph is built from: the slices, and the three bundles in build/."""

import argparse
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.bundle.bundle import contents, write
from deploy.config.checkout import ROOT, environ_with
from deploy.config.compiler import FUNCTIONS, compile_file
from deploy.config.dotenv import add_to_dotenv, read_dotenv
from deploy.config.mail_settings import mail_fault
from deploy.gcp.graph import Deployment
from deploy.gcp.resources.services import Bundle
from deploy.google.target import DEFAULT_PREFIX, DEFAULT_REGION, Target, TargetFault, find_target
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


COMMENT = "what was last deployed to Google Cloud, and where"
_NOTHING_SAID: Final = argparse.Namespace(project=None, region=None, prefix=None)


@dataclass(frozen=True, slots=True)
class Memory:
    """`path` is of .env; `settings` are the names of the variables that are kept beside the target."""

    path: Path
    deployment: Deployment
    settings: Sequence[str]

    def keep(self) -> None:
        """And says what stands there otherwise. Raises DotenvFault."""
        environ = self.deployment.environ
        settings = {name: environ[name] for name in self.settings if environ.get(name)}
        for line in remember(self.path, self.deployment.target, settings):
            print(line)

    def untold(self) -> str:
        """What commands still have to be told of where. Raises DotenvFault."""
        target = self.deployment.target
        try:
            if find_target(_NOTHING_SAID, environ_with(self.path), lambda: None) == target:
                return ""
        except TargetFault:
            pass
        return f" --project {target.project} --region {target.region} --prefix {target.prefix}"


def remember(path: Path, target: Target, settings: Mapping[str, str]) -> Iterator[str]:
    """Adds to the file what it does not say yet, and yields a line for what it says otherwise. Raises DotenvFault.

    The first target stays: a second bundle, deployed with its prefix, must not become what `make deploy-gcp` means.
    """
    known = read_dotenv(path)
    wanted = {"GOOGLE_CLOUD_PROJECT": target.project, **settings}
    if "GOOGLE_CLOUD_PROJECT" in known:
        known = {"HOOKCHAIN_REGION": DEFAULT_REGION, "HOOKCHAIN_PREFIX": DEFAULT_PREFIX, **known}
    for name, value, default in (
        ("HOOKCHAIN_REGION", target.region, DEFAULT_REGION),
        ("HOOKCHAIN_PREFIX", target.prefix, DEFAULT_PREFIX),
    ):
        if value != known.get(name, default):
            wanted[name] = value
    if new := {name: value for name, value in wanted.items() if name not in known}:
        add_to_dotenv(path, new, COMMENT)
    for name, value in wanted.items():
        if known.get(name, value) != value:
            yield f"note: commands that are told no other take {name}={known[name]} still ({path})"
