"""Sources and destinations on other systems' buses, in the template."""

import json
from pathlib import Path
from typing import Final

import pytest

from deploy.aws import sam
from shared.jsontext import JsonObject, mappings_at, to_json
from tests.unit.aws.rendered import Stack, inside, listed, objects, stack_of, template, text
from tests.unit.aws.template.parts import rights
from tests.unit.aws.template.test_template import CONSUMING
from tests.unit.aws.test_translation import linted
from tests.unit.topology.configured import topology

JOBS: Final = "arn:aws:sqs:eu-central-1:123456789012:jobs"
STEPS: Final = "arn:aws:sqs:eu-central-1:123456789012:steps.fifo"
CONFIG: Final = f"""
sources:
  shop: {{auth: {{scheme: bearer, secret: shop-key}}}}
  orders: {{bus: {{pubsub: orders}}}}
  uploads: {{bus: {{bucket: my-files, events: [finalize, archive], prefix: in/}}}}
  jobs: {{bus: {{sqs: "{JOBS}"}}}}
  steps: {{bus: {{sqs: "{STEPS}"}}}}
  cloud:
    bus: {{eventbridge: {{source: [com.example.shop], detail: {{n: [{{numeric: [">", 1]}}]}}}}, event_bus: orders}}
routes: [{{name: all, from: all, to: [queue, topic, events, keyed, google]}}]
destinations:
  queue: {{bus: {{sqs: "https://sqs.eu-central-1.amazonaws.com/123456789012/out"}}}}
  topic: {{bus: {{sns: "arn:aws:sns:eu-central-1:123456789012:out"}}}}
  events: {{bus: {{eventbridge: "arn:aws:events:eu-central-1:123456789012:event-bus/out"}}}}
  keyed:
    bus: {{sqs: "arn:aws:sqs:eu-central-1:123456789012:keyed", access_key_id: AKIAIOSFODNN7EXAMPLE, secret: aws-key}}
  google: {{bus: {{pubsub: projects/my-project/topics/out, secret: google-key}}}}
"""


@pytest.fixture(scope="module")
def stack() -> Stack:
    return stack_of(template(topology(CONFIG)))


def test_receive_may_read_the_queues_of_its_sources_and_keep_what_is_bad(stack: Stack) -> None:
    found = stack.rights("ReceiveRole")
    wanted = rights(("sqs", CONSUMING, (JOBS, STEPS, "BusUploadsQueue", "BusCloudQueue")))
    assert wanted <= found
    assert {each for each in found if each[0].startswith("sqs:")} == wanted | rights(
        ("sqs", ("SendMessage",), ("EventsQueue", "DeadLettersQueue"))
    )


def test_notify_may_publish_to_the_named_buses_and_to_no_other(stack: Stack) -> None:
    found = stack.rights("NotifyRole")
    place = "eu-central-1:123456789012"
    assert {each for each in found if each[1].startswith("arn:aws:")} == {
        ("sqs:SendMessage", f"arn:aws:sqs:{place}:out"),
        ("sns:Publish", f"arn:aws:sns:{place}:out"),
        ("events:PutEvents", f"arn:aws:events:{place}:event-bus/out"),
    }


def test_a_rule_leads_to_a_queue_of_its_own_which_takes_messages_of_that_rule_alone(stack: Stack) -> None:
    rules = stack.of_kind("Events::Rule")
    assert rules["BusUploadsRule"]["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["my-files"]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    assert rules["BusCloudRule"]["EventBusName"] == "orders"
    assert inside(rules["BusCloudRule"]["EventPattern"], "detail", "n") == [{"numeric": [">", 1]}]
    for name, policy in stack.of_kind("SQS::QueuePolicy").items():
        [statement] = listed(inside(policy["PolicyDocument"], "Statement"))
        rule = name.replace("Policy", "Rule")
        assert inside(statement, "Condition") == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [rule, "Arn"]}}}
        assert inside(statement, "Principal") == {"Service": "events.amazonaws.com"}
    assert len(rules) == len(stack.of_kind("SQS::QueuePolicy")) == 2


