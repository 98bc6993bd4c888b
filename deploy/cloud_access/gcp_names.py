"""The target of a deployment on Google Cloud, a project, a region and a prefix, and the names of its resources."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.terminal.command_line import CommandError
from shared.cloud.platform import TAP_DATABASE

DEFAULT_REGION: Final = "europe-west1"
DEFAULT_PREFIX: Final = "hookchain-"

_PROJECT: Final = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z]+-[a-z]+\d+")
_IS_GOOGLES: Final = re.compile(r"^goog|g[o0][o0]g[l1]e")
"""What Google forbids in names: `checked_target` says in which."""
_PREFIX: Final = re.compile(r"[a-z](?:-?[a-z0-9]){3,19}-")


class TargetFault(CommandError):
    """The project, region or prefix is missing or invalid. The text names it, the rule, and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target. `prefix` ends in a dash, as in `hookchain-`."""

    project: str
    region: str = DEFAULT_REGION
    prefix: str = DEFAULT_PREFIX

    @property
    def bundle(self) -> str:
        """Return the name of the deployment: the prefix without its dash."""
        return self.prefix.removesuffix("-")

    def name_of(self, name: str) -> str:
        """Return the name of the deployment's service, topic, subscription, job, metric, secret or service account."""
        return f"{self.prefix}{name}"


def checked_target(project: str, region: str, prefix: str) -> Target:
    """Return a valid target. A prefix without its dash gets one. Raises TargetFault."""
    prefix = prefix if prefix.endswith("-") else f"{prefix}-"
    if not _PROJECT.fullmatch(project):
        raise TargetFault(f"project: must be 6 to 30 lower-case letters, digits and dashes; got {project!r}")
    if not _REGION.fullmatch(region):
        raise TargetFault(f"region: must be a region such as {DEFAULT_REGION}; got {region!r}")
    if not _PREFIX.fullmatch(prefix) or len(prefix) > 21 or _IS_GOOGLES.search(prefix):
        # A service account's name has at most 30 characters, and a Firestore database's at least 4. A topic's name must
        # not begin with "goog", and a bucket's must not contain "google" or a misspelling of it.
        rule = "must be 4 to 20 lower-case letters, digits and single dashes, beginning with a letter, then a dash"
        raise TargetFault(f"prefix: {rule}, without 'goog' at its beginning and 'google' in it; got {prefix!r}")
    return Target(project, region, prefix)


def find_target(
    options: argparse.Namespace, environ: Mapping[str, str], configured_project: Callable[[], str | None]
) -> Target:
    """Return the target from the options, else the environment, else gcloud's own configuration, which is read only if
    nothing else names a project. Raises TargetFault."""
    project = options.project or environ.get("GOOGLE_CLOUD_PROJECT") or configured_project()
    if not project:
        hint = "add --project ID (make: PROJECT=ID), or set GOOGLE_CLOUD_PROJECT"
        raise TargetFault(f"no project is named: {hint}; `gcloud projects list` shows yours")
    region = options.region or environ.get("HOOKCHAIN_REGION") or DEFAULT_REGION
    return checked_target(project, region, options.prefix or environ.get("HOOKCHAIN_PREFIX") or DEFAULT_PREFIX)


def add_target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", metavar="ID", help="set the project [GOOGLE_CLOUD_PROJECT, else gcloud's]")
    parser.add_argument("--region", help=f"set the region [HOOKCHAIN_REGION, else {DEFAULT_REGION}]")
    parser.add_argument("--prefix", help=f"set the prefix of all names [HOOKCHAIN_PREFIX, else {DEFAULT_PREFIX}]")


# The names of resources


BUNDLE_LABEL: Final = "hookchain"
"""The label with the name of the deployment."""
PLAN_LABEL: Final = "hookchain-plan"
"""The label with the digest of the settings as they were planned."""


def holding_subscription(topic: str) -> str:
    """Return the name of the subscription that keeps a topic's messages beside those that are pushed."""
    return f"{topic}-hold"


def account_email(target: Target, name: str) -> str:
    """Return the address of a service account. `name` is a function, `push`, `build` or `developer`."""
    return f"{target.name_of(name)}@{target.project}.iam.gserviceaccount.com"


def database(target: Target) -> str:
    return target.bundle


def tap_database(target: Target) -> str:
    """Return the name of the database with the leases of the tap, in which developers write."""
    return f"{database(target)}{TAP_DATABASE}"


def bucket(target: Target) -> str:
    return f"{target.project}-{target.prefix}blobs"


def series_filter(target: Target, name: str) -> str:
    """Return the filter of Cloud Monitoring that selects the metric's time series."""
    metric = f"logging.googleapis.com/user/{target.name_of(name)}"
    return f'metric.type = "{metric}" AND resource.type = "cloud_run_revision"'


def labels(target: Target) -> Mapping[str, str]:
    """Return the labels of every resource that can have labels, which name its deployment."""
    return {BUNDLE_LABEL: target.bundle}


def environment(target: Target, has_database: bool) -> dict[str, str]:
    """Return the variables of a deployed function."""
    variables = {
        "GOOGLE_CLOUD_PROJECT": target.project,
        "HOOKCHAIN_PREFIX": target.prefix,
        "HOOKCHAIN_BUCKET": bucket(target),
    }
    return {**variables, "HOOKCHAIN_FIRESTORE": database(target)} if has_database else variables
