"""Settings that cannot work are rejected when the configuration is loaded, with the rule that they break."""

from typing import Final

import pytest
from pydantic import ValidationError

from deploy.config.sections.kinds import settings_model
from shared.jsontext import Json, JsonObject

TWILIO: Final[JsonObject] = {"account": "AC" + "a" * 32, "secret": "k", "from": "+15005550006", "to": "+447700900123"}
WORKFLOW: Final[JsonObject] = {"secret": "k", "repository": "o/r", "workflow": "deploy.yml", "ref": "main"}
TRIGGER: Final[JsonObject] = {"project": "p", "trigger": "deploy"}
S3: Final[JsonObject] = {"bucket": "s3://the-archive", "region": "eu-central-1"}
SQS: Final[JsonObject] = {"sqs": "arn:aws:sqs:eu-central-1:123456789012:orders"}
TOPIC: Final[JsonObject] = {"pubsub": "projects/example-project/topics/orders"}
ROW: Final[JsonObject] = {"url_secret": "db", "table": "orders", "columns": {"name": "data.name"}, "create": True}
SHEET: Final[JsonObject] = {"spreadsheet": "1ExampleOfASpreadsheet", "sheet": "S", "columns": {"Name": "data.name"}}
TABLE: Final[JsonObject] = {"project": "p", "dataset": "d", "table": "t", "columns": {"a": "data"}}
REPORT: Final[JsonObject] = {"markdown": "x", "folder": "1ExampleOfAFolder"}
URL: Final[JsonObject] = {"url": "https://crm.example.com/in"}

