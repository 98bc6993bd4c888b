"""The instances of Lambda that an account allows, and those that a deployment reserves for the functions of its queues.

All functions of an account share one limit in a region. receive is public: a flood of requests could take the whole
limit, and leave none to transform and notify. A reservation keeps instances for a function, and limits it to them.
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
"""The least number of instances that AWS leaves to functions without a reservation.
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
    """The instances that a deployment reserves.

    values  the template's parameters with the number for each function; `0` for none
    line    what is reserved, or why nothing is, for people
    todo    what to do about it; empty for nothing
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
    """Return what to reserve in the account. Without the right to read its limit, the reservations stay as they are.

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
    """Return the parameter as a number. Raises CommandError for a value of the operator's that is none."""
    if not parameters[name].isdecimal():
        raise CommandError(f"--parameter: {name} must be a whole number; got {parameters[name]!r}")
    return int(parameters[name])


def _listed(texts: list[str]) -> str:
    return " and ".join(texts)


def _request(limit: AccountLimit) -> str:
    return REQUEST.format(region=limit.region)


def _whole(value: Json) -> int:
    return value if isinstance(value, int) else 0
