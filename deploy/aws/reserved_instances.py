"""Decide how many instances of Lambda a deployment reserves for its private functions, which its queues call.

All functions of an account share one limit in a region. The function receive is public, so a flood of requests could
use the whole limit and leave no instances to transform and notify. A reservation keeps instances free for a function,
and limits the function to them. Nothing is reserved if the account is too small, because AWS would reject the stack.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.aws import template_names as names
from deploy.aws.resources.functions import RESERVE, RESERVED, most_instances
from deploy.cloud_access.aws import AwsApi, AwsFault, NoCredentials
from deploy.terminal.command_line import CommandError
from deploy.topology.topology import Topology
from shared.jsontext import Json, mapping_at

UNRESERVED: Final = 100
"""The number of instances that AWS keeps for functions without a reservation.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""
_QUOTA_PAGE: Final = "https://{region}.console.aws.amazon.com/servicequotas/home/services/lambda/quotas/L-B99A9384"
"""The page of AWS's console on which an account requests a higher limit."""


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """The instances that the account may run at once in the region, and those of them that no function has reserved."""

    region: str
    instances: int
    unreserved: int

    @property
    def quota_page(self) -> str:
        return _QUOTA_PAGE.format(region=self.region)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The instances that a deployment reserves.

    values  the template's parameters, such as `{"NotifyReserved": "29"}`; `0` reserves nothing
    line    says what is reserved, or why nothing is
    todo    advises the operator what to do about it; empty if there is nothing to do
    """

    values: Mapping[str, str]
    line: str
    todo: str = ""


def read_limit(api: AwsApi) -> AccountLimit:
    """Return the account's limit on instances in the region. Raises AwsFault."""
    limits = mapping_at(api.call("lambda", "get_account_settings"), "AccountLimit")
    instances = _whole(limits.get("ConcurrentExecutions"))
    unreserved = _whole(limits.get("UnreservedConcurrentExecutions"))
    return AccountLimit(api.region, instances, unreserved)


def wanted_instances(topology: Topology, parameters: Mapping[str, str]) -> dict[str, int]:
    """Return the most instances that each private function may use at once, by the function's name."""
    return {
        each.name: most_instances(topology, each, _number(parameters, names.parameter(each.name, "Concurrency")))
        for each in topology.functions
        if not each.function.is_public
    }


def reservation(
    topology: Topology, parameters: Mapping[str, str], deployed: Mapping[str, str], limit: AccountLimit
) -> Reservation:
    """Return what to reserve. `deployed` has the parameters of the stack that this deployment updates.

    Raises CommandError if the account cannot give what the configuration reserves for a public function.
    """
    wanted = wanted_instances(topology, parameters)
    values = {names.parameter(name, RESERVED): str(count) for name, count in wanted.items()}
    nothing = dict.fromkeys(values, "0")
    public = _public_limits(topology)
    public_total = sum(_number(parameters, each) for each in public)
    # What the stack reserves now becomes free in the same update.
    freed = sum(int(deployed.get(each, 0)) for each in (*values, *public))
    free = limit.unreserved + freed - UNRESERVED - public_total
    where = f"the account's {limit.instances:,} instances in {limit.region}"
    if public_total and free < 0:
        rule = f"must leave {UNRESERVED} of {where} unreserved; got {public_total} for {' and '.join(public)}"
        raise CommandError(f"aws: max_concurrency: {rule}. Lower it, or request more: {limit.quota_page}")
    functions = " and ".join(wanted)
    if parameters[RESERVE] == "off":
        return Reservation(nothing, f"Nothing is reserved for {functions}, because {RESERVE} is off.")
    needed = sum(wanted.values())
    if needed > free:
        rule = f"{needed} for {functions} would leave fewer than {UNRESERVED} of {where} unreserved"
        line = f"Nothing is reserved: {rule}, which AWS rejects. A flood of requests to receive can delay them."
        least = limit.instances + needed - free
        return Reservation(nothing, line, f"Request a limit of at least {least:,}: {limit.quota_page}")
    shown = " and ".join(f"{count} for {name}" for name, count in wanted.items())
    return Reservation(values, f"Reserved of {where}: {shown}. A flood of requests to receive cannot take them.")


def find_reservation(
    api: AwsApi, topology: Topology, parameters: Mapping[str, str], deployed: Mapping[str, str]
) -> Reservation:
    """Return what to reserve in the account. If its limit cannot be read, the reservations stay as they are.

    Raises CommandError as `reservation` does, and NoCredentials.
    """
    try:
        limit = read_limit(api)
    except NoCredentials:  # an AwsFault, too, but without credentials nothing else of a deployment would succeed
        raise
    except AwsFault as fault:
        reserved = [names.parameter(name, RESERVED) for name in wanted_instances(topology, parameters)]
        unchanged = {parameter: deployed.get(parameter, "0") for parameter in reserved}
        return Reservation(unchanged, f"Reservations stay as they are: the account's limit cannot be read: {fault}")
    return reservation(topology, parameters, deployed, limit)


def offline_line(topology: Topology, parameters: Mapping[str, str]) -> str:
    """Return what a deployment would reserve in an account that is large enough, for a plan without the account."""
    wanted = wanted_instances(topology, parameters)
    shown = " and ".join(f"{count} instances for {name}" for name, count in wanted.items())
    public_total = sum(_number(parameters, each) for each in _public_limits(topology))
    least = sum(wanted.values()) + UNRESERVED + public_total
    return f"reserves {shown} if the account has {least} unreserved ones; a new account has 10 in all"


def _public_limits(topology: Topology) -> list[str]:
    """Return the parameters with `max_concurrency` of public functions. On Lambda, only a reservation limits one."""
    return [names.parameter(each.name, "Concurrency") for each in topology.functions if each.function.is_public]


def _number(parameters: Mapping[str, str], name: str) -> int:
    """Return the parameter's value. Raises CommandError if the operator has set it to anything but a whole number."""
    if not parameters[name].isdecimal():
        raise CommandError(f"--parameter: {name} must be a whole number; got {parameters[name]!r}")
    return int(parameters[name])


def _whole(value: Json) -> int:
    return value if isinstance(value, int) else 0