REJECTED: list[tuple[str, JsonObject, JsonObject, str]] = [
    ("slack", {"secret": "k"}, {"mention": ["<!channel>"]}, "pattern"),
    ("slack", {"secret": "k"}, {"text": "{{ data. }}"}, "expected name"),
    ("slack", {"secret": "k"}, {"link": "{{ nothing }}"}, "did you mean"),
    ("slack", {}, {"secret": "https://hooks.slack.com/services/T/B/x"}, "secret"),
    ("discord", {"secret": "k"}, {"mention": ["@everyone"]}, "pattern"),
    ("google_chat", {"secret": "k"}, {"mention": ["users/all"]}, "pattern"),
    ("teams", {"secret": "k"}, {"mention": ["</at>"]}, "pattern"),
    ("telegram", {"secret": "k"}, {"chat": "me/../you"}, "pattern"),
    ("telegram", {"secret": "k"}, {}, "one of `chat` and `to`"),
    ("ntfy", {}, {}, "one of `topic`, `topic_secret` and `to`"),
    ("ntfy", {"topic": "a"}, {"topic_secret": "b"}, "one of `topic`, `topic_secret` and `to`"),
    ("ntfy", {"topic": "a"}, {"username": "u"}, "`username` needs `secret`"),
    ("ntfy", {"topic": "a"}, {"priority": 6}, "one of 1, 2, 3, 4, 5"),
    ("ntfy", {"topic": "a"}, {"server": "ntfy.example.com"}, "https://"),
    ("ntfy", {"topic": "a"}, {"sound": "bell"}, "Extra inputs"),
    ("pagerduty", {"secret": "k"}, {"action": "close"}, "one of trigger, acknowledge"),
    ("pagerduty", {"secret": "k"}, {"action": "{{ data.action }}"}, "dedup_key: must be set"),
    ("sms", TWILIO, {"to": "{{ data.phone }}"}, "needs `allow_recipients`"),
    ("sms", TWILIO, {"to": "07700 900123"}, "must be a number such as"),
    ("sms", TWILIO, {"max_characters": 1_601}, "less than or equal to 1600"),
    ("push", {"project": "my-shop"}, {"token": "a", "topic": "b"}, "exactly one of"),
    ("push", {"project": "my-shop", "topic": "a"}, {"link": "{{ data.url }}"}, "must begin with a scheme"),
    ("push", {"project": "my-shop", "topic": "a"}, {"link": "myapp://{{ event }}"}, "there is no 'event'"),
    ("push", {"project": "my-shop", "topic": "a"}, {"data": {"google.a": "b"}}, "must not be"),
    ("push", {"project": "my-shop", "topic": "a"}, {"ttl": "29d"}, "less than or equal to"),
    ("github", WORKFLOW, {"event_type": "order"}, "needs either `workflow` with `ref`, or `event_type`"),
    ("github", WORKFLOW, {"ref": None}, "has `ref` and `inputs`"),
    ("github", WORKFLOW, {"ref": "{{ data.ref }}"}, "needs `allow_refs`"),
    ("github", WORKFLOW, {"workflow": "{{ data.workflow }}"}, "pattern"),
    ("github", WORKFLOW, {"inputs": {"{{ data.name }}": "x"}}, "pattern"),
    ("github", WORKFLOW, {"repository": "o/r/../x"}, "pattern"),
    ("gitlab", {"secret": "k", "ref": "main"}, {"project": "{{ data.project }}"}, "pattern"),
    ("jenkins", {"secret": "k", "url": "https://j.example", "username": "u"}, {"job": "/a"}, "pattern"),
    ("cloud_build", {"project": "p"}, {}, "needs `project` and `trigger`, or `webhook_secret`"),
    ("cloud_build", TRIGGER, {"substitutions": {"version": "x"}}, "capital letters"),
    ("cloud_build", TRIGGER, {"webhook_secret": "k"}, "leave out the other settings"),
    ("object", {}, {"bucket": "the-archive"}, "pattern"),
    ("object", {}, {"bucket": "s3://the-archive"}, "`region` is missing"),
    ("object", S3, {"secret": "k"}, "belong together"),
    ("object", S3, {"format": "csv"}, "go together"),
    ("object", S3, {"format": "csv", "columns": {"a": "date.x"}}, "there is no 'date'"),
    ("object", S3, {"key": "{{ name }}"}, "there is no 'name'"),
    ("object", S3, {"metadata": {"A b": "x"}}, "pattern"),
    ("object", S3, {"content_type": "x\r\ny"}, "must be a content type"),
    ("bus", TOPIC, SQS, "must name one of"),
    ("bus", {}, {"pubsub": "projects/p/topics/../x"}, "full name of a topic"),
    ("bus", {}, {"sns": SQS["sqs"]}, "a topic's ARN"),
    ("bus", {}, {"sqs": "https://sqs.eu-central-1.amazonaws.com@evil.example.com/123456789012/q"}, "ARN"),
    ("bus", TOPIC, {"group": "a"}, "group: has no effect on pubsub"),
    ("bus", SQS, {"secret": "k"}, "belong together"),
    ("bus", SQS, {"attributes": {"a": "1", "b": "2", "c": "3"}}, "SNS and SQS take 2"),
    ("bus", TOPIC, {"attributes": {"ce-id": "1"}}, "attributes: a name"),
    ("sheet", SHEET, {"spreadsheet": "https://evil.example/d/1ExampleOfASpreadsheet"}, "id or the URL"),
    ("sheet", SHEET, {"columns": {"Name": "data.name >"}}, "not JMESPath"),
    ("sheet", SHEET, {"columns": {"Delivery": "data.name"}}, "name another one"),
    ("sheet", SHEET, {"columns": {" Name": "data.name"}}, "without spaces"),
    ("document", REPORT, {"template": "1ExampleOfATemplate"}, "one of `template` and `markdown`"),
    ("document", {"template": "1ExampleOfATemplate"}, {"folder": "1ExampleOfAFolder"}, "needs `values`"),
    ("document", REPORT, {"append_to": "1ExampleOfADocument"}, "leave out `folder`"),
    ("document", {"markdown": "x"}, {}, "needs `folder`"),
    ("bigquery", TABLE, {"columns": {"a": "data", "A": "data"}}, "is there twice"),
    ("bigquery", TABLE, {"columns": {"a": {"value": "data", "type": "datetime"}}}, "'text'"),
    ("bigquery", TABLE, {"table": "orders/insertAll"}, "pattern"),
    ("sql", ROW, {"url_secret": None}, "must name the database: set `url_secret`, or `driver`"),
    ("sql", ROW, {"host": "h"}, "`url_secret` has the database's place; take `host` out"),
    ("sql", ROW, {"url_secret": None, "driver": "sqlite", "database": "f", "user": "u"}, "is a file: take `user` out"),
    ("sql", ROW, {"table": 'o"rders'}, "must be a name of at most 63 bytes"),
    ("sql", ROW, {"columns": {"a\0": "data"}}, "must be a name of at most 63 bytes"),
    ("sql", ROW, {"columns": {"a": "data", "A": "data"}}, "'a' is there twice"),
    ("sql", ROW, {"key": "nothing"}, "`columns` has no 'nothing'"),
    ("sql", ROW, {"newer_by": "name"}, "newer_by: must be a column besides those of `key`"),
    ("sql", ROW, {"delivery_id": "name"}, "column 'name' is for the delivery's id"),
    ("sql", ROW, {"authorities": "nothing"}, "must hold certificates in PEM"),
    ("webhook", URL, {"headers": {"x-a": "a\r\nb: c"}}, "headers"),
    ("webhook", URL, {"headers": {"x-a": "{{ type }}\nx: y"}}, "headers"),
    ("webhook", URL, {"headers": {"Content-Length": "1"}}, "headers"),
    ("webhook", URL, {"headers": {"webhook-id": "mine"}}, "set by Hookchain itself"),
    ("webhook", URL, {"body": "{}", "method": "GET"}, "a GET request has none"),
    ("webhook", URL, {"body": "{}", "format": "cloudevents"}, "the body is the event"),
    ("webhook", URL, {"fields": {"a": 1}, "method": "GET"}, "no body to add them to"),
    ("webhook", URL, {"fields": {"a": 1}, "format": "text"}, "cannot be added to a text"),
    ("webhook", URL, {"format": "xml", "root": "1 2"}, "must be a name for an XML element"),
    ("webhook", URL, {"signature": {"header": "x-s", "secret": "s", "when": {"header.a": "b"}}}, "take them out"),
    ("webhook", URL, {"signature": {"at": "data.signature", "secret": "s"}, "format": "xml"}, "is a place in the body"),
]


@pytest.mark.parametrize(("kind", "settings", "changes", "rule"), REJECTED)
def test_settings_that_cannot_work_are_rejected(
    kind: str, settings: JsonObject, changes: JsonObject, rule: str
) -> None:
    written: dict[str, Json] = {**settings, **changes}
    with pytest.raises(ValidationError) as raised:
        settings_model(kind).model_validate(written)
    assert rule in str(raised.value)
