"""`hookchain plan-aws`, `deploy-aws`, `rollback-aws` and `destroy-aws`: a deployment on AWS, from its plan to its end.

SAM builds and deploys the template. A second run of a deployment continues where the first stopped. A rollback returns
the functions to the code that the last deployment replaced.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import unified_diff
from typing import Final

from deploy.aws import (
    adoption,
    deployment as aws_deployment,
    removal,
    reserved_instances,
    secrets_manager_backend,
    stack_changes,
)
from deploy.aws.prepare import Prepared, prepare
from deploy.aws.sam import BUILT, Sam, SamFailed, require_tool, translated
from deploy.aws.template import read_template
from deploy.cli import deployed_hooks, deployment_command
from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.cloud_access.aws import AwsApi, AwsFault, DeployedStack, configured_region, region_fault
from deploy.cloud_access.aws_names import StackTarget, add_target_options, find_target
from deploy.config import checkout, configured
from deploy.secrets.needs import needs
from deploy.secrets.values import first_values
from deploy.terminal.command_line import CommandError, Questions, questions
from deploy.topology.functions import MAIL_VARIABLES

ANY_REGION: Final = "us-east-1"
"""The region of a plan that calls no API: no template depends on it."""


def plan_aws(arguments: list[str]) -> int:
    command = parser("plan-aws")
    configured.add_configuration(command)
    add_target_options(command)
    command.add_argument("--live", action="store_true", help="read what is deployed and print the difference only")
    command.add_argument("--all", action="store_true", help="print the whole template")
    command.add_argument("--translated", action="store_true", help="print the template as CloudFormation's JSON")
    deployment_command.add_out(command, "build/aws", "write to FOLDER")
    options = command.parse_args(arguments)
    return run_command("plan-aws", lambda: _run_plan(options))


def _run_plan(options: argparse.Namespace) -> int:
    """Write the bundles and the template, and print the template or how it differs from the last plan's. Return DONE.

    With --live, print how it differs from the deployed stack instead. Nothing is changed on AWS. Raises CommandError,
    AwsFault and ConfigFaults.
    """
    environ = configured.environ_of(options)
    config = checkout.config_to_deploy(options.config, environ)
    print(f"# {deployment_command.configuration_line(config)}", file=sys.stderr)
    deployment_command.warn_about_address(config)
    # Without --live the template is all that is printed, which is the same in every region.
    target = find_target(options, environ, configured_region if options.live else lambda: ANY_REGION)
    if fault := region_fault(target.region):
        raise CommandError(fault)
    prepared = prepare(config, environ, target.prefix, options.out)
    deployment_command.print_warnings(prepared.warnings)
    for line in deployment_command.token_lines(config, environ):
        print(f"# {line}", file=sys.stderr)
    if options.live:
        return _print_live(AwsApi(target.region, environ), target, prepared)
    everything = f"Everything that is created by the stack {target.stack}"
    print(f"# {everything}: {prepared.summary}", file=sys.stderr)
    print(f"# It {reserved_instances.offline_line(prepared.topology, prepared.defaults)}", file=sys.stderr, flush=True)
    previous = prepared.write_template()
    template = prepared.template
    if options.translated:
        previous = None if previous is None else translated(previous)
        template = translated(template)
    if previous is None or options.all:
        print(template, end="")
    elif previous == template:
        print(f"Nothing has changed since the last plan, in {prepared.path}. To print it all, add --all.")
    else:
        print("\n".join(unified_diff(previous.splitlines(), template.splitlines(), "last", "now", lineterm="")))
    return DONE


def _print_live(api: AwsApi, target: StackTarget, prepared: Prepared) -> int:
    """Print what a deployment would change, and what was changed by hand since the last one. Return DONE.

    Raises CommandError for a stack that is not of this deployment, and AwsFault.
    """
    where = f"stack {target.stack} in {target.region}"
    stack = DeployedStack(target, api).description()
    if stack is not None:
        aws_deployment.require_own(stack, target)
    deployed = aws_deployment.deployed_parameters(stack)
    values = aws_deployment.parameter_values(prepared.defaults, stack, {})
    reserved = reserved_instances.find_reservation(api, prepared.topology, values, deployed)
    print(f"# {reserved.line} {reserved.todo}".rstrip(), flush=True)
    if stack is None:
        print(f"{where} is not deployed: all of {prepared.path} would be created: {prepared.summary}")
        prepared.write_template()
        return DONE
    changes = [
        *stack_changes.changed_entries(
            stack_changes.deployed_template(api, target.stack), read_template(prepared.template)
        ),
        *stack_changes.changed_values(deployed, {**values, **reserved.values}),
    ]
    print("\n".join([f"# Changes in {where}", *changes]) if changes else deployment_command.UP_TO_DATE, flush=True)
    drifted = [
        *stack_changes.drift(api, target.stack),
        *stack_changes.undetected_drift(api, prepared.topology, target.prefix, deployed),
    ]
    if drifted:
        print("\n".join(["# Changed by hand: a deployment does not change it back", *drifted]))
    if types := [each for each in stack_changes.uncompared_types(api, target.stack) if each != "AWS::Lambda::Url"]:
        print(f"# Not compared with what was deployed, because CloudFormation cannot: {', '.join(types)}")
    return DONE


def deploy_aws(arguments: list[str]) -> int:
    command = parser("deploy-aws")
    add_target_options(command)
    configured.add_configuration(command, creates_env_file=True)
    command.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        type=_parameter,
        action="append",
        default=[],
        help="set a parameter of the template (repeatable)",
    )
    deployment_command.add_out(command, "build/aws", "write bundles here")
    options = command.parse_args(arguments)
    return run_command("deploy-aws", lambda: _run_deploy(options, questions()))


def _parameter(text: str) -> tuple[str, str]:
    """Return the name and the value of `NAME=VALUE`. Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE; got {text!r}")
    return name, value


