"""A deployment to AWS: the values of the template's parameters, a stack that can be changed, and what .env keeps."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cloud_access import aws, aws_names
from deploy.config import checkout, dotenv
from deploy.terminal.command_line import CommandError
from shared.jsontext import JsonObject, objects_at

OPERATORS_OWN: Final = frozenset({"Architecture", "EmailAddress", "Alarms", "LogDays", "Reserve"})
"""Parameters that the configuration does not decide. A deployment leaves them as they are."""
COMMENT: Final = "what was last deployed to AWS, and where"
"""The comment above the variables that a deployment adds to .env."""
MAX_REASONS: Final = 5
"""The failures of a stack that are printed."""
_REMOVE: Final = "Remove it with `make destroy-aws`, then run `make deploy-aws` again."
_ROLL_BACK: Final = "aws cloudformation {command} --stack-name {stack} --region {region}"
_ADVICE: Final = {
    "ROLLBACK_COMPLETE": f"its creation failed, and CloudFormation cannot update such a stack. {_REMOVE}",
    "ROLLBACK_FAILED": f"its creation failed, and so did the rollback. {_REMOVE}",
    "CREATE_FAILED": f"its creation failed. {_REMOVE}",
    "DELETE_FAILED": "its deletion failed. Run `make destroy-aws` again, then `make deploy-aws`.",
    "UPDATE_ROLLBACK_FAILED": "an update failed, and so did its rollback. Remove the cause, then run\n  "
    + _ROLL_BACK.format(command="continue-update-rollback", stack="{stack}", region="{region}"),
}
"""By the status of a stack that cannot be updated. `{stack}` and `{region}` stand for those of the target."""
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
    if prefix is None and stack.get("StackStatus") == "REVIEW_IN_PROGRESS":  # a change set that nothing came of
        return
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
    if status != "UPDATE_ROLLBACK_FAILED" and (reasons := list(failures(api, target))):
        lines += ["The first failures of its last change:", *(f"  {reason}" for reason in reasons)]
    raise CommandError("\n".join(lines))


def failures(api: aws.AwsApi, target: aws_names.StackTarget) -> Iterator[str]:
    """Yield the first failures of the stack's last change, oldest first; none if they cannot be read."""
    try:
        found = api.call("cloudformation", "describe_stack_events", StackName=target.stack)
    except aws.AwsFault:
        return
    reasons = [
        f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason')}"
        for event in objects_at(found, "StackEvents")
        if str(event.get("ResourceStatus")).endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    yield from reversed(reasons[-MAX_REASONS:])


def changed_at(stack: JsonObject | None) -> object:
    """Return the time of the stack's last change, None without a stack."""
    return (stack or {}).get("LastUpdatedTime") or (stack or {}).get("CreationTime")


_NOTHING_SAID: Final = argparse.Namespace(stack=None, region=None, prefix=None)
"""The options of a command that names no deployment."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The settings that are kept in .env, at `path`: the target, and the variables named by `settings`."""

    path: Path
    target: aws_names.StackTarget
    environ: Mapping[str, str]
    settings: Sequence[str]

    def keep(self) -> list[str]:
        """Add missing variables to .env, and return a line for each one that has another value. Raises DotenvFault."""
        target = {"AWS_REGION": self.target.region, "HOOKCHAIN_STACK": self.target.stack}
        settings = {name: self.environ[name] for name in self.settings if self.environ.get(name)}
        return dotenv.remember(self.path, target, {"HOOKCHAIN_STACK": aws_names.DEFAULT_STACK}, settings, COMMENT)

    def missing_target_options(self) -> str:
        """Return the options that commands need to find the deployment; empty if .env names it. Raises DotenvFault."""
        target = self.target
        try:
            if aws_names.find_target(_NOTHING_SAID, checkout.environ_with(self.path), lambda: None) == target:
                return ""
        except CommandError:
            pass
        prefix = "" if target.prefix == f"{target.stack}-" else f" --prefix {target.prefix}"
        return f" --stack {target.stack} --region {target.region}{prefix}"
