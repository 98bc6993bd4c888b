"""A small Google Cloud behind gcloud's command lines: it keeps what was made, and refuses what Google would refuse.

Things can be made only where their API is enabled, once, and after what they name; roles given only to accounts that
are there. `python tests/gcloud_world.py STATE ARGUMENT…` is one call against the state in a file, for a gcloud on PATH.
"""

import fcntl
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

NUMBER: Final = "123456789012"
AGENTS: Final = f"service-{NUMBER}@gcp-sa-"

Thing = dict[str, object]


class Refused(Exception):
    """What gcloud writes to standard error."""


@dataclass(frozen=True)
class Words:
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
    "artifacts": "artifactregistry",
}


@dataclass
class World:
    """`things` by kind and name. `calls` are all that was asked; `fail_at` counts the changes, from 0: that one fails,
    before it has done anything, or where `fails_late` after."""

    project: str = "my-project"
    organisation: str = ""
    things: dict[str, dict[str, Thing]] = field(default_factory=dict)
    policies: dict[str, list[list[str]]] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    changes: int = 0
    fail_at: int | None = None
    fails_late: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def call(self, arguments: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        with self.lock:
            self.calls.append(list(arguments))
            try:
                answer = self._answered(parsed(arguments, stdin))
            except Refused as refused:
                return 1, "", f"ERROR: (gcloud) {refused}\n"
            return 0, answer if isinstance(answer, str) else json.dumps(answer), ""

    def _answered(self, words: Words) -> object:
        verb = words.command[-1]
        if words.command == ("auth", "print-access-token"):
            return "a-token\n"
        if words.command == ("config", "get-value"):
            return f"{self.project}\n"
        if words.command == ("projects", "describe"):
            parent = {"parent": {"type": "organization", "id": self.organisation}} if self.organisation else {}
            return {"projectId": self.project, "projectNumber": NUMBER, **parent}
        self._need_api(words)
        if verb == "get-iam-policy":
            return self._policy(words)
        if verb == "list":
            return self._list(words)
        late = self.changes == self.fail_at and self.fails_late
        if self.changes == self.fail_at and not late:
            self.changes += 1
            raise Refused("the wire was cut before anything was done")
        self.changes += 1
        self._change(words)
        if late:
            raise Refused("the wire was cut after it was done")
        return {}

    def _need_api(self, words: Words) -> None:
        api = APIS.get(words.command[0])
        if api and f"{api}.googleapis.com" not in self.things.get("api", {}):
            raise Refused(f"SERVICE_DISABLED: {api}.googleapis.com has not been used in project {self.project} before")

    def _change(self, words: Words) -> None:
        if words.command == ("services", "enable"):
            for name in words.names:
                self._of("api")[name] = {}
        elif words.command[-1].endswith("-iam-policy-binding"):
            self._bind(words)
        elif words.command == ("run", "deploy"):
            self._deploy(words)
        elif words.command[-1] == "update-traffic":
            self._there("service", words.name).pop("traffic", None)
        elif words.command[:2] == ("firestore", "fields") or words.command[:2] == ("firestore", "indexes"):
            self._field(words)
        elif words.command == ("secrets", "versions", "add"):
            values = self._there("secret", words.name).setdefault("values", [])
            assert isinstance(values, list)
            values.append(words.stdin)
        else:
            self._plain_change(words)

    def _plain_change(self, words: Words) -> None:
        kind, verb = KINDS[words.command[:-1]], words.command[-1]
        name = self._name(kind, words)
        if (verb == "create" and kind != "job") or words.command[-2:] == ("create", "http"):
            self._make(kind, name, words)
        elif verb in ("delete", "rm"):
            self._there(kind, name)
            del self._of(kind)[name]
            if kind == "database":
                for fields in (self._of("expiry"), self._of("exemption")):
                    for whole in [each for each in fields if each.startswith(f"{name}/")]:
                        del fields[whole]
            if kind == "account":  # what was granted to it is granted to nobody: a new one of that name is another
                for policy in self.policies.values():
                    policy[:] = [entry for entry in policy if f":{name}@" not in entry[1]]
            self.policies.pop(f"{kind} {name}", None)
        else:
            self._there(kind, name).update(self._settings(kind, words))

    def _make(self, kind: str, name: str, words: Words) -> None:
        if name in self._of(kind):
            raise Refused(f"ALREADY_EXISTS: {kind} {name} already exists")
        for flag, needed in (("--topic", "topic"), ("--dead-letter-topic", "topic")):
            if flag in words.flags:
                self._there(needed, words.flags[flag])
        for flag in ("--push-auth-service-account", "--oidc-service-account-email"):
            if flag in words.flags:
                self._there("account", words.flags[flag].partition("@")[0])
        self._of(kind)[name] = self._settings(kind, words)

    def _deploy(self, words: Words) -> None:
        for flag in ("--service-account", "--build-service-account"):
            self._there("account", words.flags[flag].rpartition("/")[2].partition("@")[0])
        for mounted in filter(None, words.flags.get("--set-secrets", "").split(",")):
            secret = mounted.partition("=")[2].partition(":")[0]
            if not self._there("secret", secret).get("values"):
                raise Refused(f"secret {secret} has no version")
            reader = ["roles/secretmanager.secretAccessor", f"serviceAccount:{words.flags['--service-account']}", ""]
            if reader not in self.policies.get(f"secret {secret}", []):
                raise Refused(f"Permission denied on secret: {secret}")
        self._of("service").setdefault(words.name, {}).update(self._settings("service", words))

    def _field(self, words: Words) -> None:
        self._there("database", words.flags["--database"])
        kind = "expiry" if words.command[1] == "fields" else "exemption"
        database = words.flags["--database"]
        self._of(kind)[f"{database}/{words.flags['--collection-group']}/{words.name}"] = {}

    def _bind(self, words: Words) -> None:
        kind = KINDS[words.command[:-1]]
        if kind != "project":
            self._there(kind, words.name)
        member = words.flags["--member"]
        own = member.removeprefix("serviceAccount:")
        if not own.startswith(AGENTS) and own.partition("@")[0] not in self._of("account"):
            raise Refused(f"INVALID_ARGUMENT: Service account {own} does not exist.")
        condition = words.flags.get("--condition", "None")
        expression = "" if condition == "None" else condition.partition("expression=")[2]
        policy = self.policies.setdefault(f"{kind} {words.name}", [])
        entry = [words.flags["--role"], member, expression]
        if words.command[-1].startswith("remove"):
            if entry not in policy:
                raise Refused("Policy binding with the specified principal, role, and condition not found!")
            policy.remove(entry)
        elif entry not in policy:
            policy.append(entry)

    def _policy(self, words: Words) -> object:
        kind = KINDS[words.command[:-1]]
        if kind != "project":
            self._there(kind, words.name)
        return {"bindings": [_binding(*entry) for entry in self.policies.get(f"{kind} {words.name}", [])]}

    def _list(self, words: Words) -> object:
        if words.command == ("secrets", "versions", "list"):
            values = self._there("secret", words.name).get("values", [])
            assert isinstance(values, list)
            return [{"name": f"x/{number}", "state": "ENABLED"} for number, _ in enumerate(values, 1)]
        kind = LISTS.get(words.command[:-1]) or KINDS[words.command[:-1]]
        database = words.flags.get("--database", "")
        if database:
            self._there("database", database)
        found = {
            name: thing for name, thing in self._of(kind).items() if not database or name.startswith(f"{database}/")
        }
        return [SHOWN.get(kind, _named)(name, thing) for name, thing in found.items()]

    def _name(self, kind: str, words: Words) -> str:
        if kind == "database":
            return words.flags["--database"]
        if kind == "dashboard" and not words.names:
            return str(_file(words)["name"]).rpartition("/")[2]
        if kind == "alert":
            return words.name.rpartition("/")[2] if words.names else f"number-of-{_file(words)['displayName']}"
        return words.name

    def _settings(self, kind: str, words: Words) -> Thing:
        found: Thing = {name: value for name, value in words.flags.items() if name not in GLOBAL}
        for flag in ("--labels", "--update-labels"):
            if flag in found:
                found["labels"] = dict(pair.split("=") for pair in str(found.pop(flag)).split(","))
        if "--lifecycle-file" in found:
            found["--lifecycle-file"] = json.loads(Path(str(found["--lifecycle-file"])).read_text(encoding="utf-8"))
        if kind in ("dashboard", "alert"):
            found = {**_file(words)}
        return found

    def _of(self, kind: str) -> dict[str, Thing]:
        return self.things.setdefault(kind, {})

    def _there(self, kind: str, name: str) -> Thing:
        if name not in self._of(kind):
            raise Refused(f"NOT_FOUND: there is no {kind} {name}")
        return self._of(kind)[name]

    @property
    def state(self) -> object:
        """Comparable: all that was made, in no order."""
        policies = {name: sorted(policy) for name, policy in self.policies.items() if policy}
        return json.loads(json.dumps([self.things, policies], sort_keys=True))

    @property
    def kept(self) -> Thing:
        """What JSON takes, and World(**…) gives back."""
        names = ("project", "organisation", "things", "policies", "calls", "changes", "fail_at", "fails_late")
        return {name: getattr(self, name) for name in names}


KINDS: Final = {
    ("projects",): "project",
    ("iam", "service-accounts"): "account",
    ("pubsub", "topics"): "topic",
    ("pubsub", "subscriptions"): "subscription",
    ("firestore", "databases"): "database",
    ("storage", "buckets"): "bucket",
    ("storage",): "bucket",  # rm
    ("artifacts", "repositories"): "repository",
    ("secrets",): "secret",
    ("run", "services"): "service",
    ("scheduler", "jobs"): "job",
    ("scheduler", "jobs", "create"): "job",
    ("monitoring", "dashboards"): "dashboard",
    ("monitoring", "policies"): "alert",
}
LISTS: Final = {
    ("services",): "api",
    ("firestore", "fields", "ttls"): "expiry",
    ("firestore", "indexes", "fields"): "exemption",
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


def parsed(arguments: Sequence[str], stdin: str = "") -> Words:
    """The command's words end with its verb; `http` after create belongs to it."""
    end = next(number for number, word in enumerate(arguments, 1) if word in VERBS)
    end += list(arguments[end : end + 1]) == ["http"]
    names = [word for word in arguments[end:] if not word.startswith("--")]
    pairs = [word.partition("=") for word in arguments[end:] if word.startswith("--")]
    return Words(tuple(arguments[:end]), tuple(names), {flag: value for flag, _, value in pairs}, stdin)


def _file(words: Words) -> Thing:
    path = words.flags.get("--config-from-file") or words.flags["--policy-from-file"]
    read: Thing = json.loads(Path(path).read_text(encoding="utf-8"))
    return read


def _binding(role: str, member: str, expression: str, title: str = "hookchain") -> Thing:
    condition: Thing = {"condition": {"expression": expression, "title": title}} if expression else {}
    return {"role": role, "members": [member], **condition}


def _named(name: str, thing: Thing) -> Thing:
    return {"name": f"projects/{NUMBER}/x/{name}", "labels": thing.get("labels", {})}


def _shown_field(kind: str) -> Callable[[str, Thing], Thing]:
    def show(name: str, _: Thing) -> Thing:
        database, collection, own = name.split("/")
        whole = f"projects/p/databases/{database}/collectionGroups/{collection}/fields/{own}"
        return {"name": whole, "ttlConfig" if kind == "expiry" else "indexConfig": {}}

    return show


def _shown_service(name: str, thing: Thing) -> Thing:
    ready = {"type": "Ready", "status": str(thing.get("ready", "True"))}
    traffic = thing.get("traffic", [{"latestRevision": True, "percent": 100}])
    metadata = {"name": name, "labels": thing["labels"]}
    return {"metadata": metadata, "spec": {"traffic": traffic}, "status": {"conditions": [ready]}}


SHOWN: Final[Mapping[str, Callable[[str, Thing], Thing]]] = {
    "account": lambda name, _: {"email": f"{name}@my-project.iam.gserviceaccount.com"},
    "database": lambda name, thing: {"name": f"projects/p/databases/{name}", "locationId": thing["--location"]},
    "expiry": _shown_field("expiry"),
    "exemption": _shown_field("exemption"),
    "service": _shown_service,
    "job": lambda name, thing: {
        "name": f"projects/p/locations/r/jobs/{name}",
        "description": thing["--description"],
        "state": thing.get("state", "ENABLED"),
    },
    "dashboard": lambda name, thing: {"name": f"projects/{NUMBER}/dashboards/{name}", "labels": thing["labels"]},
    "alert": lambda name, thing: {"name": f"projects/my-project/alertPolicies/{name}", **thing},
}


def main(state: Path, arguments: list[str]) -> int:
    with state.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = json.loads(file.read() or "{}")
        world = World(**kept)
        code, out, err = world.call(arguments, "" if sys.stdin.isatty() else sys.stdin.read())
        file.seek(0)
        file.truncate()
        json.dump(world.kept, file)
    sys.stdout.write(out)
    sys.stderr.write(err)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
