"""A deployment to AWS: the values of the template's parameters, a stack that can be changed, and what .env keeps."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources.functions import RESERVE, RESERVED, most_instances
from deploy.cloud_access.aws import AwsApi, AwsFault, NoCredentials, objects
from deploy.cloud_access.aws_names import DEFAULT_STACK, StackTarget, find_target
from deploy.config.checkout import environ_with
from deploy.config.dotenv import read_dotenv, remember
from deploy.terminal.command_line import CommandError
from deploy.topology.topology import Topology
from shared.jsontext import Json, JsonObject

UNRESERVED: Final = 100
"""AWS leaves at least so many instances to functions without a reservation.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""
REQUEST: Final = "https://{region}.console.aws.amazon.com/servicequotas/home/services/lambda/quotas/L-B99A9384"


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """The instances that the account may run at once in the region, and those of them that no function has reserved."""

    region: str
    instances: int
    unreserved: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """`values` are the template's parameters. `line` says what is reserved, or why nothing is; `todo` what to do."""

    values: Mapping[str, str]
    line: str
    todo: str = ""


def read_limit(api: AwsApi) -> AccountLimit:
    """Raises AwsFault."""
    found = api.call("lambda", "get_account_settings").get("AccountLimit")
    limits = found if isinstance(found, dict) else {}
    return AccountLimit(api.region, *(_whole(limits.get(f"{each}ConcurrentExecutions")) for each in ("", "Unreserved")))


def wanted_instances(topology: Topology, parameters: Mapping[str, str]) -> dict[str, int]:
    """Return the instances to reserve by function: the most that each private one may use at once."""
    return {
        each.name: most_instances(topology, each, _number(parameters, names.parameter(each.name, "Concurrency")))
        for each in topology.functions
        if not each.function.is_public
    }


def reservation(
    topology: Topology, parameters: Mapping[str, str], deployed: Mapping[str, str], limit: AccountLimit
) -> Reservation:
    """Return what to reserve. `deployed` are the parameters of the stack as it is, whose reservations become free.

    Raises CommandError if the account cannot give what the configuration reserves for a public function.
    """
    wanted = wanted_instances(topology, parameters)
    nothing = {names.parameter(name, RESERVED): "0" for name in wanted}
    public = [names.parameter(each.name, "Concurrency") for each in topology.functions if each.function.is_public]
    public_total = sum(_number(parameters, each) for each in public)
    own = sum(int(deployed.get(each, 0)) for each in (*nothing, *public))
    free = limit.unreserved + own - UNRESERVED - public_total
    where = f"the account's {limit.instances:,} instances in {limit.region}"
    if public_total and free < 0:
        rule = f"must leave {UNRESERVED} of {where} unreserved; got {public_total} for {_listed(public)}"
        raise CommandError(f"aws: max_concurrency: {rule}. Lower it, or request more: {_request(limit)}")
    if parameters[RESERVE] == "off":
        return Reservation(nothing, f"Nothing is reserved for {_listed([*wanted])}, because {RESERVE} is off.")
    needed = sum(wanted.values())
    if needed > free:
        rule = f"{needed} for {_listed([*wanted])} would leave fewer than {UNRESERVED} of {where} unreserved"
        line = f"Nothing is reserved: {rule}, which AWS rejects. A flood of requests to receive can delay them."
        more = limit.instances + needed - free
        return Reservation(nothing, line, f"Request a limit of at least {more:,}: {_request(limit)}")
    shown = _listed([f"{count} for {name}" for name, count in wanted.items()])
    values = {names.parameter(name, RESERVED): str(count) for name, count in wanted.items()}
    return Reservation(values, f"Reserved of {where}: {shown}. A flood of requests to receive cannot take them.")


def find_reservation(
    api: AwsApi, topology: Topology, parameters: Mapping[str, str], deployed: Mapping[str, str]
) -> Reservation:
    """Return what to reserve in the account. Without the right to read its limit, what is reserved stays so.

    Raises CommandError, as above, and NoCredentials.
    """
    try:
        limit = read_limit(api)
    except NoCredentials:
        raise
    except AwsFault as fault:
        names_of = [names.parameter(name, RESERVED) for name in wanted_instances(topology, parameters)]
        kept = {name: deployed.get(name, "0") for name in names_of}
        return Reservation(kept, f"Reservations stay as they are: the account's limit cannot be read: {fault}")
    return reservation(topology, parameters, deployed, limit)


def offline_line(topology: Topology, parameters: Mapping[str, str]) -> str:
    """Return what a deployment would reserve, as far as it can be said without the account."""
    wanted = wanted_instances(topology, parameters)
    shown = _listed([f"{count} instances for {name}" for name, count in wanted.items()])
    least = sum(wanted.values()) + UNRESERVED
    return f"reserves {shown} if the account has {least} unreserved ones; a new account has 10 in all"