def _run_deploy(options: argparse.Namespace, ask: Questions) -> int:
    """Deploy the configuration once its tests pass, and print what comes next. Return NOT_DONE if SAM fails.

    What can be verified is verified before the first change: the tools, the stack's state and owner, and the limits of
    AWS. Raises CommandError, AwsFault and ConfigFaults.
    """
    environ = configured.environ_of(options)
    require_tool("sam")
    target = find_target(options, environ, configured_region)
    if fault := region_fault(target.region):
        raise CommandError(fault)
    api = AwsApi(target.region, environ)
    account = api.call("sts", "get_caller_identity").get("Account")
    where = f"region {target.region}, stack {target.stack}, names begin with {target.prefix}"
    print(f"Account {account}, {where}", flush=True)
    config = deployment_command.tested_config(options, environ, ask)
    deployed = DeployedStack(target, api)
    stack = deployed.description()
    if stack is not None:
        aws_deployment.require_own(stack, target)
        aws_deployment.require_changeable(stack, target, api)
    prepared = prepare(config, environ, target.prefix, options.out)
    if stack is not None and stack.get("StackStatus") != "REVIEW_IN_PROGRESS":
        prepared = prepared.after(stack_changes.deployed_template(api, target.stack))
    deployment_command.print_warnings(prepared.warnings)
    given = dict(options.parameter)
    if config is None:  # the mode without a file, in which all mail goes to one address
        given = {"EmailAddress": environ["EMAIL_ADDRESS"], **given}
    parameters = aws_deployment.parameter_values(prepared.defaults, stack, given)
    reserved = reserved_instances.find_reservation(
        api, prepared.topology, parameters, aws_deployment.deployed_parameters(stack)
    )
    print("\n".join(filter(None, (reserved.line, reserved.todo))), flush=True)
    parameters |= {name: value for name, value in reserved.values.items() if name not in given}
    settings = MAIL_VARIABLES if config else ("EMAIL_ADDRESS", *MAIL_VARIABLES)
    dotenv_settings = aws_deployment.DotenvSettings(options.env_file, target, environ, settings)
    code = _deploy(deployed, prepared, parameters, ask, dotenv_settings)
    if code == DONE:
        configuration = configured.configured_at(config, environ)
        deployed_hooks.print_unregistered_hooks(configuration, _platform_options(target))
    return code


def _platform_options(target: StackTarget) -> argparse.Namespace:
    return argparse.Namespace(platform="aws", project=None, **asdict(target))


