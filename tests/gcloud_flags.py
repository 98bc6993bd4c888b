"""The check of gcloud command lines against its commands, flags and values.

The flags of 22 commands come from the real parser (in the folder of test inputs); the others were looked up in
gcloud's reference (https://cloud.google.com/sdk/gcloud/reference).
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

GLOBAL: Final = frozenset({"project", "quiet", "format", "account", "verbosity"})
LISTING: Final = "filter limit page-size sort-by uri"
BINDING: Final = "member role"
CONDITIONAL: Final = "member role condition condition-from-file all"
JOB: Final = (
    "location schedule uri http-method oidc-service-account-email oidc-token-audience attempt-deadline description "
    "headers message-body time-zone max-backoff max-doublings max-retry-attempts max-retry-duration min-backoff"
)
BUCKET: Final = "uniform-bucket-level-access public-access-prevention soft-delete-duration lifecycle-file"

# Command, flags, and how many names follow it at most.
LOOKED_UP: Final = {
    "artifacts repositories create": ("repository-format location description labels async", 1),
    "artifacts repositories list": (f"location {LISTING}", 0),
    "auth login": ("brief no-launch-browser", 1),
    "auth print-access-token": ("", 1),
    "beta services identity create": ("service folder organization", 0),
    "config get-value": ("", 1),
    "config set": ("", 2),
    "firestore databases delete": ("database etag", 0),
    "firestore databases list": (LISTING, 0),
    "firestore databases update": ("database delete-protection enable-pitr type async", 0),
    "firestore fields ttls list": (f"collection-group database {LISTING}", 0),
    "firestore indexes fields list": (f"collection-group database {LISTING}", 0),
    "firestore indexes fields update": ("collection-group database async clear-exemption disable-indexes index", 1),
    "iam service-accounts delete": ("", 1),
    "iam service-accounts enable": ("", 1),
    "iam service-accounts get-iam-policy": (LISTING, 1),
    "iam service-accounts list": (LISTING, 0),
    "iam service-accounts remove-iam-policy-binding": (CONDITIONAL, 1),
    "iam service-accounts update": ("display-name description", 1),
    "logging metrics create": ("description log-filter config-from-file bucket-name", 1),
    "logging metrics delete": ("", 1),
    "logging metrics list": (LISTING, 0),
    "logging metrics update": ("description log-filter config-from-file bucket-name", 1),
    "monitoring dashboards create": ("config config-from-file validate-only", 0),
    "monitoring dashboards delete": ("etag", 1),
    "monitoring dashboards list": (LISTING, 0),
    "monitoring policies create": ("policy policy-from-file user-labels notification-channels", 0),
    "monitoring policies delete": ("", 1),
    "monitoring policies list": (LISTING, 0),
    "monitoring policies update": ("policy policy-from-file fields update-user-labels", 1),
    "projects add-iam-policy-binding": ("member role condition condition-from-file", 1),
    "projects get-iam-policy": (LISTING, 1),
    "projects list": (LISTING, 0),
    "projects remove-iam-policy-binding": (CONDITIONAL, 1),
    "pubsub subscriptions delete": ("", 9),
    "pubsub subscriptions get-iam-policy": (LISTING, 1),
    "pubsub subscriptions list": (LISTING, 0),
    "pubsub subscriptions remove-iam-policy-binding": (BINDING, 1),
    "pubsub topics delete": ("", 9),
    "pubsub topics get-iam-policy": (LISTING, 1),
    "pubsub topics list": (LISTING, 0),
    "pubsub topics remove-iam-policy-binding": (BINDING, 1),
    "pubsub topics update": (
        "update-labels remove-labels clear-labels message-retention-duration message-storage-policy-allowed-regions "
        "message-storage-policy-enforce-in-transit recompute-message-storage-policy",
        1,
    ),
    "run revisions list": (f"service region {LISTING}", 0),
    "run services describe": ("region", 1),
    "run services get-iam-policy": (f"region {LISTING}", 1),
    "run services list": (f"region {LISTING}", 0),
    "run services remove-iam-policy-binding": (f"region {CONDITIONAL}", 1),
    "run services update-traffic": ("region to-latest to-revisions to-tags async", 1),
    "scheduler jobs create http": (JOB, 1),
    "scheduler jobs delete": ("location", 9),
    "scheduler jobs list": (f"location {LISTING}", 0),
    "secrets delete": ("etag location", 1),
    "secrets get-iam-policy": (f"location {LISTING}", 1),
    "secrets list": (f"location {LISTING}", 0),
    "secrets remove-iam-policy-binding": (f"location {CONDITIONAL}", 1),
    "secrets versions access": ("secret location out-file", 1),
    "secrets versions add": ("data-file location", 1),
    "secrets versions destroy": ("secret etag location", 1),
    "secrets versions disable": ("secret etag location", 1),
    "secrets versions enable": ("secret etag location", 1),
    "secrets versions list": (f"location {LISTING}", 1),
    "services list": (f"enabled available {LISTING}", 0),
    "storage buckets add-iam-policy-binding": (BINDING, 9),
    "storage buckets create": (f"location default-storage-class placement {BUCKET}", 9),
    "storage buckets get-iam-policy": (LISTING, 1),
    "storage buckets list": (LISTING, 9),
    "storage buckets notifications create": (
        "topic event-types object-prefix payload-format custom-attributes skip-topic-setup",
        1,
    ),
    "storage buckets notifications delete": ("", 9),
    "storage buckets notifications list": (f"human-readable {LISTING}", 9),
    "storage buckets remove-iam-policy-binding": (BINDING, 9),
    "storage buckets update": (f"update-labels remove-labels clear-labels {BUCKET}", 9),
    "storage rm": ("recursive all-versions continue-on-error", 9),
}
MANY: Final = {"services enable": 20}

_DURATION: Final = r"\d+[smhdw]?"
_PAIRS: Final = r"[a-z][a-z0-9_-]*=[a-z0-9_-]*(,[a-z][a-z0-9_-]*=[a-z0-9_-]*)*"
_EMAIL: Final = r"[a-z0-9-]+@[a-z0-9.-]+"
_URL: Final = r"https://\S+"
_PLACE: Final = r"[a-z]+-[a-z]+\d+"
VALUES: Final = {
    "ack-deadline": r"\d+",
    "attempt-deadline": r"\d+[smh]",
    "condition": r"None|title=[^,]+,expression=.+",
    "cpu": r"\d+(\.\d+|m)?",
    "expiration-period": rf"never|{_DURATION}",
    "http-method": r"DELETE|GET|HEAD|PATCH|POST|PUT",
    "event-types": r"OBJECT_(FINALIZE|DELETE|ARCHIVE|METADATA_UPDATE)(,OBJECT_[A-Z_]+)*",
    "labels": _PAIRS,
    "location": _PLACE,
    "locations": rf"{_PLACE}(,{_PLACE})*",
    "max-retry-delay": _DURATION,
    "member": rf"serviceAccount:{_EMAIL}|(user|group):\S+@\S+|allUsers|allAuthenticatedUsers",
    "memory": r"\d+(Ki|Mi|Gi|k|M|G)?",
    "message-retention-duration": _DURATION,
    "message-storage-policy-allowed-regions": rf"{_PLACE}(,{_PLACE})*",
    "min-retry-delay": _DURATION,
    "payload-format": "json|none",
    "oidc-service-account-email": _EMAIL,
    "push-auth-service-account": _EMAIL,
    "push-endpoint": _URL,
    "region": _PLACE,
    "replication-policy": "automatic|user-managed",
    "repository-format": "apt|docker|generic|go|googet|kfp|maven|npm|python|yum",
    "role": r"(roles|(projects|organizations)/[^/]+/roles)/[A-Za-z0-9_.]+",
    "schedule": r"(\S+ ){4}\S+",
    "soft-delete-duration": _DURATION,
    "timeout": _DURATION,
    "update-labels": _PAIRS,
    "uri": _URL,
}
"""What a flag takes, whichever command it belongs to: https://cloud.google.com/sdk/gcloud/reference says it of each."""
VALUES_OF: Final = {
    # The parser's own choices: googlecloudsdk/surface/monitoring/policies/update.py, fields_choices.
    "monitoring policies update": {"fields": r"(disabled|notificationChannels)(,(disabled|notificationChannels))*"},
}


