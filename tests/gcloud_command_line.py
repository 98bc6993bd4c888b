"""A command line of gcloud: its verb, the kind of thing that it is about, its names and its flags."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.gcloud_shown import Thing


@dataclass(frozen=True)
class CommandLine:
    """A call's words, its flags apart. A flag without a value is ''."""

    command: tuple[str, ...]
    names: tuple[str, ...]
    flags: Mapping[str, str]
    stdin: str = ""

    @property
    def name(self) -> str:
        return self.names[0].removeprefix("gs://").partition("@")[0]


# Each command's words, and the API that must be enabled for it.
APIS: Final = {
    "run": "run",
    "pubsub": "pubsub",
    "firestore": "firestore",
    "storage": "storage",
    "secrets": "secretmanager",
    "scheduler": "cloudscheduler",
    "monitoring": "monitoring",
    "iam": "iam",
    "logging": "logging",
    "artifacts": "artifactregistry",
}
KINDS: Final = {
    ("projects",): "project",
    ("iam", "service-accounts"): "account",
    ("pubsub", "topics"): "topic",
    ("pubsub", "subscriptions"): "subscription",
    ("firestore", "databases"): "database",
    ("storage", "buckets"): "bucket",
    ("storage",): "bucket",  # rm
    ("storage", "buckets", "notifications"): "notification",
    ("artifacts", "repositories"): "repository",
    ("secrets",): "secret",
    ("run", "services"): "service",
    ("scheduler", "jobs"): "job",
    ("scheduler", "jobs", "create"): "job",
    ("monitoring", "dashboards"): "dashboard",
    ("logging", "metrics"): "metric",
    ("monitoring", "policies"): "alert",
}
LISTS: Final = {
    ("services",): "api",
    ("firestore", "fields", "ttls"): "expiry",
    ("firestore", "indexes", "fields"): "exemption",
}
ALERT_FIELDS: Final = frozenset({"disabled", "notificationChannels"})
OPPOSITES: Final = {
    "--invoker-iam-check": "--no-invoker-iam-check",
    "--no-invoker-iam-check": "--invoker-iam-check",
    "--clear-network": "--network",
    "--clear-vpc-connector": "--vpc-connector",
    "--clear-cloudsql-instances": "--set-cloudsql-instances",
    "--set-cloudsql-instances": "--clear-cloudsql-instances",
    "--clear-secrets": "--set-secrets",
    "--set-secrets": "--clear-secrets",
}
GLOBAL: Final = frozenset({"--project", "--quiet", "--format", "--source"})
_OTHER_VERBS: Final = (
    "update-traffic",
    "get-iam-policy",
    "add-iam-policy-binding",
    "remove-iam-policy-binding",
    "print-access-token",
)
VERBS: Final = frozenset(
    ("enable", "list", "describe", "create", "update", "delete", "add", "deploy", "rm", "get-value", *_OTHER_VERBS)
)


def parsed(arguments: Sequence[str], stdin: str = "") -> CommandLine:
    """The command's words end with its verb; `http` after create belongs to it."""
    end = next(number for number, word in enumerate(arguments, 1) if word in VERBS)
    end += list(arguments[end : end + 1]) == ["http"]
    names = [word for word in arguments[end:] if not word.startswith("--")]
    pairs = [word.partition("=") for word in arguments[end:] if word.startswith("--")]
    return CommandLine(tuple(arguments[:end]), tuple(names), {flag: value for flag, _, value in pairs}, stdin)


def settings_in_file(command_line: CommandLine) -> Thing:
    path = command_line.flags.get("--config-from-file") or command_line.flags["--policy-from-file"]
    read: Thing = json.loads(Path(path).read_text(encoding="utf-8"))
    return read