def _deploy(
    deployed: DeployedStack,
    prepared: Prepared,
    parameters: Mapping[str, str],
    ask: Questions,
    dotenv_settings: aws_deployment.DotenvSettings,
) -> int:
    """Store the missing secrets and the settings of .env, then build and deploy. Return NOT_DONE if SAM fails.

    Each step keeps what an earlier run has done, so a second run continues. Raises CommandError and AwsFault.
    """
    began = time.monotonic()
    random = _store_secrets(deployed, prepared, ask, dotenv_settings)
    for line in dotenv_settings.keep():
        print(line)
    sam = Sam(deployed.target, prepared.folder, dotenv_settings.environ)
    changed_before = aws_deployment.changed_at(deployed.description())
    is_first = changed_before is None  # there is no stack yet
    prepared.write_template()
    try:
        sam.build(parameters["Architecture"])
        if is_first:
            _adopt(deployed, prepared)
        sam.deploy(parameters)
    except SamFailed as failure:
        _report_failure(deployed, failure)
        return NOT_DONE
    is_changed = aws_deployment.changed_at(deployed.description()) != changed_before
    print(f"Done in {time.monotonic() - began:.0f} s." if is_changed else deployment_command.UP_TO_DATE)
    read = secrets_manager_backend.SecretsManagerBackend(deployed.target, deployed.api).how_to_read
    where = f"--platform aws{dotenv_settings.missing_target_options()}"
    portal = deployed.function_url("subscribe") if "subscribe" in prepared.slices else ""
    lines = deployment_command.closing_lines(prepared.slices, deployed.receive_url(), random, read, where, portal)
    print("\n".join(["", *lines]))
    return DONE


def _store_secrets(
    deployed: DeployedStack, prepared: Prepared, ask: Questions, dotenv_settings: aws_deployment.DotenvSettings
) -> list[str]:
    """Store the secrets that are missing; return the names of those with a random value. Raises CommandError."""
    place = secrets_manager_backend.SecretsManagerBackend(deployed.target, deployed.api)
    needed = needs(prepared.slices, dotenv_settings.environ, has_ses=True)
    stored = place.find([need.name for need in needed])
    place.reject_others([name for name, each in stored.items() if not each.trouble])
    for each in stored.values():
        if each.trouble:  # its value may be one that this operator may not read
            print(f"warning: {each.where} {each.trouble}", file=sys.stderr)
    missing = [need for need in needed if need.name not in stored]
    where = f"--platform aws{dotenv_settings.missing_target_options()}"
    values, random = first_values(missing, prepared.slices["receive"], os.environ, ask, where)
    for name, value in values.items():
        for line in place.write(name, value, forget=False):
            print(line, flush=True)
    return random


def _adopt(deployed: DeployedStack, prepared: Prepared) -> None:
    """Create a stack with the tables and the bucket that an earlier stack left. Raises CommandError and AwsFault."""
    remaining = removal.find_remaining(deployed)
    if remaining.tables or remaining.buckets:
        print(f"Taking in what an earlier stack left: {', '.join([*remaining.tables, *remaining.buckets])}", flush=True)
        indexes = adoption.indexes_of(deployed.api, remaining.tables)
        template = adoption.adoption_template(prepared.topology, deployed.target.prefix, remaining, indexes)
        adoption.adopt(deployed.api, deployed.target, template)


def _report_failure(deployed: DeployedStack, failure: SamFailed) -> None:
    """Print what failed, and how to continue. Raises CommandError if the stack is in a state that forbids to continue.

    Raises AwsFault too.
    """
    print("\nStopped: the SAM CLI failed; see its lines above.", file=sys.stderr)
    print(f"Try it by hand:\n  {failure}", file=sys.stderr)
    if (stack := deployed.description()) is not None:
        aws_deployment.require_changeable(stack, deployed.target, deployed.api)
    print("Run the same `make deploy-aws` again to continue from here.", file=sys.stderr)


def rollback_aws(arguments: list[str]) -> int:
    what = "print what would be rolled back, and change nothing"
    command = deployment_command.rollback_parser("rollback-aws", what)
    add_target_options(command)
    deployment_command.add_out(command, "build/rollback", "write here")
    options = command.parse_args(arguments)
    return run_command("rollback-aws", lambda: _run_rollback(options))


