"""A small Google Cloud behind gcloud's command lines: it keeps what was made, and refuses what Google would refuse.

Things can be made only where their API is enabled, once, and after what they name; roles given only to accounts that
are there. `python -m tests.gcloud.world STATE ARGUMENT…` is one call against the world in a file.
"""

import fcntl
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.gcloud.shown import NUMBER, SHOWN, Thing, named


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


AGENTS: Final = f"service-{NUMBER}@gcp-sa-"


class Refused(Exception):
    """What gcloud writes to standard error."""


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

    def _answered(self, command_line: CommandLine) -> object:
        verb = command_line.command[-1]
        if command_line.command == ("auth", "print-access-token"):
            return "a-token\n"
        if command_line.command == ("config", "get-value"):
            return f"{self.project}\n"
        if command_line.command == ("projects", "describe"):
            parent = {"parent": {"type": "organization", "id": self.organisation}} if self.organisation else {}
            return {"projectId": self.project, "projectNumber": NUMBER, **parent}
        self._need_api(command_line)
        if verb == "get-iam-policy":
            return self._policy(command_line)
        if verb == "list":
            return self._list(command_line)
        late = self.changes == self.fail_at and self.fails_late
        if self.changes == self.fail_at and not late:
            self.changes += 1
            raise Refused("the wire was cut before anything was done")
        self.changes += 1
        self._change(command_line)
        if late:
            raise Refused("the wire was cut after it was done")
        return {}

    def _need_api(self, command_line: CommandLine) -> None:
        api = APIS.get(command_line.command[0])
        if api:
            self._need(f"{api}.googleapis.com")

    def _need(self, api: str) -> None:
        if api not in self.things.get("api", {}):
            raise Refused(f"SERVICE_DISABLED: {api} has not been used in project {self.project} before")

    def _change(self, command_line: CommandLine) -> None:
        if command_line.command == ("services", "enable"):
            for name in command_line.names:
                self._of("api")[name] = {}
        elif command_line.command == ("beta", "services", "identity", "create"):
            self._need(command_line.flags["--service"])
            self._of("agent")[command_line.flags["--service"]] = {}
        elif command_line.command == ("monitoring", "policies", "update"):
            self._replace_policy(command_line)
        elif command_line.command == ("iam", "service-accounts", "enable"):
            self._there("account", command_line.name).pop("disabled", None)
        elif command_line.command[-1].endswith("-iam-policy-binding"):
            self._bind(command_line)
        elif command_line.command == ("run", "deploy"):
            self._deploy(command_line)
        elif command_line.command[-1] == "update-traffic":
            self._there("service", command_line.name).pop("traffic", None)
        elif command_line.command[:2] == ("firestore", "fields") or command_line.command[:2] == (
            "firestore",
            "indexes",
        ):
            self._field(command_line)
        elif command_line.command == ("secrets", "versions", "add"):
            values = self._there("secret", command_line.name).setdefault("values", [])
            assert isinstance(values, list)
            values.append(command_line.stdin)
        else:
            self._plain_change(command_line)

    def _replace_policy(self, command_line: CommandLine) -> None:
        """https://cloud.google.com/sdk/gcloud/reference/monitoring/policies/update: without --fields, the file is the
        whole policy."""
        if unknown := set(filter(None, command_line.flags.get("--fields", "").split(","))) - ALERT_FIELDS:
            raise Refused(f"argument --fields: {unknown} must be one of [{', '.join(sorted(ALERT_FIELDS))}]")
        policy, file = self._there("alert", command_line.name.rpartition("/")[2]), settings_in_file(command_line)
        policy.clear()
        policy.update(file)

    def _plain_change(self, command_line: CommandLine) -> None:
        kind, verb = KINDS[command_line.command[:-1]], command_line.command[-1]
        if kind == "notification":
            self._notify(verb, command_line)
            return
        name = self._name(kind, command_line)
        if (verb == "create" and kind != "job") or command_line.command[-2:] == ("create", "http"):
            self._make(kind, name, command_line)
        elif verb in ("delete", "rm"):
            if "--delete-protection" in self._there(kind, name):
                raise Refused("FAILED_PRECONDITION: delete protection is enabled: disable it first")
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
            if verb == "update" and "--clear-dead-letter-policy" in command_line.flags:
                for flag in ("--dead-letter-topic", "--max-delivery-attempts", "--clear-dead-letter-policy"):
                    self._there(kind, name).pop(flag, None)
                command_line = replace(
                    command_line, flags={k: v for k, v in command_line.flags.items() if not k.startswith("--clear-")}
                )
            self._there(kind, name).update(self._settings(kind, command_line))

    def _notify(self, verb: str, command_line: CommandLine) -> None:
        notifications = self._of("notification")
        if verb == "delete":
            _, _, _, bucket, _, number = command_line.names[0].split("/")
            del notifications[f"{bucket}/{number}"]
            return
        self._there("bucket", command_line.name)
        self._there("topic", command_line.flags["--topic"])
        made = {**self._settings("notification", command_line), "id": str(self.changes)}
        notifications[f"{command_line.name}/{self.changes}"] = made

    def _make(self, kind: str, name: str, command_line: CommandLine) -> None:
        if name in self._of(kind):
            raise Refused(f"ALREADY_EXISTS: {kind} {name} already exists")
        for flag, needed in (("--topic", "topic"), ("--dead-letter-topic", "topic")):
            if flag in command_line.flags:
                self._there(needed, command_line.flags[flag].rpartition("/")[2])
        for flag in ("--push-auth-service-account", "--oidc-service-account-email"):
            if flag in command_line.flags:
                self._there("account", command_line.flags[flag].partition("@")[0])
        self._of(kind)[name] = self._settings(kind, command_line)

    def _deploy(self, command_line: CommandLine) -> None:
        for flag in ("--service-account", "--build-service-account"):
            self._there("account", command_line.flags[flag].rpartition("/")[2].partition("@")[0])
        for mounted in filter(None, command_line.flags.get("--set-secrets", "").split(",")):
            secret = mounted.partition("=")[2].partition(":")[0]
            if not self._there("secret", secret).get("values"):
                raise Refused(f"secret {secret} has no version")
            reader = [
                "roles/secretmanager.secretAccessor",
                f"serviceAccount:{command_line.flags['--service-account']}",
                "",
            ]
            if reader not in self.policies.get(f"secret {secret}", []):
                raise Refused(f"Permission denied on secret: {secret}")
        service = self._of("service").setdefault(command_line.name, {})
        for flag in filter(command_line.flags.__contains__, OPPOSITES):
            service.pop(OPPOSITES[flag], None)
        service.update(self._settings("service", command_line))
        if "--no-allow-unauthenticated" in command_line.flags:
            policy = self.policies.get(f"service {command_line.name}", [])
            policy[:] = [entry for entry in policy if entry[1] != "allUsers"]
        project = command_line.flags.get("--project", self.project)
        sources = f"run-sources-{project}-{command_line.flags['--region']}"
        self._of("bucket").setdefault(sources, {"--location": command_line.flags["--region"]})

    def _field(self, command_line: CommandLine) -> None:
        self._there("database", command_line.flags["--database"])
        kind = "expiry" if command_line.command[1] == "fields" else "exemption"
        database = command_line.flags["--database"]
        self._of(kind)[f"{database}/{command_line.flags['--collection-group']}/{command_line.name}"] = {}

    def _bind(self, command_line: CommandLine) -> None:
        kind = KINDS[command_line.command[:-1]]
        if kind != "project":
            self._there(kind, command_line.name)
        member = command_line.flags["--member"]
        own = member.removeprefix("serviceAccount:")
        if own.startswith(f"{AGENTS}pubsub") and "pubsub.googleapis.com" not in self._of("agent"):
            raise Refused(f"INVALID_ARGUMENT: Service account {own} does not exist.")
        is_elsewhere = own.startswith(AGENTS) or own in ("allUsers", "allAuthenticatedUsers")
        if not is_elsewhere and own.partition("@")[0] not in self._of("account"):
            raise Refused(f"INVALID_ARGUMENT: Service account {own} does not exist.")
        condition = command_line.flags.get("--condition", "None")
        expression = "" if condition == "None" else condition.partition("expression=")[2]
        policy = self.policies.setdefault(f"{kind} {command_line.name}", [])
        entry = [command_line.flags["--role"], member, expression]
        if command_line.command[-1].startswith("remove"):
            if entry not in policy:
                raise Refused("Policy binding with the specified principal, role, and condition not found!")
            policy.remove(entry)
        elif entry not in policy:
            policy.append(entry)

    def _policy(self, command_line: CommandLine) -> object:
        kind = KINDS[command_line.command[:-1]]
        if kind != "project":
            self._there(kind, command_line.name)
        return {"bindings": [_binding(*entry) for entry in self.policies.get(f"{kind} {command_line.name}", [])]}

    def _list(self, command_line: CommandLine) -> object:
        if command_line.command == ("secrets", "versions", "list"):
            values = self._there("secret", command_line.name).get("values", [])
            assert isinstance(values, list)
            return [{"name": f"x/{number}", "state": "ENABLED"} for number, _ in enumerate(values, 1)]
        kind = LISTS.get(command_line.command[:-1]) or KINDS[command_line.command[:-1]]
        within = command_line.flags.get("--database", "")
        if within:
            self._there("database", within)
        if kind == "notification":
            self._there("bucket", within := command_line.name)
        found = {name: thing for name, thing in self._of(kind).items() if not within or name.startswith(f"{within}/")}
        return [SHOWN.get(kind, named)(name, thing) for name, thing in found.items()]

    def _name(self, kind: str, command_line: CommandLine) -> str:
        if kind == "database":
            return command_line.flags["--database"]
        if kind == "dashboard" and not command_line.names:
            return str(settings_in_file(command_line)["name"]).rpartition("/")[2]
        if kind == "alert":
            return (
                command_line.name.rpartition("/")[2]
                if command_line.names
                else f"number-of-{settings_in_file(command_line)['displayName']}"
            )
        return command_line.name

    def _settings(self, kind: str, command_line: CommandLine) -> Thing:
        found: Thing = {name: value for name, value in command_line.flags.items() if name not in GLOBAL}
        if "--no-delete-protection" in found:
            del found["--no-delete-protection"]
            self._there(kind, self._name(kind, command_line)).pop("--delete-protection", None)
        for flag in ("--labels", "--update-labels"):
            if flag in found:
                found["labels"] = dict(pair.split("=") for pair in str(found.pop(flag)).split(","))
        if "--lifecycle-file" in found:
            found["--lifecycle-file"] = json.loads(Path(str(found["--lifecycle-file"])).read_text(encoding="utf-8"))
        if kind in ("dashboard", "alert", "metric"):
            found = {**settings_in_file(command_line)}
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


def _binding(role: str, member: str, expression: str, title: str = "hookchain") -> Thing:
    condition: Thing = {"condition": {"expression": expression, "title": title}} if expression else {}
    return {"role": role, "members": [member], **condition}


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
