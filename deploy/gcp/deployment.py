"""The parts of a deployment to Google Cloud around its plan, in the order of the command.

Before the plan, the configuration is compiled and bundled. After it, the secrets that its actions create are found, and
its target is kept in .env so that later commands need no options.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.bundle.bundle import contents, digest_of_files, write
from deploy.cloud_access import gcp_names
from deploy.config import checkout, compiler, dotenv, mail_settings, platform_parts
from deploy.gcp import graph, plan
from deploy.gcp.resources import services
from deploy.secrets.needs import Need, needs
from deploy.terminal.command_line import CommandError
from deploy.topology.buses import brings_on_google, own_bus_fault, silent_sources
from shared.jsontext import JsonObject

COMMAND_FILES: Final = "gcp"
"""The folder beside the bundles with the files that gcloud commands read."""

COMMENT: Final = "what was last deployed to Google Cloud, and where"
"""The comment above the variables that a deployment adds to .env."""

_NO_OPTIONS: Final = argparse.Namespace(project=None, region=None, prefix=None)
"""The options of a command that names no deployment."""


def prepare_deployment(
    target: gcp_names.Target, project_number: str, config: Path | None, environ: Mapping[str, str], out: Path
) -> graph.Deployment:
    """Compile the configuration, and write a bundle of each function into `out`. Return the deployment to plan.

    Raises ConfigFaults, PinsFault, NotABundle and CommandError.
    """
    if fault := mail_settings.mail_settings_fault(environ):
        raise CommandError(fault)
    slices = compiler.compile_file(config, environ)
    if fault := own_bus_fault(slices["receive"], target.prefix, target.project):
        raise CommandError(fault)
    folder = Path(os.path.relpath(out))  # the commands of a plan name files as seen from the working directory
    bundles: dict[str, services.Bundle] = {}
    for function, compiled in slices.items():
        files = contents(checkout.ROOT, function, compiled, "gcp")
        write(out / function, files)
        bundles[function] = services.Bundle(folder / function, digest_of_files(files))
    return graph.Deployment(target, project_number, slices, bundles, environ, folder / COMMAND_FILES)


def warnings(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what the configuration and the mail settings allow and Google Cloud does not do as meant."""
    unusable = (*platform_parts.local_only(slices), *platform_parts.aws_only(slices["notify"]))
    yield from (f"{where}: {rule}" for _, where, rule in unusable)
    yield from mail_settings.mail_settings_warnings(environ)
    yield from mail_settings.recipients_as_senders(slices["notify"], environ)
    yield from silent_sources(slices["receive"], brings_on_google, "Google Cloud")


def missing_needs(actions: Iterable[plan.Action], deployment: graph.Deployment) -> list[Need]:
    """Return the secrets that the actions create."""
    wanted = {command.secret for action in actions for command in action.commands if command.secret}
    return [need for need in needs(deployment.slices, deployment.environ) if need.name in wanted]


@dataclass(frozen=True, slots=True)
class DotenvSettings:
    """The lines of a deployment in .env, at `path`: its target, and the variables of `environ` in `settings`."""

    path: Path
    target: gcp_names.Target
    environ: Mapping[str, str]
    settings: Sequence[str]

    def keep(self) -> list[str]:
        """Add missing variables to .env. Return a note for each one that keeps another value. Raises DotenvFault."""
        return dotenv.keep_target(
            self.path,
            target={
                "GOOGLE_CLOUD_PROJECT": self.target.project,
                "HOOKCHAIN_REGION": self.target.region,
                "HOOKCHAIN_PREFIX": self.target.prefix,
            },
            defaults={"HOOKCHAIN_REGION": gcp_names.DEFAULT_REGION, "HOOKCHAIN_PREFIX": gcp_names.DEFAULT_PREFIX},
            settings={name: self.environ[name] for name in self.settings if self.environ.get(name)},
            comment=COMMENT,
        )

    def missing_target_options(self) -> str:
        """Return the options that commands need to find the deployment; empty if .env names it. Raises DotenvFault."""
        target = self.target
        try:
            if gcp_names.find_target(_NO_OPTIONS, checkout.environ_with(self.path), lambda: None) == target:
                return ""
        except gcp_names.TargetFault:
            pass
        return f" --project {target.project} --region {target.region} --prefix {target.prefix}"
