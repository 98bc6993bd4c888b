"""`make plan-aws`: print the template of a deployment to AWS, or what changed since the last one."""

import argparse
import sys
from pathlib import Path
from typing import Final

from deploy.amazon.api import AwsApi, configured_region, region_fault
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import StackTarget, add_target_options, find_target
from deploy.aws.concurrency import find_reservation, offline_line
from deploy.aws.deployment import deployed_parameters, parameter_values, require_own
from deploy.aws.prepare import Prepared, changed_lines, prepare
from deploy.aws.stack_changes import (
    changed_entries,
    changed_values,
    deployed_template,
    drift,
    read_template,
    uncompared_types,
    undetected_drift,
)
from deploy.aws.template_tools import translated
from deploy.bundle.bundle import NotABundle
from deploy.bundle.requirements import PinsFault
from deploy.cli.command import DONE, parser, run_command
from deploy.cli.deployment_command import UP_TO_DATE, configuration_line, warn_about_address
from deploy.config.checkout import ROOT, deployed_config
from deploy.config.configured import add_configuration, environ_of
from deploy.terminal.command_error import CommandError

ANY_REGION: Final = "us-east-1"
DETAILS: Final = """\
It writes the bundles and template.yaml, which `sam build` and `sam deploy` read. If the folder has a template already,
it prints the changes only; `--all` prints the whole template. It asks AWS nothing, except with `--live`: then it prints
what a deployment would change in the stack, and what was changed by hand, as far as CloudFormation can tell."""


def main(arguments: list[str]) -> int:
    codes = "0 done, 1 failed, or faults in the configuration, 2 usage error"
    command = parser("plan-aws", "hookchain plan-aws --all", details=DETAILS, exit_codes=codes)
    add_configuration(command)
    add_target_options(command)
    command.add_argument("--live", action="store_true", help="read what is deployed and print the difference only")
    command.add_argument("--all", action="store_true", help="print the whole template")
    command.add_argument("--translated", action="store_true", help="print the template as CloudFormation's JSON")
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=ROOT / "build" / "aws", help="write to FOLDER [build/aws]"
    )
    options = command.parse_args(arguments)
    return run_command("plan-aws", lambda: _run(options), PinsFault, NotABundle)


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    config = deployed_config(options.config, environ)
    print(f"# {configuration_line(config)}", file=sys.stderr)
    warn_about_address(config)
    # Without --live the template is all that is printed, which is the same in every region.
    target = find_target(options, environ, configured_region if options.live else lambda: ANY_REGION)
    if fault := region_fault(target.region):
        raise CommandError(fault)
    prepared = prepare(config, environ, target.prefix, options.out)
    for warning in prepared.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.live:
        return _print_live(AwsApi(target.region, environ), target, prepared)
    everything = f"Everything that is created by the stack {target.stack}"
    print(f"# {everything}: {prepared.summary}", file=sys.stderr)
    print(f"# It {offline_line(prepared.topology, prepared.defaults)}", file=sys.stderr, flush=True)
    before = prepared.write_template()
    last, now = before, prepared.template
    if options.translated:
        now = translated(now)
        last = translated(before) if before is not None else None
    if last is None or options.all:
        print(now, end="")
    elif last == now:
        print(f"Nothing has changed since the last plan, in {prepared.path}. To print it all, add --all.")
    else:
        print("\n".join(changed_lines(last, now)))
    return DONE


def _print_live(api: AwsApi, target: StackTarget, prepared: Prepared) -> int:
    where = f"stack {target.stack} in {target.region}"
    stack = DeployedStack(target, api).description()
    if stack is not None:
        require_own(stack, target)
    deployed = deployed_parameters(stack)
    values = parameter_values(prepared.defaults, stack, {})
    reserved = find_reservation(api, prepared.topology, values, deployed)
    print(f"# {reserved.line} {reserved.todo}".rstrip(), flush=True)
    if stack is None:
        print(f"{where} is not deployed: all of {prepared.path} would be created: {prepared.summary}")
        prepared.write_template()
        return DONE
    changes = [
        *changed_entries(deployed_template(api, target.stack), read_template(prepared.template)),
        *changed_values(deployed, {**values, **reserved.values}),
    ]
    print("\n".join([f"# Changes in {where}", *changes]) if changes else UP_TO_DATE, flush=True)
    drifted = [*drift(api, target.stack), *undetected_drift(api, prepared.topology, target.prefix, deployed)]
    if drifted:
        print("\n".join(["# Changed by hand, which a deployment leaves as it is", *drifted]))
    if types := [each for each in uncompared_types(api, target.stack) if each != "AWS::Lambda::Url"]:
        print(f"# Not compared with what was deployed, because CloudFormation cannot: {', '.join(types)}")
    return DONE
