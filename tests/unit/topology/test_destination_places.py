"""The rights on tables and buckets that a deployment gives: on what the configuration names, and on nothing else."""

import json

import pytest

from deploy.gcp.graph import graph
from deploy.topology.buses import BucketPlace, TablePlace, written_places
from shared.jsontext import JsonObject
from tests.unit.aws.rendered import stack_of, template
from tests.unit.gcp.planned import CONFIG, by_key, deployment
from tests.unit.topology.configured import slices, topology

MEMBER = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
TABLE = "bigquery: {project: my-project, dataset: sales, table: orders, columns: {name: data.name}}"


def configured(*destinations: str) -> str:
    lines = "".join(f"\n  place-{number}: {{{each}}}" for number, each in enumerate(destinations))
    return CONFIG.replace("destinations:", f"destinations:{lines}", 1)


def added_grants(*destinations: str) -> set[str]:
    """Return the bindings of the plan that these destinations add, without the account that has them."""
    usual, resources = (by_key(graph(deployment(config))) for config in (CONFIG, configured(*destinations)))
    found = {key for key in resources.keys() - usual.keys() if key.startswith("grant ") and "secretAccessor" not in key}
    assert all(f" on project my-project to {MEMBER} if " in key for key in found)
    return {key.removeprefix("grant ").replace(f" on project my-project to {MEMBER}", "") for key in found}


def added_statements(*destinations: str) -> list[JsonObject]:
    """Return the statements about S3 that these destinations add to the role of notify."""
    usual, found = (_statements(config) for config in (CONFIG, configured(*destinations)))
    return [each for each in found if each not in usual]


def _statements(config: str) -> list[JsonObject]:
    return stack_of(template(topology(config))).statements("NotifyRole")


def test_a_table_may_be_written_and_its_dataset_seen() -> None:
    dataset = 'resource.name == "projects/my-project/datasets/sales"'
    table = 'resource.name == "projects/my-project/datasets/sales/tables/orders"'
    assert added_grants(TABLE) == {
        f"roles/bigquery.dataEditor if {table}",
        f"roles/bigquery.metadataViewer if {dataset}",
    }
    creating = TABLE.replace("columns:", "create: true, columns:")
    assert added_grants(creating) == {f"roles/bigquery.dataEditor if {table} || {dataset}"}


@pytest.mark.parametrize(
    ("key", "roles", "prefix"),
    [
        ("", {"objectCreator"}, ""),
        (", key: 'in/{{ delivery_id }}'", {"objectCreator"}, "in/"),
        (", key: 'in/a\"b/{{ data.n }}'", {"objectCreator", "objectViewer"}, "in/a"),
    ],
)
def test_objects_may_be_created_and_read_where_a_key_may_be_anothers(key: str, roles: set[str], prefix: str) -> None:
    only = f'resource.name.startsWith("projects/_/buckets/the-archive/objects/{prefix}")'
    google = added_grants(f"object: {{bucket: 'gs://the-archive'{key}}}")
    assert google == {f"roles/storage.{role} if {only}" for role in roles}


def test_on_aws_no_object_may_be_replaced_and_no_other_account_gets_one() -> None:
    place = "bucket: 's3://the-archive', region: eu-central-1"
    [put] = added_statements(f"object: {{{place}}}")
    arn = {"Fn::Sub": "arn:${AWS::Partition}:s3:::the-archive/*"}
    own = {"StringEquals": {"aws:ResourceAccount": {"Fn::Sub": "${AWS::AccountId}"}}}
    only_new = {"Null": {"s3:if-none-match": False}}
    assert put == {"Effect": "Allow", "Action": "s3:PutObject", "Resource": arn, "Condition": {**own, **only_new}}
    _, get = added_statements(f"object: {{{place}, key: 'in/{{{{ data.n }}}}'}}")
    below = {"Fn::Sub": "arn:${AWS::Partition}:s3:::the-archive/in/*"}
    assert get == {"Effect": "Allow", "Action": "s3:GetObject", "Resource": below, "Condition": own}


@pytest.mark.parametrize(
    "destination",
    [
        TABLE.replace("columns:", "secret: bq-key, columns:"),
        TABLE.replace("project: my-project", "project: another-project"),
        "object: {bucket: 'gs://the-archive', secret: archive-key}",
        "object: {bucket: 's3://the-archive', region: eu-central-1, access_key_id: AKID, secret: archive-key}",
    ],
)
def test_nothing_is_granted_for_a_place_that_is_another_projects_or_has_a_key_of_its_own(destination: str) -> None:
    assert added_grants(destination) == set()
    assert [each for each in added_statements(destination) if "s3:" in json.dumps(each)] == []


def test_a_place_is_there_once_however_many_destinations_write_to_it() -> None:
    same = "object: {bucket: 'gs://the-archive'}"
    assert written_places(slices(configured(same, same, TABLE))["notify"]) == (
        TablePlace("my-project", "sales", "orders", creates=False),
        BucketPlace(is_s3=False, bucket="the-archive", prefix="", reads=False),
    )