def _run_rollback(options: argparse.Namespace) -> int:
    """Deploy the stack's own template with the code that the last deployment replaced. Its parameters stay as they are.

    Return NOT_DONE if a chosen function has no earlier code, or none has. Raises CommandError and AwsFault.
    """
    environ = configured.environ_of(options)
    require_tool("sam")
    target = find_target(options, environ, configured_region)
    api = AwsApi(target.region, environ)
    stack = DeployedStack(target, api).description()
    if stack is None:
        raise CommandError(f"stack {target.stack} in {target.region} is not deployed: make deploy-aws")
    aws_deployment.require_own(stack, target)
    aws_deployment.require_changeable(stack, target, api)
    template, functions = stack_changes.with_earlier_code(
        stack_changes.deployed_template(api, target.stack), options.function or ()
    )
    missing = [name for name in options.function or () if name not in functions]
    for name in missing:
        print(f"{name}: its code stays, because the last deployment did not change it")
    if not functions:
        print("No earlier code is known: the last deployment changed none, or there was no deployment after the first")
        return NOT_DONE
    if options.dry_run:
        print(f"The code before the last deployment would serve again: {', '.join(functions)}")
        return NOT_DONE if missing else DONE
    folder = options.out / BUILT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "template.yaml").write_text(json.dumps(template, indent=2, default=str), encoding="utf-8")
    try:
        Sam(target, options.out, environ).deploy(aws_deployment.deployed_parameters(stack))
    except SamFailed as failure:
        raise CommandError(f"the SAM CLI failed; see its lines above. Try it by hand:\n  {failure}") from failure
    print(f"The code before the last deployment serves again: {', '.join(functions)}")
    return NOT_DONE if missing else DONE


def destroy_aws(arguments: list[str]) -> int:
    command = deployment_command.removal_parser("destroy-aws", "secrets, dead letters, the ledger, bodies")
    add_target_options(command)
    options = command.parse_args(arguments)
    return run_command("destroy-aws", lambda: _run_destroy(options))


def _run_destroy(options: argparse.Namespace) -> int:
    """Print what is removed, ask, and remove it; with --all also what outlives the stack. Return NOT_DONE if SAM fails.

    Raises CommandError, also if the removal is not confirmed, and AwsFault.
    """
    environ = configured.environ_of(options)
    require_tool("sam")
    target = find_target(options, environ, configured_region)
    api = AwsApi(target.region, environ)
    account = str(api.call("sts", "get_caller_identity").get("Account"))
    deployed = DeployedStack(target, api)
    stack = deployed.description()
    if stack is not None:
        aws_deployment.require_own(stack, target)
    remaining = removal.find_remaining(deployed)
    if stack is None and not (options.all and remaining.lines()):
        nothing = f"There is no stack {target.stack} in account {account}, region {target.region} to remove."
        print("\n".join([nothing, *deployment_command.kept_lines("Kept", remaining.lines())]))
        return DONE
    resources = removal.stack_resources(api, target.stack) if stack is not None else None
    print("\n".join(_removal_lines(target, account, resources, remaining, options.all)))
    if remaining.tables:
        deployed_hooks.print_left_hooks(environ, _platform_options(target))
    deployment_command.require_confirmed(options.confirm, target.prefix)
    try:
        if stack is not None:
            _delete_stack(api, Sam(target, checkout.ROOT, environ), str(stack.get("StackId")))
    except SamFailed as failure:
        print(f"\nStopped: the SAM CLI failed; see its lines above.\nTry it by hand:\n  {failure}", file=sys.stderr)
        return NOT_DONE
    remaining = removal.find_remaining(deployed)
    if not options.all:
        print("".join(f"{line}\n" for line in deployment_command.kept_lines("Kept", remaining.lines())), end="")
        return DONE
    for line in removal.remove_remaining(api, remaining):  # deletes them
        print(line, flush=True)
    return DONE


def _removal_lines(
    target: StackTarget,
    account: str,
    resources: Mapping[str, Sequence[str]] | None,
    remaining: removal.Remaining,
    is_all: bool,
) -> Iterator[str]:
    """Yield the lines before the question. `resources` are those of the stack by kind; None without a stack."""
    yield f"This removes from account {account}, region {target.region}:"
    if resources is not None:
        yield f"  stack {target.stack}"
    for kind, found in sorted((resources or {}).items()):
        yield f"    {kind}: {', '.join(sorted(found))}"
    if not is_all:
        yield from deployment_command.kept_lines("and keeps", remaining.lines())
        return
    for remaining_kind, name in remaining.named():
        yield f"  {remaining_kind} {name}" + (", which cannot be restored" if remaining_kind == "secret" else "")


def _delete_stack(api: AwsApi, sam: Sam, stack_id: str) -> None:
    """Delete the stack, and print how far it is. Raises SamFailed."""
    left = total = removal.count_undeleted(api, stack_id)

    def show() -> None:
        nonlocal left
        before = left
        with contextlib.suppress(AwsFault):  # the next look may succeed
            left = removal.count_undeleted(api, stack_id)
        if left != before:
            print(f"  {left} of {total} resources are left", flush=True)

    sam.delete(show)
