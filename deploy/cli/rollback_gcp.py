"""`hookchain rollback-gcp`: return the functions on Google Cloud to the revision before the one that serves."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.config.configured import add_configuration, environ_of
from deploy.google import names
from deploy.google.cloud import target_of
from deploy.google.gcloud import Gcloud, GcloudFault, Runner, read_json, shown
from deploy.google.target import Target, add_target_options
from deploy.terminal.command_error import CommandError
from shared.jsontext import Json, JsonObject
from shared.times import unix_seconds

ONE_DEPLOYMENT_SECONDS: Final = 1_800.0
"""Revisions that were created within this time of each other belong to one deployment."""
DETAILS: Final = """\
Without --function it rolls back the functions that the last deployment changed. Secrets, topics and stored events stay
as they are. The next `make deploy-gcp` lets the newest revision serve again."""
MEETS: Final = """\
The previous revision reads what the newer one stored. A delivery that it does not know becomes a dead letter:
`hookchain dead-letters list --platform gcp` shows it; replay it after the next deployment. See deploy/CHANGELOG.md."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """One function's revisions. `previous` is None if there is no earlier one that is ready."""

    function: str
    serving: str
    serving_since: float
    previous: str | None


def main(arguments: list[str]) -> int:
    codes = "0 done, 1 no earlier revision or failed, 2 usage error"
    command = parser("rollback-gcp", "hookchain rollback-gcp --project my-project", details=DETAILS, exit_codes=codes)
    choices = (*FUNCTIONS, *OPTIONAL)
    command.add_argument("--function", choices=choices, action="append", help="roll back this function (repeatable)")
    command.add_argument("--dry-run", action="store_true", help="print the commands without running them")
    add_target_options(command)
    add_configuration(command)
    options = command.parse_args(arguments)
    return run_command("rollback-gcp", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    target = target_of(options, environ_of(options))
    runner = Gcloud(target.project)
    found = [read_rollback(runner, target, each) for each in options.function or _deployed(runner, target)]
    chosen = found if options.function else last_deployment(found)
    code, is_rolled_back = DONE, False
    for each in chosen:
        if each.previous is None:
            print(f"{each.function}: {each.serving} stays, because there is no earlier revision")
            code = NOT_DONE
            continue
        arguments = _traffic(target, each.function, each.previous)
        if options.dry_run:
            print(shown(arguments, target.project))
            continue
        answer = runner.run(arguments)
        if answer.code:
            raise GcloudFault(shown(arguments, target.project), answer.stderr)
        print(f"{each.function}: {each.previous} serves now, instead of {each.serving}")
        is_rolled_back = True
    if is_rolled_back:
        print(MEETS)
    return code


def _deployed(runner: Runner, target: Target) -> list[str]:
    """Return the functions that every deployment has, and those of the others that this one has."""
    services = read_json(runner, ["run", "services", "list", f"--region={target.region}"], target.project)
    listed = {_name(each) for each in services if isinstance(each, dict)} if isinstance(services, list) else set()
    return [*FUNCTIONS, *(each for each in OPTIONAL if names.service(target, each) in listed)]


def last_deployment(found: Sequence[Rollback]) -> list[Rollback]:
    newest = max(each.serving_since for each in found)
    return [each for each in found if newest - each.serving_since <= ONE_DEPLOYMENT_SECONDS]


def read_rollback(runner: Runner, target: Target, function: str) -> Rollback:
    """Raises GcloudFault, GcloudMissing and CommandError."""
    service, region = names.service(target, function), f"--region={target.region}"
    described = read_json(runner, ["run", "services", "describe", service, region], target.project)
    listed = read_json(runner, ["run", "revisions", "list", f"--service={service}", region], target.project)
    serving = _serving(described)
    revisions = {_name(each): each for each in listed if isinstance(each, dict)} if isinstance(listed, list) else {}
    if serving not in revisions:
        raise CommandError(f"{service}: gcloud lists no revision that serves; see `hookchain status --platform gcp`")
    since = _created(revisions[serving])
    earlier = [each for each in revisions.values() if _created(each) < since and _is_ready(each)]
    previous = max(earlier, key=_created, default=None)
    return Rollback(function, serving, since, None if previous is None else _name(previous))


def _traffic(target: Target, function: str, revision: str) -> list[str]:
    service = names.service(target, function)
    region, to = f"--region={target.region}", f"--to-revisions={revision}=100"
    return ["run", "services", "update-traffic", service, to, region]


def _serving(described: Json) -> str:
    """Return the revision with the largest share of the traffic."""
    status = _object(described).get("status")
    traffic = _object(status).get("traffic")
    shares = [each for each in traffic if isinstance(each, dict)] if isinstance(traffic, list) else []
    largest = max(shares, key=_percent, default={})
    return str(largest.get("revisionName", ""))


def _percent(share: JsonObject) -> int:
    percent = share.get("percent")
    return percent if isinstance(percent, int) else 0


def _name(revision: JsonObject) -> str:
    return str(_object(revision.get("metadata")).get("name", ""))


def _created(revision: JsonObject) -> float:
    return unix_seconds(str(_object(revision.get("metadata")).get("creationTimestamp")))


def _is_ready(revision: JsonObject) -> bool:
    conditions = _object(revision.get("status")).get("conditions")
    ready = [each for each in conditions if isinstance(each, dict)] if isinstance(conditions, list) else []
    return not any(each.get("type") == "Ready" and each.get("status") == "False" for each in ready)


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
