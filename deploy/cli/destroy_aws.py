"""`make destroy-aws`: remove a deployment. Secrets, tables and the bucket stay unless ALL=1."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from deploy.amazon.api import AwsApi, AwsFault, configured_region
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import StackTarget, add_target_options, find_target
from deploy.aws.deployment import require_own
from deploy.aws.removal import Remaining, count_left, find_remaining, remove_remaining, stack_resources
from deploy.aws.sam import Sam, SamFailed
from deploy.aws.template_tools import tool
from deploy.cli.command import DONE, NOT_DONE, run_command
from deploy.cli.deployment_command import removal_parser, require_confirmed
from deploy.config.checkout import ROOT
from deploy.config.configured import environ_of

DETAILS: Final = """\
Waiting messages are removed with their queues. The bucket aws-sam-cli-managed-default-…, in which SAM keeps the code of
all its stacks in the region, stays."""


def main(arguments: list[str]) -> int:
    command = removal_parser(
        "destroy-aws",
        "hookchain destroy-aws --region eu-central-1",
        DETAILS,
        "secrets, dead letters, the ledger, bodies",
    )
    add_target_options(command)
    options = command.parse_args(arguments)
    return run_command("destroy-aws", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    tool("sam")
    target = find_target(options, environ, configured_region)
    api = AwsApi(target.region, environ)
    account = str(api.call("sts", "get_caller_identity").get("Account"))
    deployed = DeployedStack(target, api)
    stack = deployed.description()
    if stack is not None:
        require_own(stack, target)
    remaining = find_remaining(deployed)
    if stack is None and not (options.all and remaining.lines()):
        print(f"There is no stack {target.stack} in account {account}, region {target.region} to remove.")
        _say_kept(remaining.lines())
        return DONE
    resources = stack_resources(api, target.stack) if stack is not None else None
    print("\n".join(_removal_lines(target, account, resources, remaining, options.all)))
    require_confirmed(options.confirm, target.prefix)
    try:
        if stack is not None:
            _delete_stack(api, Sam(target, ROOT, environ), str(stack.get("StackId")))
    except SamFailed as failure:
        print(f"\nStopped: the SAM CLI failed; see its lines above.\nTry it by hand:\n  {failure}", file=sys.stderr)
        return NOT_DONE
    remaining = find_remaining(deployed)
    if not options.all:
        _say_kept(remaining.lines())
        return DONE
    for line in remove_remaining(api, remaining):
        print(line, flush=True)
    return DONE


def _removal_lines(
    target: StackTarget, account: str, resources: Mapping[str, Sequence[str]] | None, remaining: Remaining, is_all: bool
) -> Iterator[str]:
    yield f"This removes from account {account}, region {target.region}:"
    if resources is not None:
        yield f"  stack {target.stack}"
    for kind, found in sorted((resources or {}).items()):
        yield f"    {kind}: {', '.join(sorted(found))}"
    if not is_all:
        yield from _kept_lines(remaining.lines())
        return
    for line in remaining.lines():
        yield f"  {line}, which cannot be restored" if line.startswith("secret") else f"  {line}"


def _kept_lines(kept: Sequence[str]) -> list[str]:
    return [f"and keeps (ALL=1 removes them too): {', '.join(kept)}"] if kept else []


def _say_kept(kept: Sequence[str]) -> None:
    if kept:
        print(f"Kept (ALL=1 removes them too): {', '.join(kept)}")


def _delete_stack(api: AwsApi, sam: Sam, stack_id: str) -> None:
    """Delete the stack, and print how far it is. Raises SamFailed."""
    left = total = count_left(api, stack_id)

    def show() -> None:
        nonlocal left
        before = left
        with contextlib.suppress(AwsFault):  # the next look may succeed
            left = count_left(api, stack_id)
        if left != before:
            print(f"  {left} of {total} resources are left", flush=True)

    sam.delete(show)