def _number(parameters: Mapping[str, str], name: str) -> int:
    if not parameters[name].isdecimal():
        raise CommandError(f"--parameter: {name} must be a whole number; got {parameters[name]!r}")
    return int(parameters[name])


def _listed(texts: list[str]) -> str:
    return " and ".join(texts)


def _request(limit: AccountLimit) -> str:
    return REQUEST.format(region=limit.region)


def _whole(value: Json) -> int:
    return value if isinstance(value, int) else 0


OPERATORS_OWN: Final = frozenset({"Architecture", "EmailAddress", "Alarms", "LogDays", "Reserve"})
"""Parameters that the configuration does not decide. A deployment leaves them as they are."""
COMMENT: Final = "what was last deployed to AWS, and where"
MAX_REASONS: Final = 5
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
    listed = objects((stack or {}).get("Parameters"))
    return {str(each.get("ParameterKey")): str(each.get("ParameterValue", "")) for each in listed}


def require_own(stack: JsonObject, target: StackTarget) -> None:
    """Raise CommandError for a stack that is not of this deployment."""
    where = f"stack {target.stack} in {target.region}"
    prefix = deployed_parameters(stack).get("Prefix")
    if prefix is None and stack.get("StackStatus") == "REVIEW_IN_PROGRESS":  # a change set that nothing came of
        return
    if prefix is None:
        raise CommandError(f"{where} is not a deployment of Hookchain. Choose another name with --stack")
    if prefix != target.prefix:
        raise CommandError(f"{where}: its prefix is {prefix!r} and cannot change; got {target.prefix!r}. Add --prefix")


def require_changeable(stack: JsonObject, target: StackTarget, api: AwsApi) -> None:
    """Raise CommandError with what to do, unless CloudFormation can update the stack."""
    status = str(stack.get("StackStatus"))
    advice = _ADVICE.get(status)
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        advice = _IN_PROGRESS
    if advice is None:
        return
    lines = [f"stack {target.stack} in {target.region} is {status}: {advice}"]
    if status != "UPDATE_ROLLBACK_FAILED" and (reasons := list(failures(api, target))):
        lines += ["The first failures of its last change:", *(f"  {reason}" for reason in reasons)]
    raise CommandError("\n".join(lines).format(stack=target.stack, region=target.region))


def failures(api: AwsApi, target: StackTarget) -> Iterator[str]:
    """Yield the first failures of the stack's last change, oldest first."""
    try:
        found = api.call("cloudformation", "describe_stack_events", StackName=target.stack)
    except AwsFault:
        return
    reasons = [
        f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason')}".replace("{", "{{").replace("}", "}}")
        for event in objects(found.get("StackEvents"))
        if str(event.get("ResourceStatus")).endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    yield from reversed(reasons[-MAX_REASONS:])


def changed_at(stack: JsonObject | None) -> object:
    """Return the time of the stack's last change, None without a stack."""
    return (stack or {}).get("LastUpdatedTime") or (stack or {}).get("CreationTime")


_NOTHING_SAID: Final = argparse.Namespace(stack=None, region=None, prefix=None)


@dataclass(frozen=True, slots=True)
class Memory:
    """The settings that are kept in .env, at `path`: the target, and the variables named by `settings`."""

    path: Path
    target: StackTarget
    environ: Mapping[str, str]
    settings: Sequence[str]

    def keep(self) -> Iterator[str]:
        """Add missing variables to .env, and yield a line for each one that has another value. Raises DotenvFault."""
        known = read_dotenv(self.path)
        wanted = {"AWS_REGION": self.target.region}
        wanted |= {name: self.environ[name] for name in self.settings if self.environ.get(name)}
        if "AWS_REGION" in known:
            known = {"HOOKCHAIN_STACK": DEFAULT_STACK, **known}
        if self.target.stack != known.get("HOOKCHAIN_STACK", DEFAULT_STACK):
            wanted["HOOKCHAIN_STACK"] = self.target.stack
        yield from remember(self.path, known, wanted, COMMENT)

    def missing_target_options(self) -> str:
        """Return the options that commands need to find the deployment; empty if .env names it. Raises DotenvFault."""
        target = self.target
        try:
            if find_target(_NOTHING_SAID, environ_with(self.path), lambda: None) == target:
                return ""
        except CommandError:
            pass
        prefix = "" if target.prefix == f"{target.stack}-" else f" --prefix {target.prefix}"
        return f" --stack {target.stack} --region {target.region}{prefix}"
