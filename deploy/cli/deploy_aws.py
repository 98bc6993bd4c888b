"""`make deploy-aws`: check, store secrets, bundle, and let SAM build and deploy. A second run continues."""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.amazon.api import AwsApi, configured_region, region_fault
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import add_target_options, find_target
from deploy.aws.adoption import adopt, adoption_template, indexes_of
from deploy.aws.concurrency import find_reservation
from deploy.aws.deployment import (
    Memory,
    changed_at,
    deployed_parameters,
    parameter_values,
    require_changeable,
    require_own,
)
from deploy.aws.prepare import Prepared, prepare
from deploy.aws.removal import find_remaining
from deploy.aws.sam import Sam, SamFailed
from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.aws.stack_changes import deployed_template
from deploy.aws.template_tools import tool
from deploy.bundle.bundle import NotABundle
from deploy.bundle.requirements import PinsFault
from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.cli.deployment_command import UP_TO_DATE, tested_config
from deploy.config.checkout import ROOT
from deploy.config.configured import add_configuration, environ_of
from deploy.requests.after_deployment import closing_lines
from deploy.secrets.backend import BackendError
from deploy.secrets.first_values import first_values
from deploy.secrets.needs import needs
from deploy.terminal.command_error import CommandError
from deploy.terminal.questions import Questions, questions
from deploy.topology.functions import MAIL_VARIABLES

DETAILS: Final = """\
It asks for what is missing: the address that mail goes to, the value of a secret. If you run it again, it continues
where it stopped, and changes nothing if nothing has changed. The SAM CLI of .venv/aws builds and deploys; its output is
shown. --parameter sets a parameter of the template that the configuration does not: LogDays, Alarms, EmailAddress (of
the alarms), Reserve or Architecture. The next deployments leave it as it is."""


def main(arguments: list[str]) -> int:
    codes = "0 deployed, 1 failed: the same command continues, 2 usage error"
    example = "hookchain deploy-aws --region eu-central-1 --config deploy/hookchain.yaml"
    command = parser("deploy-aws", example, details=DETAILS, exit_codes=codes)
    add_target_options(command)
    add_configuration(command, creates_env_file=True)
    command.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        type=_parameter,
        action="append",
        default=[],
        help="set a parameter of the template (repeatable)",
    )
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=ROOT / "build" / "aws", help="write bundles here [build/aws]"
    )
    options = command.parse_args(arguments)
    return run_command("deploy-aws", lambda: _run(options, questions()), PinsFault, NotABundle, BackendError)


def _parameter(text: str) -> tuple[str, str]:
    """Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE; got {text!r}")
    return name, value


def _run(options: argparse.Namespace, ask: Questions) -> int:
    environ = environ_of(options)
    tool("sam")
    target = find_target(options, environ, configured_region)
    if fault := region_fault(target.region):
        raise CommandError(fault)
    api = AwsApi(target.region, environ)
    account = api.call("sts", "get_caller_identity").get("Account")
    where = f"region {target.region}, stack {target.stack}, names begin with {target.prefix}"
    print(f"Account {account}, {where}", flush=True)
    config = tested_config(options, environ, ask)
    deployed = DeployedStack(target, api)
    stack = deployed.description()
    if stack is not None:
        require_own(stack, target)
        require_changeable(stack, target, api)
    prepared = prepare(config, environ, target.prefix, options.out)
    if stack is not None and stack.get("StackStatus") != "REVIEW_IN_PROGRESS":
        prepared = prepared.after(deployed_template(api, target.stack))
    for warning in prepared.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    given = dict(options.parameter)
    if config is None:
        given = {"EmailAddress": environ["EMAIL_ADDRESS"], **given}
    parameters = parameter_values(prepared.defaults, stack, given)
    reserved = find_reservation(api, prepared.topology, parameters, deployed_parameters(stack))
    print("\n".join(filter(None, (reserved.line, reserved.todo))), flush=True)
    parameters |= {name: value for name, value in reserved.values.items() if name not in given}
    settings = MAIL_VARIABLES if config else ("EMAIL_ADDRESS", *MAIL_VARIABLES)
    memory = Memory(options.env_file, target, environ, settings)
    return _deploy(deployed, prepared, parameters, ask, memory)


def _deploy(
    deployed: DeployedStack, prepared: Prepared, parameters: Mapping[str, str], ask: Questions, memory: Memory
) -> int:
    began = time.monotonic()
    random = _store_secrets(deployed, prepared, ask, memory)
    for line in memory.keep():
        print(line)
    sam = Sam(deployed.target, prepared.folder, memory.environ)
    before = changed_at(deployed.description())
    prepared.write_template()
    try:
        sam.build(parameters["Architecture"])
        if before is None:
            _adopt(deployed, prepared)
        sam.deploy(parameters)
    except SamFailed as failure:
        _report_failure(deployed, failure)
        return NOT_DONE
    is_changed = changed_at(deployed.description()) != before
    print(f"Done in {time.monotonic() - began:.0f} s." if is_changed else UP_TO_DATE)
    read = SecretsManagerBackend(deployed.target, deployed.api).how_to_read
    where = f"--platform aws{memory.missing_target_options()}"
    portal = deployed.function_url("subscribe") if "subscribe" in prepared.slices else ""
    lines = closing_lines(prepared.slices, deployed.receive_url(), random, read, where, portal)
    print("\n".join(["", *lines]))
    return DONE


def _store_secrets(deployed: DeployedStack, prepared: Prepared, ask: Questions, memory: Memory) -> list[str]:
    """Store the secrets that are missing; return the names of those with a random value. Raises CommandError."""
    place = SecretsManagerBackend(deployed.target, deployed.api)
    needed = needs(prepared.slices, memory.environ, has_ses=True)
    stored = place.find([need.name for need in needed])
    for each in stored.values():
        if each.trouble:  # its value may be one that this operator may not read
            print(f"warning: {each.where} {each.trouble}", file=sys.stderr)
    missing = [need for need in needed if need.name not in stored]
    where = f"--platform aws{memory.missing_target_options()}"
    values, random = first_values(missing, prepared.slices["receive"], os.environ, ask, where)
    for name, value in values.items():
        for line in place.write(name, value, forget=False):
            print(line, flush=True)
    return random


def _adopt(deployed: DeployedStack, prepared: Prepared) -> None:
    """Begin a new stack with the tables and the bucket that an earlier one left. Raises CommandError and AwsFault."""
    remaining = find_remaining(deployed)
    if remaining.tables or remaining.buckets:
        print(f"Taking in what an earlier stack left: {', '.join([*remaining.tables, *remaining.buckets])}", flush=True)
        indexes = indexes_of(deployed.api, remaining.tables)
        template = adoption_template(prepared.topology, deployed.target.prefix, remaining, indexes)
        adopt(deployed.api, deployed.target, template)


def _report_failure(deployed: DeployedStack, failure: SamFailed) -> None:
    print("\nStopped: the SAM CLI failed; see its lines above.", file=sys.stderr)
    print(f"Try it by hand:\n  {failure}", file=sys.stderr)
    if (stack := deployed.description()) is not None:
        require_changeable(stack, deployed.target, deployed.api)
    print("Run the same `make deploy-aws` again to continue from here.", file=sys.stderr)