def test_what_sqs_gives_up_on_becomes_a_dead_letter(stack: Stack) -> None:
    queues = stack.of_kind("SQS::Queue")
    for name in ("BusUploadsQueue", "BusCloudQueue"):
        assert inside(queues[name]["RedrivePolicy"], "deadLetterTargetArn") == {
            "Fn::GetAtt": ["EventsUndelivered", "Arn"]
        }
        assert inside(queues[name], "VisibilityTimeout") == 600


def test_receive_gets_batches_of_each_queue_and_says_which_messages_are_to_come_again(stack: Stack) -> None:
    events = mappings_at(stack.of_kind("Serverless::Function")["ReceiveFunction"], "Events")
    found = [inside(each, "Properties") for each in events.values()]
    queues = [inside(each, "Queue") for each in found]
    assert JOBS in queues
    assert {"Fn::GetAtt": ["BusUploadsQueue", "Arn"]} in queues
    assert STEPS in queues
    assert len(queues) == 4
    assert all(int(str(inside(each, "BatchSize"))) <= 10 for each in found), "a FIFO queue hands out no more"
    assert all(inside(each, "FunctionResponseTypes") == ["ReportBatchItemFailures"] for each in found)


RECOVER: Final = """
sources:
  github: {provider: github, secret: github-secret, recover: {secret: read-token, repositories: acme/shop}}
routes: [{name: all, from: all, to: inbox}]
destinations: {inbox: {webhook: {url: https://example.com/in}}}
"""


def test_with_recovery_and_only_then_notify_may_read_the_token_and_send_to_a_queue_that_receive_takes() -> None:
    found = stack_of(template(topology(RECOVER)))
    plain = topology(RECOVER.replace(", recover: {secret: read-token, repositories: acme/shop}", ""))
    without = stack_of(template(plain))
    queue = "BusRecoveredB7cf7d5dQueue"
    secret = "secretsmanager:GetSecretValue"
    gained = found.rights("NotifyRole") - without.rights("NotifyRole")
    assert {action for action, _ in gained} == {"sqs:SendMessage", secret}
    assert ("sqs:SendMessage", queue) in gained
    assert ["read-token" in resource for action, resource in gained if action == secret] == [True]
    own = rights(("sqs", CONSUMING, (queue,)), ("sqs", ("SendMessage",), ("DeadLettersQueue",)))
    assert found.rights("ReceiveRole") - without.rights("ReceiveRole") == own
    variables = inside(found.of_kind("Serverless::Function")["NotifyFunction"], "Environment", "Variables")
    assert {"HOOKCHAIN_RECOVERED_QUEUE": {"Ref": queue}}.items() <= objects(variables)[0].items()
    assert found.resources["TransformFunction"]["DependsOn"] == "NotifyFunction"
    assert "It sends events that providers could not deliver" in text(topology(RECOVER))
    assert "Recovered" not in text(plain)


def test_without_such_sources_the_template_has_nothing_of_them() -> None:
    assert "Bus" not in text()
    assert "AWS::Events::Rule" not in text()


@pytest.mark.slow
def test_sam_and_cfn_lint_take_it(tmp_path: Path) -> None:
    assert linted(tmp_path / "template.yaml", text(topology(CONFIG))) == ""
    document: JsonObject = json.loads(sam.translated(text(topology(CONFIG))))
    mappings = stack_of(document).of_kind("Lambda::EventSourceMapping")
    assert JOBS in [each["EventSourceArn"] for each in mappings.values()]


def test_alarms_watch_the_queue_of_each_source(stack: Stack) -> None:
    alarms = stack.of_kind("CloudWatch::Alarm")
    watched = [to_json(alarms[name]["Metrics"]) for name in ("SourceMessagesAlarm", "SourceMessages2Alarm")]
    assert all(metrics.count('"MetricStat":') <= 10 for metrics in watched), "CloudWatch takes ten in one alarm"
    for queue in ("${Prefix}bus-uploads", "jobs", "steps.fifo", "${Prefix}bus-cloud"):
        assert f'"{queue}"' in "".join(watched)
