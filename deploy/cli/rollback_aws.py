"""`hookchain rollback-aws`: return the functions on AWS to the code that the last deployment replaced."""

import argparse
import json
from pathlib import Path
from typing import Final

from deploy.amazon.api import AwsApi, configured_region
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import add_target_options, find_target
from deploy.aws.deployment import deployed_parameters, require_changeable, require_own
from deploy.aws.earlier_code import with_earlier_code
from deploy.aws.sam import BUILT, Sam, SamFailed
from deploy.aws.stack_changes import deployed_template
from deploy.aws.template_tools import tool
from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.config.checkout import ROOT
from deploy.config.compiler import FUNCTIONS, OPTIONAL
from deploy.config.configured import add_configuration, environ_of
from deploy.terminal.command_error import CommandError

DETAILS: Final = """\
Without --function it rolls back the functions whose code the last deployment changed: the routes, destinations and
sources are part of it. Secrets, queues, stored events, memory and permissions stay as they are. The SAM CLI and
CloudFormation make the change. The next `make deploy-aws` deploys the newest code again."""


def main(arguments: list[str]) -> int:
    codes = "0 done, 1 no earlier code or failed, 2 usage error"
    command = parser("rollback-aws", "hookchain rollback-aws --region eu-central-1", details=DETAILS, exit_codes=codes)
    choices = (*FUNCTIONS, *OPTIONAL)
    command.add_argument("--function", choices=choices, action="append", help="roll back this function (repeatable)")
    command.add_argument("--dry-run", action="store_true", help="print what would be rolled back, and change nothing")
    add_target_options(command)
    add_configuration(command)
    command.add_argument(
        "--out", metavar="FOLDER", type=Path, default=ROOT / "build" / "rollback", help="write here [build/rollback]"
    )
    options = command.parse_args(arguments)
    return run_command("rollback-aws", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    environ = environ_of(options)
    tool("sam")
    target = find_target(options, environ, configured_region)
    api = AwsApi(target.region, environ)
    stack = DeployedStack(target, api).description()
    if stack is None:
        raise CommandError(f"stack {target.stack} in {target.region} is not deployed: make deploy-aws")
    require_own(stack, target)
    require_changeable(stack, target, api)
    template, functions = with_earlier_code(deployed_template(api, target.stack), options.function or ())
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
        Sam(target, options.out, environ).deploy(deployed_parameters(stack))
    except SamFailed as failure:
        raise CommandError(f"the SAM CLI failed; see its lines above. Try it by hand:\n  {failure}") from failure
    print(f"The code before the last deployment serves again: {', '.join(functions)}")
    return NOT_DONE if missing else DONE
