"""The parts of a deployment to AWS that depend on what is deployed already, in the order of the command.

A stack is changed only if it is of this deployment and CloudFormation can update it. Then the parameters get values,
some of them from the stack. What names the deployment is kept in .env, so that later commands need no options.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cloud_access import aws, aws_names
from deploy.config import checkout
from deploy.config.dotenv import keep_target
from deploy.terminal.command_line import CommandError
from shared.jsontext import JsonObject, objects_at

OPERATORS_OWN: Final = frozenset({"Architecture", "EmailAddress", "Alarms", "LogDays", "Reserve"})
"""Parameters that the configuration does not decide. A deployment leaves them as they are, unless one is given."""
COMMENT: Final = "what was last deployed to AWS, and where"
"""The comment above the variables that a deployment adds to .env."""
MAX_REASONS: Final = 5
"""The failures of a stack that are printed."""
_REMOVE: Final = "Remove it with `make destroy-aws`, then run `make deploy-aws` again."
_ADVICE: Final = {
    "ROLLBACK_COMPLETE": f"its creation failed, and CloudFormation cannot update such a stack. {_REMOVE}",
    "ROLLBACK_FAILED": f"its creation failed, and so did the rollback. {_REMOVE}",
    "CREATE_FAILED": f"its creation failed. {_REMOVE}",
    "DELETE_FAILED": "its deletion failed. Run `make destroy-aws` again, then `make deploy-aws`.",
    "UPDATE_ROLLBACK_FAILED": "an update failed, and so did its rollback. Remove the cause, then run\n"
    "  aws cloudformation continue-update-rollback --stack-name {stack} --region {region}",
}
"""By the status of a stack that cannot be updated. `{stack}` and `{region}` stand for those of the target."""
_BEGINNINGS: Final = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"})
"""The statuses of the stack's own event with which a change begins. A rollback belongs to the change before it."""
_IN_PROGRESS: Final = "another change is running. Run the same command again when it has ended."


def parameter_values(defaults: Mapping[str, str], stack: JsonObject | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return a value for each parameter: the given one, else for the operator's own the deployed one, else the default.

    Every value is written out, because SAM keeps the deployed value of a parameter whose default alone has changed.
    Raises CommandError.
    """
    if unknown := sorted(given.keys() - defaults.keys()):
        raise CommandError(f"--parameter: must be one of {', '.join(defaults)}; got {unknown[0]!r}")
    deployed = {name: value for name, value in deployed_parameters(stack).items() if name in OPERATORS_OWN}
    return {name: given.get(name, deployed.get(name, default)) for name, default in defaults.items()}


def deployed_parameters(stack: JsonObject | None) -> dict[str, str]:
    """Return the values of the stack's parameters, by name; none without a stack."""
    listed = objects_at(stack, "Parameters")
    return {str(each.get("ParameterKey")): str(each.get("ParameterValue", "")) for each in listed}


def require_own(stack: JsonObject, target: aws_names.StackTarget) -> None:
    """Raise CommandError for a stack that is not of this deployment."""
    where = f"stack {target.stack} in {target.region}"
    prefix = deployed_parameters(stack).get("Prefix")
    if prefix is None and stack.get("StackStatus") == "REVIEW_IN_PROGRESS":
        return  # the stack is only a first change set that was never executed: it has nothing yet
    if prefix is None:
        raise CommandError(f"{where} is not a deployment of Hookchain. Choose another name with --stack")
    if prefix != target.prefix:
        raise CommandError(f"{where}: its prefix is {prefix!r} and cannot change; got {target.prefix!r}. Add --prefix")


def require_changeable(stack: JsonObject, target: aws_names.StackTarget, api: aws.AwsApi) -> None:
    """Raise CommandError with what to do, unless CloudFormation can update the stack."""
    status = str(stack.get("StackStatus"))
    advice = _ADVICE.get(status)
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        advice = _IN_PROGRESS
    if advice is None:
        return
    todo = advice.format(stack=target.stack, region=target.region)
    lines = [f"stack {target.stack} in {target.region} is {status}: {todo}"]
    if status != "UPDATE_ROLLBACK_FAILED" and (reasons := first_failures(api, target)):
        lines += ["The first failures of its last change:", *(f"  {reason}" for reason in reasons)]
    raise CommandError("\n".join(lines))


def first_failures(api: aws.AwsApi, target: aws_names.StackTarget) -> list[str]:
    """Return at most MAX_REASONS failures of the stack's last change, the oldest first; none if they cannot be read.

    Only the first page of the events is read, with the newest ones.
    """
    try:
        found = api.call("cloudformation", "describe_stack_events", StackName=target.stack)
    except aws.AwsFault:
        return []
    reasons: list[str] = []
    for event in objects_at(found, "StackEvents"):  # the newest first
        status = str(event.get("ResourceStatus"))
        if event.get("PhysicalResourceId") == event.get("StackId") and status in _BEGINNINGS:
            break
        if status.endswith("_FAILED") and event.get("ResourceStatusReason"):
            reasons.append(f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason')}")
    return reasons[: -MAX_REASONS - 1 : -1]


def changed_at(stack: JsonObject | None) -> object:
    """Return the time of the stack's last change, None without a stack."""
    return (stack or {}).get("LastUpdatedTime") or (stack or {}).get("CreationTime")


_NO_OPTIONS: Final = argparse.Namespace(stack=None, region=None, prefix=None)
"""The options of a command that names no deployment."""


@dataclass(frozen=True, slots=True)
class DotenvSettings:
    """The lines of a deployment in .env, at `path`: its target, and the variables of `environ` in `settings`."""

    path: Path
    target: aws_names.StackTarget
    environ: Mapping[str, str]
    settings: Sequence[str]

    def keep(self) -> list[str]:
        """Add missing variables to .env. Return a note for each one that keeps another value. Raises DotenvFault."""
        return keep_target(
            self.path,
            target={"AWS_REGION": self.target.region, "HOOKCHAIN_STACK": self.target.stack},
            defaults={"HOOKCHAIN_STACK": aws_names.DEFAULT_STACK},
            settings={name: self.environ[name] for name in self.settings if self.environ.get(name)},
            comment=COMMENT,
        )

    def missing_target_options(self) -> str:
        """Return the options that commands need to find the deployment; empty if .env names it. Raises DotenvFault."""
        target = self.target
        try:
            if aws_names.find_target(_NO_OPTIONS, checkout.environ_with(self.path), lambda: None) == target:
                return ""
        except CommandError:
            pass
        prefix = "" if target.prefix == f"{target.stack}-" else f" --prefix {target.prefix}"
        return f" --stack {target.stack} --region {target.region}{prefix}"