@dataclass(frozen=True, slots=True)
class Known:
    """`flags` without their dashes; `choices` and `kinds` by flag; `names` is how many there may be."""

    flags: frozenset[str]
    names: int
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


def known_commands(inputs_folder: Path | None) -> dict[str, Known]:
    """With those of the real parser where its table is there."""
    known = {name: Known(frozenset(flags.split()), count) for name, (flags, count) in LOOKED_UP.items()}
    path = inputs_folder / "gcloud-flags.json" if inputs_folder else None
    if path and path.is_file():
        parsed = json.loads(path.read_text(encoding="utf-8"))
        known |= {name.removeprefix("gcloud "): _known(name, table) for name, table in parsed.items()}
    return known


def _known(name: str, table: Mapping[str, Mapping[str, object]]) -> Known:
    flags = {flag.removeprefix("--"): facts for flag, facts in table.items() if flag.startswith("--")}
    choices = {flag: facts["choices"] for flag, facts in flags.items() if facts.get("choices")}
    kinds = {flag: str(facts.get("type")) for flag, facts in flags.items()}
    count = len(table) - len(flags)
    return Known(frozenset(flags), MANY.get(name.removeprefix("gcloud "), count), choices, kinds)  # type: ignore[arg-type] # JSON


def faults(arguments: Sequence[str], known: Mapping[str, Known]) -> Iterator[str]:
    """What is wrong with the words after gcloud; nothing where the parser would take them."""
    remaining = list(arguments)
    command = max((name for name in known if remaining[: len(name.split())] == name.split()), key=len, default=None)
    if command is None:
        yield f"no command is known that begins gcloud {' '.join(remaining[:4])}"
        return
    rest = remaining[len(command.split()) :]
    names = [word for word in rest if not word.startswith("--")]
    if len(names) > known[command].names:
        yield f"gcloud {command}: too many names: {' '.join(names)}"
    for word in rest:
        if word.startswith("--"):
            yield from (f"gcloud {command}: {fault}" for fault in _flag_faults(word, known[command]))
            yield from (f"gcloud {command}: {fault}" for fault in _value_faults(word, command))


