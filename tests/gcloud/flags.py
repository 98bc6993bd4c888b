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
LOOKED_UP: Final = Path(__file__).with_name("commands.txt")
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
    known = {}
    for line in LOOKED_UP.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, count, flags = (part.strip() for part in line.split("|"))
            known[name] = Known(frozenset(flags.split()), int(count))
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
