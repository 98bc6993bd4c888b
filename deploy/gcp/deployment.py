"""A deployment around its plan: slices and bundles, Google's limits, the settings in .env, and the printed progress."""

import argparse
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.bundle.bundle import contents, digest_of_files, write
from deploy.cloud_access import gcp, gcp_names
from deploy.config import checkout, compiler, dotenv, mail_settings
from deploy.config.slices import aws_only, local_only
from deploy.gcp import drift, graph, plan, resource
from deploy.gcp.resources import services, topics
from deploy.requests.command_lines import closing_lines
from deploy.secrets.needs import Need, needs
from deploy.terminal import command_line, output, progress
from deploy.topology.buses import brings_on_google, own_bus_fault, silent_sources
from deploy.topology.topology import Measured, Topology
from shared.jsontext import JsonObject

IAM: Final = "https://cloud.google.com/iam/quotas"
RUN: Final = "https://cloud.google.com/run/quotas"
STORAGE: Final = "https://cloud.google.com/storage/docs/pubsub-notifications"
EXECVE: Final = "https://man7.org/linux/man-pages/man2/execve.2.html"
CONDITIONS: Final = 20
"""The bindings of a policy that give the same role to the same account, each with another condition."""
NOTIFICATIONS: Final = 100
"""The notifications of a bucket, and below, those of it for one type of event."""
NOTIFICATIONS_AN_EVENT: Final = 10
VARIABLE_BYTES: Final = 32 * 1024
"""The value of an environment variable on Cloud Run."""
ARGUMENT_BYTES: Final = 131_071
"""The longest argument of a command on Linux: gcloud takes all secrets of a function in one."""
FEWER: Final = "Use fewer, give a destination a `secret` of its own, or make two deployments"

COMMAND_FILES: Final = "gcp"
"""The folder beside the bundles with the files that gcloud commands read."""

COMMENT = "what was last deployed to Google Cloud, and where"
"""The comment above the variables that a deployment adds to .env."""

_NOTHING_SAID: Final = argparse.Namespace(project=None, region=None, prefix=None)
"""The options of a command that names no deployment."""


def prepare_deployment(
    target: gcp_names.Target, project_number: str, config: Path | None, environ: Mapping[str, str], out: Path
) -> graph.Deployment:
    """Compile and bundle into `out`. Raises ConfigFaults, PinsFault, NotABundle and CommandError."""
    if fault := mail_settings.mail_settings_fault(environ):
        raise command_line.CommandError(fault)
    slices = compiler.compile_file(config, environ)
    if fault := own_bus_fault(slices["receive"], target.prefix, target.project):
        raise command_line.CommandError(fault)
    folder = Path(os.path.relpath(out))
    bundles: dict[str, services.Bundle] = {}
    for function, compiled in slices.items():
        files = contents(checkout.ROOT, function, compiled, "gcp")
        write(out / function, files)
        bundles[function] = services.Bundle(folder / function, digest_of_files(files))
    return graph.Deployment(target, project_number, slices, bundles, environ, folder / COMMAND_FILES)


