"""The template: roles, queues, functions, tables, blobs, logs and alarms; and what other systems' buses add to it."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from deploy.aws import sam, template_names as names
from deploy.aws.resources.functions import RUNTIME
from deploy.aws.resources.stores import CREATE_REQUESTS, TABLES_OF
from deploy.bundle.bundle import bundle_files
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import ALARMS
from deploy.topology.topology import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_TRIES
from functions.transform.lambda_handler import CHAINS_ALIAS
from shared.cloud.aws import batches
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, to_json
from shared.ports import TOPIC_NAMES
from shared.settings import read_settings
from tests.running.processes import ROOT
from tests.unit.aws.rendered import Stack, inside, listed, named, objects, stack_of, template, text, walk, whole
from tests.unit.aws.template.parts import ITEMS, SECRET, log_rights, rights, tables
from tests.unit.aws.test_translation import linted
from tests.unit.gcp.planned import ASKING, CONFIG, DEVELOP, SUBSCRIBERS
from tests.unit.topology.configured import topology

CONSUMING = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
IDENTITIES = "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:*"


def test_receive_may_publish_events_create_blobs_and_read_its_secrets_and_nothing_else(stack: Stack) -> None:
    assert stack.rights("ReceiveRole") == rights(
        log_rights("Receive"),
        ("sqs", ("SendMessage",), ("EventsQueue",)),
        ("s3", ("PutObject",), ("Blobs/*",)),
        ("secretsmanager", ("GetSecretValue",), (f"{SECRET}shop-key-??????", f"{SECRET}signup-password-??????")),
    )


def test_receive_creates_blobs_and_replaces_none(stack: Stack) -> None:
    [blobs] = [each for each in stack.statements("ReceiveRole") if each["Action"] == "s3:PutObject"]
    assert blobs["Condition"] == {"Null": {"s3:if-none-match": False}}


def test_transform_may_take_events_publish_and_keep_the_journal_and_nothing_else(stack: Stack) -> None:
    assert stack.rights("TransformRole") == rights(
        log_rights("Transform"),
        ("sqs", CONSUMING, ("EventsQueue",)),
        ("sqs", ("SendMessage",), ("DeliveriesQueue", "DeadLettersQueue")),
        ("dynamodb", ITEMS, tables("events", "bodies", "dead-letters", "owners")),
        ("s3", ("DeleteObject", "GetObject", "PutObject"), ("Blobs/*",)),
        ("s3", ("ListBucket",), ("Blobs",)),
    )


TAP = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Prefix}tap-*"


def test_developers_may_use_their_queues_leases_and_copies_and_nothing_else() -> None:
    found = stack_of(template(topology(DEVELOP)))
    queue = ("CreateQueue", "DeleteMessage", "DeleteQueue", "GetQueueUrl", "ReceiveMessage", "TagQueue")
    assert found.rights("DeveloperRole") == rights(
        ("sqs", queue, (TAP,)),
        ("sqs", ("ListQueues",), ("*",)),
        ("dynamodb", ("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"), ("DocumentsTable",)),
        ("s3", ("GetObject",), ("Blobs/tap-*",)),
    )
    [leases] = [each for each in found.statements("DeveloperRole") if each["Resource"] == named_table("Documents")]
    assert leases["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["tap"]}}


def named_table(name: str) -> Json:
    return {"Fn::GetAtt": [f"{name}Table", "Arn"]}


def test_only_with_a_tap_may_transform_read_leases_and_send_to_queues_of_developers(stack: Stack) -> None:
    found = stack_of(template(topology(DEVELOP)))
    assert found.rights("TransformRole") - stack.rights("TransformRole") == rights(
        ("sqs", ("SendMessage",), (TAP,)),
        ("dynamodb", ("BatchGetItem", "GetItem", "Query"), ("DocumentsTable",)),
    )
    assert found.resources.keys() - stack.resources.keys() == {"DeveloperRole"}


def test_notify_may_take_deliveries_and_dead_letters_keep_the_ledger_and_mail_and_nothing_else(stack: Stack) -> None:
    undelivered = ("EventsUndelivered", "DeliveriesUndelivered", "DeadLettersUndelivered")
    assert stack.rights("NotifyRole") == rights(
        log_rights("Notify"),
        ("sqs", CONSUMING, ("DeliveriesQueue", "DeadLettersQueue", *undelivered)),
        ("sqs", ("SendMessage",), ("DeliveriesQueue", "DeadLettersQueue")),
        ("dynamodb", ITEMS, tables("deliveries", "destinations", "events", "bodies", "dead-letters", "grants")),
        ("s3", ("DeleteObject", "GetObject", "PutObject"), ("Blobs/*",)),
        ("s3", ("ListBucket",), ("Blobs",)),
        ("secretsmanager", ("GetSecretValue",), (f"{SECRET}sendgrid-api-key-??????",)),
        ("ses", ("SendEmail", "SendRawEmail"), (IDENTITIES,)),
    )


def test_with_telemetry_for_aws_transform_and_notify_may_send_spans(stack: Stack) -> None:
    actions = ("xray:PutSpans", "xray:PutSpansForIndexing", "xray:PutTraceSegments")
    for cloud, sent in (("aws", {(action, "*") for action in actions}), ("google_cloud", set())):
        found = stack_of(template(topology(f"{CONFIG}telemetry: {cloud}\n")))
        for role in ("TransformRole", "NotifyRole"):
            assert found.rights(role) - stack.rights(role) == sent
        assert found.rights("ReceiveRole") == stack.rights("ReceiveRole")


def test_where_a_route_may_wait_notify_may_send_events_and_still_comes_before_transform(stack: Stack) -> None:
    found = stack_of(template(topology(ASKING)))
    assert found.rights("NotifyRole") - stack.rights("NotifyRole") == {("sqs:SendMessage", "EventsQueue")}
    variables = inside(found.of_kind("Serverless::Function")["NotifyFunction"], "Environment", "Variables")
    assert objects(variables)[0]["HOOKCHAIN_EVENTS_QUEUE"] == {"Ref": "EventsQueue"}
    assert found.resources["TransformFunction"]["DependsOn"] == "NotifyFunction"
    assert "DependsOn" not in found.resources["NotifyFunction"]
    assert "It sends events again, for routes that waited" in text(topology(ASKING))


def test_the_function_for_subscribers_reads_what_it_shows_and_publishes_deliveries_alone() -> None:
    found = stack_of(template(topology(SUBSCRIBERS)))
    assert found.rights("SubscribeRole") == rights(
        log_rights("Subscribe"),
        ("sqs", ("SendMessage",), ("DeliveriesQueue",)),
        ("dynamodb", ITEMS, tables("documents", "deliveries", "destinations", "grants")),
        ("dynamodb", ("BatchGetItem", "GetItem", "Query"), tables("events", "bodies", "dead-letters")),
        ("s3", ("GetObject",), ("Blobs/*",)),
        ("s3", ("ListBucket",), ("Blobs",)),
        ("secretsmanager", ("GetSecretValue",), (f"{SECRET}subscribers-key-??????",)),
    )
    own = found.of_kind("Serverless::Function")["SubscribeFunction"]
    assert (own["Timeout"], inside(own, "FunctionUrlConfig", "AuthType")) == (30, "NONE")
    assert found.resources["SubscribeFunction"]["DependsOn"] == "NotifyFunction"
    assert found.rights("NotifyRole") >= rights(("dynamodb", ITEMS, tables("documents")))
    assert "/portal" in str(inside(template(topology(SUBSCRIBERS)), "Outputs", "SubscribeUrl", "Description"))


def test_a_configuration_that_mails_by_smtp_alone_may_not_use_ses() -> None:
    by_smtp = CONFIG.replace("email: {to: [a@example.com]}", "email: {to: [a@example.com], via: smtp}")
    assert not [action for action, _ in stack_of(template(topology(by_smtp))).rights("NotifyRole") if "ses:" in action]


def test_lambda_alone_assumes_the_roles_and_none_reaches_everything_or_has_a_policy_of_awss(stack: Stack) -> None:
    for role, found in stack.of_kind("IAM::Role").items():
        [trust] = objects(inside(found, "AssumeRolePolicyDocument", "Statement"))
        principal = {"Service": "lambda.amazonaws.com"}
        assert trust == {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        assert "ManagedPolicyArns" not in found
        for action, on in stack.rights(role):
            assert on not in {"*", ""}
            assert "*" not in action
    assert not [each for each in stack.of_kind("Serverless::Function").values() if "Policies" in each]


def test_secrets_are_named_and_not_made_so_that_no_template_has_a_value(stack: Stack) -> None:
    assert not stack.of_kind("SecretsManager::Secret")
    assert "GetSecretValue" in text()


def test_each_queue_gives_up_after_a_hundred_tries_of_sixteen_hours_into_a_queue_of_its_own(stack: Stack) -> None:
    """Nobody postpones the messages of a function that cannot start: each try takes the visibility timeout."""
    found = stack.of_kind("SQS::Queue")
    assert len(found) == 6
    for name, properties in found.items():
        assert properties["SqsManagedSseEnabled"] is True
        if name.endswith("Queue"):
            policy = properties["RedrivePolicy"]
            assert inside(policy, "maxReceiveCount") == 100
            assert 100 * whole(properties["VisibilityTimeout"]) > 16 * 3_600
            assert named(inside(policy, "deadLetterTargetArn")) == f"{name.removesuffix('Queue')}Undelivered"
            assert properties["MessageRetentionPeriod"] == 7 * 86_400
        else:
            assert "RedrivePolicy" not in properties
            assert properties["MessageRetentionPeriod"] == 14 * 86_400


def test_each_queue_is_taken_by_one_function_whose_bad_messages_hold_no_other_back(stack: Stack) -> None:
    taken: list[str] = []
    for properties in stack.of_kind("Serverless::Function").values():
        for each in mappings_at(properties, "Events").values():
            if each["Type"] == "SQS":
                assert inside(each, "Properties", "FunctionResponseTypes") == ["ReportBatchItemFailures"]
                assert 1 <= whole(inside(each, "Properties", "BatchSize")) <= 10
                assert inside(each, "Properties", "ScalingConfig", "MaximumConcurrency")
                taken.append(named(inside(each, "Properties", "Queue")))
    assert sorted(taken) == sorted(stack.of_kind("SQS::Queue"))


def test_a_batch_of_large_bodies_fits_the_memory() -> None:
    large = CONFIG.replace("secret: shop-key}", "secret: shop-key}, max_body_bytes: 6000000")
    found = stack_of(template(topology(large))).of_kind("Serverless::Function")["TransformFunction"]
    assert inside(found, "Events", "Events", "Properties", "BatchSize") == 7


def test_the_sweep_is_called_each_minute_and_once(stack: Stack) -> None:
    notify = stack.of_kind("Serverless::Function")["NotifyFunction"]
    sweep = inside(notify, "Events", "Sweep", "Properties")
    assert inside(sweep, "ScheduleExpression") == "rate(1 minute)"
    assert inside(sweep, "Input") == '{"sweep": true}'
    assert inside(sweep, "RetryPolicy", "MaximumRetryAttempts") == 0


def test_the_runtime_is_the_one_that_the_pins_are_for() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [pinned] = re.findall(r"--python-version (\S+) --python-platform linux", makefile)
    assert f"python{pinned}" == RUNTIME
    assert inside(template(), "Globals", "Function", "Runtime") == RUNTIME
    assert inside(template(), "Globals", "Function", "Architectures") == [{"Ref": "Architecture"}]
    assert inside(template(), "Parameters", "Architecture", "Default") == "arm64"


@pytest.mark.parametrize("function", ["receive", "transform", "notify"])
def test_a_functions_settings_name_what_it_may_use(stack: Stack, function: str) -> None:
    own = stack.of_kind("Serverless::Function")[names.function(function)]
    variables = {
        **objects(inside(template(), "Globals", "Function", "Environment", "Variables"))[0],
        **objects(inside(own, "Environment", "Variables"))[0],
    }
    lambda_itself = {"AWS_REGION": "eu-west-1", "AWS_LAMBDA_FUNCTION_NAME": function}
    settings = read_settings(lambda_itself | {name: named(value) for name, value in variables.items()})
    declared = next(each for each in FUNCTIONS if each.name == function)
    assert settings.is_aws
    assert settings.queues == {topic: names.queue(topic) for topic in declared.publishes}
    assert (settings.topic_prefix, settings.bucket) == ("Prefix", "Blobs")
    assert settings.table_prefix == ("Prefix" if declared.stores else "")
    assert settings.email_from == ("EmailFrom" if function == "notify" else None)


def test_tables_expire_can_be_restored_and_outlive_the_stack(stack: Stack) -> None:
    found = stack.of_kind("DynamoDB::Table")
    assert len(found) == len(CREATE_REQUESTS)
    for name, properties in found.items():
        assert stack.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert stack.resources[name]["UpdateReplacePolicy"] == "Retain"
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_each_table_is_part_of_a_store() -> None:
    assert sorted(table for tables in TABLES_OF.values() for table in tables) == sorted(CREATE_REQUESTS)


def test_large_bodies_are_private_encrypted_and_kept_as_long_as_needed(stack: Stack) -> None:
    bucket = stack.of_kind("S3::Bucket")["Blobs"]
    assert stack.resources["Blobs"]["DeletionPolicy"] == "RetainExceptOnCreate"
    blocked = mapping_at(bucket, "PublicAccessBlockConfiguration")
    assert len(blocked) == 4
    assert all(value is True for value in blocked.values())
    [rule] = objects(inside(bucket, "LifecycleConfiguration", "Rules"))
    assert rule["ExpirationInDays"] == 59
    assert "AES256" in str(bucket["BucketEncryption"])
    [statement] = objects(inside(stack.of_kind("S3::BucketPolicy")["BlobsPolicy"], "PolicyDocument", "Statement"))
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}
    assert [named(each) for each in listed(statement["Resource"])] == ["Blobs", "Blobs/*"]


def test_all_names_begin_with_the_prefix() -> None:
    given: list[Json] = [
        value
        for each in walk(template())
        for key, value in each.items()
        if re.fullmatch(r"[A-Z][A-Za-z]+Name", key)
        if key not in {"MetricName", "AttributeName", "IndexName", "PolicyName", "LogGroupName"} and not _is_ref(value)
    ]
    assert len(given) > 20
    assert not [each for each in given if not str(inside(each, "Fn::Sub")).startswith("${Prefix}")]
    assert inside(template(), "Parameters", "Prefix", "Default") == "hookchain-"


def _is_ref(value: Json) -> bool:
    return isinstance(value, dict) and "Ref" in value


def test_a_later_function_is_updated_first(stack: Stack) -> None:
    assert stack.resources["ReceiveFunction"]["DependsOn"] == "TransformFunction"
    assert stack.resources["TransformFunction"]["DependsOn"] == "NotifyFunction"


def test_a_configuration_can_size_a_function() -> None:
    sizes = "\naws:\n  receive: {max_concurrency: 50}\n  transform: {memory: 2048}\n  notify: {max_concurrency: 3}\n"
    parameters = inside(template(topology(CONFIG + sizes)), "Parameters")
    found = {name: inside(parameters, name, "Default") for name in ("ReceiveConcurrency", "NotifyConcurrency")}
    assert found == {"ReceiveConcurrency": 50, "NotifyConcurrency": 3}
    usual = inside(template(), "Parameters")
    assert inside(usual, "ReceiveConcurrency", "Default") == 0
    assert inside(usual, "NotifyConcurrency", "Default") == 20


def test_chains_are_called_by_an_alias_under_which_transform_takes_no_event(stack: Stack) -> None:
    [alias] = stack.of_kind("Lambda::Alias").values()
    assert alias == {"Name": CHAINS_ALIAS, "FunctionName": {"Ref": "TransformFunction"}, "FunctionVersion": "$LATEST"}


def test_a_message_is_tried_as_often_as_the_functions_wait_for() -> None:
    assert MOST_TRIES == batches.MAX_RECEIVES
    assert (FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) == (batches.MIN_WAIT_SECONDS, batches.MAX_WAIT_SECONDS)


@pytest.mark.slow
def test_each_function_has_the_handler_that_its_bundle_has(stack: Stack) -> None:
    for name in ("receive", "transform", "notify"):
        own = stack.of_kind("Serverless::Function")[names.function(name)]
        module, _, function = str(own["Handler"]).rpartition(".")
        place = PurePosixPath(*module.split(".")).with_suffix(".py")
        assert f"def {function}(" in bundle_files(ROOT, name, "aws")[place].read_text()
        assert own["CodeUri"] == f"{name}/"


def test_the_topics_are_those_of_the_ports(stack: Stack) -> None:
    queues = {str(inside(each, "QueueName", "Fn::Sub")) for each in stack.of_kind("SQS::Queue").values()}
    wanted = {f"${{Prefix}}{topic}{end}" for topic in TOPIC_NAMES for end in ("", "-undelivered")}
    assert queues == wanted


def test_what_can_have_a_tag_has_the_deployments(stack: Stack) -> None:
    tagged = ("SQS::Queue", "DynamoDB::Table", "S3::Bucket", "IAM::Role", "Logs::LogGroup", "SNS::Topic")
    for kind in (*tagged, "CloudWatch::Alarm"):
        for name, properties in stack.of_kind(kind).items():
            assert properties["Tags"] == [{"Key": "hookchain", "Value": {"Ref": "Prefix"}}], name
    assert inside(template(), "Globals", "Function", "Tags") == {"hookchain": {"Ref": "Prefix"}}


def test_each_function_has_its_own_log_which_is_kept_for_days(stack: Stack) -> None:
    for name, properties in stack.of_kind("Serverless::Function").items():
        log = f"{name.removesuffix('Function')}Log"
        assert inside(properties, "LoggingConfig", "LogGroup") == {"Ref": log}
        assert stack.of_kind("Logs::LogGroup")[log]["RetentionInDays"] == {"Ref": "LogDays"}


def test_each_alarm_of_the_topology_is_mailed_and_names_what_exists(stack: Stack) -> None:
    found = stack.of_kind("CloudWatch::Alarm")
    assert found.keys() == {f"{names.logical(each.name)}Alarm" for each in ALARMS}
    own = {f"${{Prefix}}{each.name}" for each in FUNCTIONS}
    own |= {str(inside(each, "QueueName", "Fn::Sub")) for each in stack.of_kind("SQS::Queue").values()}
    for alarm in ALARMS:
        properties = found[f"{names.logical(alarm.name)}Alarm"]
        assert properties["Threshold"] == alarm.bound
        assert properties["AlarmActions"] == {"Fn::If": ["HasEmailAddress", [{"Ref": "AlarmTopic"}], []]}
        metrics = [each for each in objects(properties["Metrics"]) if "MetricStat" in each]
        assert 1 <= len(metrics) <= 10, "CloudWatch takes ten in one alarm"
        for metric in metrics:
            [dimension] = objects(inside(metric, "MetricStat", "Metric", "Dimensions"))
            assert str(inside(dimension, "Value", "Fn::Sub")) in own
        assert "{" not in str(properties["AlarmDescription"]).replace("{'Fn::Sub'", "").replace("${Prefix}", "")
    assert found["SweepAlarm"]["TreatMissingData"] == "breaching", "an alarm too if nothing is written any more"


def test_a_queue_that_gets_nowhere_counts_as_old(stack: Stack) -> None:
    """SQS leaves a message that was received three times out of the age of the oldest one."""
    metrics = objects(stack.of_kind("CloudWatch::Alarm")["OldestMessageAlarm"]["Metrics"])
    assert "IF(FILL(m2, 0) > 0 AND FILL(m3, 0) < 1, 301, 0)" in str(metrics[0]["Expression"])
    measured = [
        (inside(each, "MetricStat", "Metric", "MetricName"), inside(each, "MetricStat", "Stat"))
        for each in metrics[1:4]
    ]
    assert measured == [
        ("ApproximateAgeOfOldestMessage", "Maximum"),
        ("ApproximateNumberOfMessagesNotVisible", "Minimum"),
        ("NumberOfMessagesDeleted", "Sum"),
    ]


def test_what_notify_did_with_deliveries_is_counted_by_destination_and_outcome(stack: Stack) -> None:
    counted = stack.of_kind("Logs::MetricFilter")["DeliveriesMetric"]
    assert counted["LogGroupName"] == {"Ref": "NotifyLog"}
    assert '($.outcome = "deferred")' in str(counted["FilterPattern"])
    assert "finished" not in str(counted["FilterPattern"]), "a copy of a message is no delivery"
    [made] = objects(counted["MetricTransformations"])
    assert made["Dimensions"] == [
        {"Key": "destination", "Value": "$.destination"},
        {"Key": "outcome", "Value": "$.outcome"},
    ]
    assert "DefaultValue" not in made, "CloudWatch rejects one beside dimensions"


def test_values_of_the_log_are_measured_by_destination(stack: Stack) -> None:
    measured = stack.of_kind("Logs::MetricFilter")["OldestDeliveryMetric"]
    assert (
        measured["FilterPattern"] == '{ ($.function = "notify") && ($.oldest_seconds >= 0) && ($.destination = "*") }'
    )
    [made] = objects(measured["MetricTransformations"])
    assert (made["MetricValue"], made["Unit"]) == ("$.oldest_seconds", "Seconds")
    assert made["Dimensions"] == [{"Key": "destination", "Value": "$.destination"}]


JOBS: Final = "arn:aws:sqs:eu-central-1:123456789012:jobs"
STEPS: Final = "arn:aws:sqs:eu-central-1:123456789012:steps.fifo"
BUSES_CONFIG: Final = f"""
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
def bus_stack() -> Stack:
    return stack_of(template(topology(BUSES_CONFIG)))


