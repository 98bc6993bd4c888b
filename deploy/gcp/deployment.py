"""Preparing a deployment: the slices and bundles of a configuration, and the settings that are kept in .env."""

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.bundle.bundle import contents, digest_of_files, write
from deploy.config.checkout import ROOT, environ_with
from deploy.config.compiler import compile_file
from deploy.config.dotenv import read_dotenv, remember
from deploy.config.mail_settings import mail_settings_fault
from deploy.gcp.graph import Deployment
from deploy.gcp.plan import Action
from deploy.gcp.resources.services import Bundle
from deploy.google.target import DEFAULT_PREFIX, DEFAULT_REGION, Target, TargetFault, find_target
from deploy.secrets.needs import Need, needs
from deploy.terminal.command_line import CommandError
from deploy.topology.buses import own_bus_fault

COMMAND_FILES: Final = "gcp"
"""The folder beside the bundles with the files that gcloud commands read."""


def prepare_deployment(
    target: Target, project_number: str, config: Path | None, environ: Mapping[str, str], out: Path
) -> Deployment:
    """Compile and bundle into `out`. Raises ConfigFaults, PinsFault, NotABundle and CommandError."""
    if fault := mail_settings_fault(environ):
        raise CommandError(fault)
    slices = compile_file(config, environ)
    if fault := own_bus_fault(slices["receive"], target.prefix, target.project):
        raise CommandError(fault)
    folder = Path(os.path.relpath(out))
    bundles: dict[str, Bundle] = {}
    for function, compiled in slices.items():
        files = contents(ROOT, function, compiled, "gcp")
        write(out / function, files)
        bundles[function] = Bundle(folder / function, digest_of_files(files))
    return Deployment(target, project_number, slices, bundles, environ, folder / COMMAND_FILES)


def missing_needs(actions: Iterable[Action], deployment: Deployment) -> list[Need]:
    """Return the secrets that the actions create."""
    wanted = {command.secret for action in actions for command in action.commands if command.secret}
    return [need for need in needs(deployment.slices, deployment.environ) if need.name in wanted]


COMMENT = "what was last deployed to Google Cloud, and where"
_NOTHING_SAID: Final = argparse.Namespace(project=None, region=None, prefix=None)


@dataclass(frozen=True, slots=True)
class Memory:
    """The settings that are kept in .env, at `path`: the target, and the variables named by `settings`."""

    path: Path
    deployment: Deployment
    settings: Sequence[str]

    def keep(self) -> None:
        """Write to .env, and print which of its variables have other values. Raises DotenvFault."""
        environ = self.deployment.environ
        settings = {name: environ[name] for name in self.settings if environ.get(name)}
        for line in remember_settings(self.path, self.deployment.target, settings):
            print(line)

    def missing_target_options(self) -> str:
        """Return the options that commands need to find the deployment; empty if .env names it. Raises DotenvFault."""
        target = self.deployment.target
        try:
            if find_target(_NOTHING_SAID, environ_with(self.path), lambda: None) == target:
                return ""
        except TargetFault:
            pass
        return f" --project {target.project} --region {target.region} --prefix {target.prefix}"


def remember_settings(path: Path, target: Target, settings: Mapping[str, str]) -> Iterator[str]:
    """Add missing variables to the file, and yield a line for each one that has another value. Raises DotenvFault.

    The first target stays: a second deployment with its own prefix must not change what `make deploy-gcp` means.
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
    yield from remember(path, known, wanted, COMMENT)
