"""`hookchain plan-aws --live`: a deployed template, as SAM wrote it, beside the planned one."""

from collections.abc import Mapping

from deploy.aws import stack_changes
from deploy.aws.template import read_template
from deploy.cloud_access.aws import AwsApi, AwsFault
from deploy.cloud_access.aws_names import TABLES
from shared.jsontext import Json, JsonObject
from tests.unit.aws.rendered import inside, objects, stack_of, template
from tests.unit.aws.template.test_template import BUSES_CONFIG as BUSES
from tests.unit.topology.configured import topology

PLANNED = """
Metadata: {CodeDigests: {receive: a1, transform: b1}}
Parameters: {Prefix: {Type: String, Default: hookchain-}}
Resources:
  Receive:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: receive/, Role: !GetAtt Role.Arn, Name: !Sub "${Prefix}receive", Timeout: 30}
Outputs: {Url: {Value: !GetAtt Receive.FunctionUrl}}
"""
DEPLOYED = """
Metadata: {CodeDigests: {receive: a1, transform: b1}}
Parameters: {Prefix: {Type: String, Default: other-}}
Resources:
  Receive:
    Type: AWS::Serverless::Function
    Metadata: {SamResourceId: Receive}
    Properties:
      CodeUri: s3://bucket/key
      Role: {Fn::GetAtt: [Role, Arn]}
      Name: {Fn::Sub: "${Prefix}receive"}
      Timeout: 30
Outputs: {Url: {Value: {Fn::GetAtt: [Receive, FunctionUrl]}}}
"""


class Drifted(AwsApi):
    """CloudFormation, which compares the stack at the second look."""

    def __init__(self) -> None:
        super().__init__("eu-central-1", {})

    def call(self, service: str, operation: str, **arguments: Json) -> JsonObject:
        difference: JsonObject = {"PropertyPath": "/Timeout", "ExpectedValue": "60", "ActualValue": "77"}
        modified: JsonObject = {
            "LogicalResourceId": "Notify",
            "PhysicalResourceId": "hookchain-notify",
            "StackResourceDriftStatus": "MODIFIED",
            "PropertyDifferences": [difference],
        }
        answers: dict[str, JsonObject] = {
            "detect_stack_drift": {"StackDriftDetectionId": "1"},
            "describe_stack_drift_detection_status": {"DetectionStatus": "DETECTION_COMPLETE"},
            "describe_stack_resource_drifts": {"StackResourceDrifts": [modified]},
        }
        return answers[operation]


def changes(planned: str) -> list[str]:
    return list(stack_changes.changed_entries(read_template(DEPLOYED), read_template(planned)))


def test_what_sam_wrote_into_a_template_is_no_change() -> None:
    assert changes(PLANNED) == []


def test_each_changed_entry_is_named_with_its_differences() -> None:
    assert changes(PLANNED.replace("Timeout: 30", "Timeout: 60").replace("b1", "b2")) == [
        "update metadata CodeDigests",
        "  transform: b1 → b2",
        "update resource Receive",
        "  Properties.Timeout: 30 → 60",
    ]
    assert changes(PLANNED.replace("  Receive:", "  Other:")) == ["create resource Other", "delete resource Receive"]


def test_a_parameter_is_compared_by_its_deployed_value() -> None:
    found = stack_changes.changed_values(
        {"NotifyMemory": "512", "LogDays": "30"}, {"NotifyMemory": "1024", "LogDays": "30", "New": "x"}
    )
    assert list(found) == ["update parameter NotifyMemory: 512 → 1024"]


def test_what_was_changed_by_hand_is_named() -> None:
    assert list(stack_changes.drift(Drifted(), "hookchain")) == [
        "modified by hand: Notify (hookchain-notify)",
        "  Timeout: 60 → 77",
    ]


class Live(AwsApi):
    """A stack as it is: `answers` by operation and name. What is not in it does not exist."""

    def __init__(self, answers: Mapping[tuple[str, str], JsonObject]) -> None:
        super().__init__("eu-central-1", {})
        self.answers = answers

    def call(self, service: str, operation: str, **arguments: Json) -> JsonObject:
        [name] = arguments.values()
        if (operation, str(name)) not in self.answers:
            raise AwsFault("ResourceNotFoundException", f"{name} does not exist")
        return self.answers[operation, str(name)]


EXPIRING: JsonObject = {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}}
NOT_EXPIRING: JsonObject = {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
AS_DEPLOYED: Mapping[tuple[str, str], JsonObject] = {
    ("get_function_url_config", "hookchain-receive"): {"AuthType": "NONE"},
    **{("get_function_concurrency", f"hookchain-{name}"): {} for name in ("receive", "transform", "notify")},
    **{("describe_time_to_live", f"hookchain-{name}"): EXPIRING for name in TABLES},
}
NOTIFY = ("get_function_concurrency", "hookchain-notify")
URL = ("get_function_url_config", "hookchain-receive")


def undetected(changed: Mapping[tuple[str, str], JsonObject], **parameters: str) -> list[str]:
    return list(stack_changes.undetected_drift(Live({**AS_DEPLOYED, **changed}), topology(), "hookchain-", parameters))


def test_a_stack_as_it_was_deployed_has_no_undetected_drift() -> None:
    assert undetected({}) == []
    assert undetected({NOTIFY: {"ReservedConcurrentExecutions": 29}}, NotifyReserved="29") == []


def test_what_cloudformation_does_not_tell_is_named() -> None:
    without_url = {key: value for key, value in AS_DEPLOYED.items() if key != URL}
    found = list(stack_changes.undetected_drift(Live(without_url), topology(), "hookchain-", {}))
    assert found == ["deleted by hand: ReceiveFunctionUrl (hookchain-receive)"]
    assert undetected({URL: {"AuthType": "AWS_IAM"}}) == [
        "modified by hand: ReceiveFunctionUrl (hookchain-receive)",
        "  AuthType: NONE → AWS_IAM",
    ]
    assert undetected({("describe_time_to_live", "hookchain-events"): NOT_EXPIRING}) == [
        "modified by hand: EventsTable (hookchain-events)",
        "  TimeToLiveSpecification.Enabled: true → false",
    ]
    assert undetected({NOTIFY: {"ReservedConcurrentExecutions": 0}}) == [
        "modified by hand: NotifyFunction (hookchain-notify)",
        "  ReservedConcurrentExecutions: none → 0",
    ]


def test_what_can_be_switched_off_by_hand_is_written_out_in_the_template() -> None:
    """CloudFormation compares only what a template sets."""
    document = template(topology(BUSES))
    rules = stack_of(document).of_kind("Events::Rule").values()
    assert [each["State"] for each in rules] == ["ENABLED"] * len(rules) != []
    for function in stack_of(document).of_kind("Serverless::Function").values():
        for event in objects(list(objects([function.get("Events", {})])[0].values())):
            settings = inside(event, "Properties")
            assert {"Enabled": True, "State": "ENABLED"}.items() & objects([settings])[0].items(), event


def test_the_kinds_that_cloudformation_cannot_compare_are_named() -> None:
    statuses = {"AWS::Lambda::Url": "NOT_CHECKED", "AWS::SQS::Queue": "IN_SYNC"}
    listed: list[Json] = [
        {"ResourceType": kind, "DriftInformation": {"StackResourceDriftStatus": status}}
        for kind, status in statuses.items()
    ]
    live = Live({("list_stack_resources", "hookchain"): {"StackResourceSummaries": listed}})
    assert stack_changes.uncompared_types(live, "hookchain") == ["AWS::Lambda::Url"]
