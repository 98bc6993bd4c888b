"""What a deployment reserves of the account's instances, so that a flood at receive leaves some to the others."""

import pytest

from deploy.aws.reserved_instances import AccountLimit, Reservation, find_reservation, reservation
from deploy.aws.template import parameter_defaults
from deploy.cloud_access.aws import AwsFault
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json, JsonObject
from tests.unit.aws.rendered import inside, template
from tests.unit.aws.test_deploy_aws import FailedStack
from tests.unit.gcp.planned import CONFIG
from tests.unit.topology.configured import topology

NEEDS = topology()
DEFAULTS = parameter_defaults(NEEDS, "shop-")
RESERVED = {"TransformReserved": "20", "NotifyReserved": "29"}
"""notify: 20 for deliveries, 2 for dead letters, 6 for what SQS gave up on, and one sweep."""
NOTHING = dict.fromkeys(RESERVED, "0")


def reserved(unreserved: int, instances: int = 1_000, **parameters: str) -> Reservation:
    return reservation(NEEDS, {**DEFAULTS, **parameters}, {}, AccountLimit("eu-west-1", instances, unreserved))


@pytest.mark.parametrize(
    ("unreserved", "values"), [(1_000, RESERVED), (149, RESERVED), (148, NOTHING), (100, NOTHING), (10, NOTHING)]
)
def test_both_functions_are_reserved_for_where_aws_can_leave_a_hundred(unreserved: int, values: dict[str, str]) -> None:
    found = reserved(unreserved)
    assert found.values == values
    assert (found.line.startswith("Reserved"), bool(found.todo)) == (values is RESERVED, values is NOTHING)


def test_a_new_account_is_told_in_one_line_what_it_lacks() -> None:
    found = reserved(10, instances=10)
    assert found.line == (
        "Nothing is reserved: 49 for transform and notify would leave fewer than 100 of the account's 10 instances in "
        "eu-west-1 unreserved, which AWS rejects. A flood of requests to receive can delay them."
    )
    assert found.todo.startswith("Request a limit of at least 149: https://eu-west-1.console.aws.amazon.com/")


def test_what_the_stack_reserves_already_counts_as_free() -> None:
    limit = AccountLimit("eu-west-1", 149, 100)
    assert reservation(NEEDS, DEFAULTS, RESERVED, limit).values == RESERVED
    assert reservation(NEEDS, DEFAULTS, {}, limit).values == NOTHING


def test_receive_is_limited_only_if_asked_and_only_where_that_fits() -> None:
    assert "ReceiveConcurrency" not in reserved(1_000).values
    asked = parameter_defaults(topology(CONFIG + "\naws:\n  receive: {max_concurrency: 50}\n"), "shop-")
    assert asked["ReceiveConcurrency"] == "50"
    enough, short = (AccountLimit("eu-west-1", 1_000, unreserved) for unreserved in (199, 198))
    assert reservation(NEEDS, asked, {}, enough).values == RESERVED
    assert reservation(NEEDS, asked, {}, short).values == NOTHING
    with pytest.raises(CommandError, match=r"aws: max_concurrency: must leave 100 of the account's .* got 50 for Rec"):
        reservation(NEEDS, asked, {}, AccountLimit("eu-west-1", 1_000, 149))


def test_a_parameter_that_is_no_number_is_rejected() -> None:
    with pytest.raises(CommandError, match=r"--parameter: NotifyConcurrency must be a whole number; got 'many'"):
        reserved(1_000, NotifyConcurrency="many")


def test_an_operator_can_switch_reservations_off() -> None:
    assert reserved(1_000, Reserve="off").values == NOTHING
    assert "because Reserve is off" in reserved(1_000, Reserve="off").line


def test_without_the_right_to_read_the_limit_reservations_stay() -> None:
    found = find_reservation(Denied(), NEEDS, DEFAULTS, {"NotifyReserved": "29"})
    assert found.values == {"TransformReserved": "0", "NotifyReserved": "29"}
    assert "cannot be read" in found.line


class Denied(FailedStack):
    def call(self, service: str, operation: str, **arguments: Json) -> JsonObject:
        raise AwsFault("AccessDeniedException", f"{service}: not allowed")


def test_a_template_that_is_deployed_by_hand_reserves_nothing() -> None:
    document = template(NEEDS)
    for name in ("Transform", "Notify", "Receive"):
        function = inside(document, "Resources", f"{name}Function", "Properties")
        setting = "Concurrency" if name == "Receive" else "Reserved"
        wanted = {"Fn::If": [f"Limits{name}", {"Ref": f"{name}{setting}"}, {"Ref": "AWS::NoValue"}]}
        assert inside(function, "ReservedConcurrentExecutions") == wanted
        assert inside(document, "Parameters", f"{name}{setting}", "Default") == 0