def _value_faults(word: str, command: str) -> Iterator[str]:
    flag, equals, value = word.removeprefix("--").partition("=")
    pattern = {**VALUES, **VALUES_OF.get(command, {})}.get(flag)
    if pattern and equals and not re.fullmatch(pattern, value):
        yield f"--{flag} does not take {value!r}"


def _flag_faults(word: str, known: Known) -> Iterator[str]:
    flag, equals, value = word.removeprefix("--").partition("=")
    if flag in GLOBAL:
        return
    negated = flag.removeprefix("no-")
    if flag not in known.flags and (negated not in known.flags or equals):
        yield f"there is no flag --{flag}"
    elif flag in known.choices and value not in known.choices[flag]:
        yield f"--{flag} is one of {', '.join(known.choices[flag])}, not {value!r}"
    elif known.kinds.get(flag) == "bool" and equals:
        yield f"--{flag} takes no value"
    elif known.kinds.get(flag, "bool") != "bool" and not value:
        yield f"--{flag} wants a value"
    elif known.kinds.get(flag) == "int" and not re.fullmatch(r"\d+s?", value):
        yield f"--{flag} is a number, not {value!r}"


_LINE: Final = re.compile(r"(?:^|[|;&(])[ ]*gcloud ((?:[^\n|;&()'\"]|'[^']*'|\"[^\"]*\")*)", re.MULTILINE)


def command_lines(text: str) -> Iterator[list[str]]:
    """The words after gcloud of each command in a shell's text: alone on its line, in a pipe, or within $(…)."""
    for found in _LINE.finditer(text.replace("\\\n", " ")):
        yield shlex.split(found[1], comments=True)