def test_receive_may_read_the_queues_of_its_sources_and_keep_what_is_bad(bus_stack: Stack) -> None:
    found = bus_stack.rights("ReceiveRole")
    wanted = rights(("sqs", CONSUMING, (JOBS, STEPS, "BusUploadsQueue", "BusCloudQueue")))
    assert wanted <= found
    assert {each for each in found if each[0].startswith("sqs:")} == wanted | rights(
        ("sqs", ("SendMessage",), ("EventsQueue", "DeadLettersQueue"))
    )


def test_notify_may_publish_to_the_named_buses_and_to_no_other(bus_stack: Stack) -> None:
    found = bus_stack.rights("NotifyRole")
    place = "eu-central-1:123456789012"
    assert {each for each in found if each[1].startswith("arn:aws:")} == {
        ("sqs:SendMessage", f"arn:aws:sqs:{place}:out"),
        ("sns:Publish", f"arn:aws:sns:{place}:out"),
        ("events:PutEvents", f"arn:aws:events:{place}:event-bus/out"),
    }


def test_a_rule_leads_to_a_queue_of_its_own_which_takes_messages_of_that_rule_alone(bus_stack: Stack) -> None:
    rules = bus_stack.of_kind("Events::Rule")
    assert rules["BusUploadsRule"]["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["my-files"]}, "object": {"key": [{"prefix": "in/"}]}},
    }
    assert rules["BusCloudRule"]["EventBusName"] == "orders"
    assert inside(rules["BusCloudRule"]["EventPattern"], "detail", "n") == [{"numeric": [">", 1]}]
    for name, policy in bus_stack.of_kind("SQS::QueuePolicy").items():
        [statement] = listed(inside(policy["PolicyDocument"], "Statement"))
        rule = name.replace("Policy", "Rule")
        assert inside(statement, "Condition") == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [rule, "Arn"]}}}
        assert inside(statement, "Principal") == {"Service": "events.amazonaws.com"}
    assert len(rules) == len(bus_stack.of_kind("SQS::QueuePolicy")) == 2


