"""Where a bundle lives on Google Cloud: a project, a region, and what the names of its parts begin with."""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

DEFAULT_REGION: Final = "europe-west1"
DEFAULT_PREFIX: Final = "hookchain-"

_PROJECT: Final = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z]+-[a-z]+\d+")
_IS_GOOGLES: Final = re.compile(r"^goog|g[o0][o0]g[l1]e")
_PREFIX: Final = re.compile(r"[a-z](?:-?[a-z0-9]){3,19}-")


class TargetFault(Exception):
    """The project, region or prefix is missing or cannot be one; the text says which, the rule, and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """`prefix` ends in a dash, as in `hookchain-`."""

    project: str
    region: str = DEFAULT_REGION
    prefix: str = DEFAULT_PREFIX

    @property
    def bundle(self) -> str:
        """The prefix without its dash: the name of the whole."""
        return self.prefix.removesuffix("-")


def checked_target(project: str, region: str, prefix: str) -> Target:
    """A prefix written without its dash gets it. Raises TargetFault."""
    prefix = prefix if prefix.endswith("-") else f"{prefix}-"
    if not _PROJECT.fullmatch(project):
        raise TargetFault(f"project {project!r}: a project's id is 6 to 30 lower-case letters, digits and dashes")
    if not _REGION.fullmatch(region):
        raise TargetFault(f"region {region!r}: a region is written like {DEFAULT_REGION}")
    if not _PREFIX.fullmatch(prefix) or len(prefix) > 21 or _IS_GOOGLES.search(prefix):
        # A service account's name has at most 30 characters, a Firestore database's at least 4. A topic's does not
        # begin with "goog", and a bucket's holds no "google", however written.
        rule = "a prefix begins with a letter, is 4 to 20 lower-case letters, digits and single dashes, then a dash"
        raise TargetFault(f"prefix {prefix!r}: {rule}, and neither begins with 'goog' nor holds 'google'")
    return Target(project, region, prefix)


def find_target(
    options: argparse.Namespace, environ: Mapping[str, str], configured_project: Callable[[], str | None]
) -> Target:
    """From --project, --region and --prefix, else the environment, else gcloud's own configuration, which is asked
    only where nothing else names a project. Raises TargetFault."""
    project = options.project or environ.get("GOOGLE_CLOUD_PROJECT") or configured_project()
    if not project:
        rule = "say --project ID (make: PROJECT=ID), or set GOOGLE_CLOUD_PROJECT"
        raise TargetFault(f"no project is named: {rule}; `gcloud projects list` shows yours")
    region = options.region or environ.get("HOOKCHAIN_REGION") or DEFAULT_REGION
    return checked_target(project, region, options.prefix or environ.get("HOOKCHAIN_PREFIX") or DEFAULT_PREFIX)


def add_target_options(words: argparse.ArgumentParser) -> None:
    words.add_argument("--project", metavar="ID", help="set the project [GOOGLE_CLOUD_PROJECT, else gcloud's]")
    words.add_argument("--region", help=f"set the region [HOOKCHAIN_REGION, else {DEFAULT_REGION}]")
    words.add_argument("--prefix", help=f"set the beginning of all names [HOOKCHAIN_PREFIX, else {DEFAULT_PREFIX}]")