def warnings(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what the configuration and the mail settings allow and Google Cloud does not do as meant."""
    unusable = (*local_only(slices), *aws_only(slices["notify"]))
    yield from (f"{where}: {rule}" for _, where, rule in unusable)
    yield from mail_settings.mail_settings_warnings(environ)
    yield from mail_settings.recipients_as_senders(slices["notify"], environ)
    yield from silent_sources(slices["receive"], brings_on_google, "Google Cloud")


def missing_needs(actions: Iterable[plan.Action], deployment: graph.Deployment) -> list[Need]:
    """Return the secrets that the actions create."""
    wanted = {command.secret for action in actions for command in action.commands if command.secret}
    return [need for need in needs(deployment.slices, deployment.environ) if need.name in wanted]


def measured(resources: Iterable[resource.Resource], topology: Topology) -> Iterator[Measured]:
    """Yield what Google Cloud limits in a plan from the beginning. The rule for a prefix bounds the names.

    The name of a notification is `BUCKET/TOPIC`.
    """
    conditions: Counter[str] = Counter()
    notifications: Counter[tuple[str, str]] = Counter()
    for each in resources:
        flags = drift.planned_flags(each)
        if each.grant and each.grant.condition:
            conditions[replace(each.grant, condition="").text] += 1
        if each.kind == topics.NOTIFICATION:
            bucket = each.name.partition("/")[0]
            notifications.update((bucket, event) for event in ("", *flags["event-types"].split(",")))
        longest = max((len(text.encode()) for command in each.create for text in command.arguments), default=0)
        todo = "Let several sources use the same secret, or make two deployments"
        yield Measured(f"an argument of gcloud for {each.key}", "bytes", longest, ARGUMENT_BYTES, EXECVE, todo)
    for binding, count in conditions.items():
        yield Measured(binding, "conditions", count, CONDITIONS, IAM, FEWER)
    for (bucket, event), count in notifications.items():
        most = NOTIFICATIONS_AN_EVENT if event else NOTIFICATIONS
        yield Measured(f"the bucket {bucket}", f"notifications {event}".strip(), count, most, STORAGE, FEWER)
    for needed in topology.functions:
        for name, value in needed.variables.items():
            yield Measured(f"the variable {name}", "bytes", len(value.encode()), VARIABLE_BYTES, RUN, "Shorten it")


@dataclass(frozen=True, slots=True)
class Memory:
    """The settings that are kept in .env, at `path`: the target, and the variables named by `settings`."""

    path: Path
    target: gcp_names.Target
    environ: Mapping[str, str]
    settings: Sequence[str]

    def keep(self) -> list[str]:
        """Add missing variables to .env, and return a line for each one that has another value. Raises DotenvFault."""
        target = {
            "GOOGLE_CLOUD_PROJECT": self.target.project,
            "HOOKCHAIN_REGION": self.target.region,
            "HOOKCHAIN_PREFIX": self.target.prefix,
        }
        defaults = {"HOOKCHAIN_REGION": gcp_names.DEFAULT_REGION, "HOOKCHAIN_PREFIX": gcp_names.DEFAULT_PREFIX}
        settings = {name: self.environ[name] for name in self.settings if self.environ.get(name)}
        return dotenv.remember(self.path, target, defaults, settings, COMMENT)

    def missing_target_options(self) -> str:
        """Return the options that commands need to find the deployment; empty if .env names it. Raises DotenvFault."""
        target = self.target
        try:
            if gcp_names.find_target(_NOTHING_SAID, checkout.environ_with(self.path), lambda: None) == target:
                return ""
        except gcp_names.TargetFault:
            pass
        return f" --project {target.project} --region {target.region} --prefix {target.prefix}"


def closing(deployment: graph.Deployment, made: Sequence[str], options: str) -> Iterator[str]:
    """Yield the last lines. `made` are the names of random secrets; `options` find the deployment in commands."""
    target = deployment.target

    def read(name: str) -> str:
        arguments = ("secrets", "versions", "access", "latest", f"--secret={target.name_of(name)}")
        return gcp.shown(arguments, target.project)

    portal = deployment.url("subscribe") if "subscribe" in deployment.slices else ""
    where = f"--platform gcp{options}"
    return closing_lines(deployment.slices, deployment.url("receive"), made, read, where, portal)


# The progress


_DOING = {"create": "creating", "update": "updating", "delete": "deleting"}

_DONE = {"create": "created", "update": "updated", "delete": "deleted"}

_ACCOUNT = re.compile(r"serviceAccount:([^@ ]+)@\S+")
"""A service account as a member of a binding: of its address, the name is enough for a person."""


class Lines:
    """Progress as lines: a `Progress` of deploy/gcp/apply.py. On a terminal, the last line shows what is running.

    `total` is the number of actions. The lock keeps the lines of the threads apart.
    """

    def __init__(self, total: int, screen: output.Screen) -> None:
        self._total = total
        self._screen = screen
        self._passing = progress.PassingLine(sys.stdout)
        self._count = 0
        self._running: list[str] = []
        self._lock = threading.Lock()

    def began(self, action: plan.Action) -> None:
        with self._lock:
            self._running.append(f"{_DOING[action.verb]} {_named(action)}")
            self._show_running()

    def waits(self, action: plan.Action, seconds: float) -> None:
        with self._lock:
            self._line(
                f"  {_named(action)}: waiting {seconds:.0f} s for an earlier change to reach all of Google Cloud"
            )

    def ended(self, action: plan.Action, seconds: float, failed: bool) -> None:
        with self._lock:
            self._running.remove(f"{_DOING[action.verb]} {_named(action)}")
            self._count += 1
            width = len(str(self._total))
            number = self._screen.coloured(f"[{self._count:{width}}/{self._total}]", output.DIM)
            word = "failed" if failed else _DONE[action.verb]
            status = self._screen.coloured(word, output.RED if failed else output.GREEN)
            self._line(f"{number} {_named(action)} {status} in {seconds:.1f} s")
            self._show_running()

    def _line(self, text: str) -> None:
        self._passing.clear()
        print(text, flush=True)

    def _show_running(self) -> None:
        text = output.cut(", ".join(self._running), self._screen.line_columns - 1)
        self._passing.show(self._screen.coloured(text, output.DIM))


def _named(action: plan.Action) -> str:
    """Return the resource for a person. All APIs are enabled by one action."""
    if action.kind == "api":
        return f"{len(action.settles)} APIs"
    name = _ACCOUNT.sub(lambda found: found[1], action.name)
    return f"{action.kind} {name}"