def test_what_sqs_gives_up_on_becomes_a_dead_letter(bus_stack: Stack) -> None:
    queues = bus_stack.of_kind("SQS::Queue")
    for name in ("BusUploadsQueue", "BusCloudQueue"):
        assert inside(queues[name]["RedrivePolicy"], "deadLetterTargetArn") == {
            "Fn::GetAtt": ["EventsUndelivered", "Arn"]
        }
        assert inside(queues[name], "VisibilityTimeout") == 600


def test_receive_gets_batches_of_each_queue_and_says_which_messages_are_to_come_again(bus_stack: Stack) -> None:
    events = mappings_at(bus_stack.of_kind("Serverless::Function")["ReceiveFunction"], "Events")
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
    assert linted(tmp_path / "template.yaml", text(topology(BUSES_CONFIG))) == ""
    document: JsonObject = json.loads(sam.translated(text(topology(BUSES_CONFIG))))
    mappings = stack_of(document).of_kind("Lambda::EventSourceMapping")
    assert JOBS in [each["EventSourceArn"] for each in mappings.values()]


def test_alarms_watch_the_queue_of_each_source(bus_stack: Stack) -> None:
    alarms = bus_stack.of_kind("CloudWatch::Alarm")
    watched = [to_json(alarms[name]["Metrics"]) for name in ("SourceMessagesAlarm", "SourceMessages2Alarm")]
    assert all(metrics.count('"MetricStat":') <= 10 for metrics in watched), "CloudWatch takes ten in one alarm"
    for queue in ("${Prefix}bus-uploads", "jobs", "steps.fifo", "${Prefix}bus-cloud"):
        assert f'"{queue}"' in "".join(watched)
