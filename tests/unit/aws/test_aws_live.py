"""`hookchain plan-aws --live`: a deployed template, as SAM wrote it, beside the planned one."""

from deploy.amazon.api import AwsApi
from deploy.aws.stack_changes import changed_entries, changed_values, drift, read_template
from shared.jsontext import Json, JsonObject

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
    return list(changed_entries(read_template(DEPLOYED), read_template(planned)))


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


def test_a_long_value_is_shown_where_it_differs() -> None:
    [_, line] = changes(PLANNED.replace("${Prefix}receive", "${Prefix}" + "r" * 200))
    assert len(line) < 240
    assert line.endswith("…")


def test_a_parameter_is_compared_by_its_deployed_value() -> None:
    found = changed_values(
        {"NotifyMemory": "512", "LogDays": "30"}, {"NotifyMemory": "1024", "LogDays": "30", "New": "x"}
    )
    assert list(found) == ["update parameter NotifyMemory: 512 → 1024"]


def test_what_was_changed_by_hand_is_named() -> None:
    assert list(drift(Drifted(), "hookchain")) == [
        "modified by hand: Notify (hookchain-notify)",
        "  Timeout: 60 → 77",
    ]
