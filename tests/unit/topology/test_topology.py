"""The topology states what a configuration needs, once; Google's resources follow from it."""

import json

import pytest

from deploy.config.compiler import FUNCTIONS as COMPILED, OPTIONAL
from deploy.gcp.graph import graph
from deploy.gcp.resources.stores import database
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import CHARTS, LOG_METRICS
from deploy.topology.places import BucketPlace, TablePlace, written_places
from deploy.topology.topology import FURTHER_METRICS, TOPICS, find_topology
from shared.jsontext import JsonObject
from shared.logs import FIELDS
from shared.ports import EVENTS
from shared.waiting_route import RETRY_SECONDS
from tests.unit.aws.rendered import stack_of, template
from tests.unit.gcp.planned import ASKING, CONFIG, TARGET, by_key, deployment
from tests.unit.topology.configured import slices, topology


def test_each_function_has_a_slice_and_each_slice_a_function() -> None:
    assert tuple(each.name for each in FUNCTIONS) == (*COMPILED, *OPTIONAL)
    assert tuple(each.name for each in FUNCTIONS if each.is_optional) == OPTIONAL


def test_each_topic_that_is_published_is_taken_by_one_function() -> None:
    taken = [each.topic for function in FUNCTIONS for each in function.subscriptions]
    published = {topic for function in FUNCTIONS for topic in function.publishes}
    assert sorted(taken) == sorted(published) == sorted(each.name for each in TOPICS)


def test_of_a_usual_deployment_only_receive_is_public_and_it_can_only_publish_events_and_create_blobs() -> None:
    [public] = [each for each in FUNCTIONS if each.is_public and not each.is_optional]
    assert (public.name, public.publishes, public.blobs, public.stores) == ("receive", (EVENTS,), "create", ())
    assert not public.subscriptions


def test_a_metric_is_of_lines_of_a_function_by_fields_that_its_lines_have() -> None:
    for metric in (*LOG_METRICS, *FURTHER_METRICS.values()):
        assert metric.function in {each.name for each in FUNCTIONS}
        assert {*metric.by, metric.value or "outcome"} <= FIELDS
    for chart in CHARTS:
        assert chart.metric in LOG_METRICS
        assert {*chart.outcomes} <= {*chart.metric.outcomes}


@pytest.mark.parametrize("section", ["subscribers", "hooks"])
def test_what_keeps_documents_gives_notify_their_store_and_google_cloud_lets_them_expire(section: str) -> None:
    compiled = slices()
    with_them = find_topology({**compiled, "notify": {**compiled["notify"], section: {}}}, {})
    assert [each.name for each in with_them.functions if "documents" in each.function.stores] == ["notify"]
    assert "documents" not in topology().stores
    without, added = database(TARGET, topology().stores), database(TARGET, with_them.stores)
    assert {each.key for each in added} - {each.key for each in without} == {
        "expiry documents",
        *(f"exemption documents.{field}" for field in ("text", "mark", "expire_at")),
    }


def test_the_slowest_destination_decides_how_long_notify_may_take() -> None:
    timeouts = {each.name: each.timeout_seconds for each in topology().functions}
    assert timeouts == {"receive": 30, "transform": 60, "notify": 75}
    assert {each.timeout_seconds for each in topology(CONFIG.replace("45", "5")).functions} == {30, 60}


def test_a_function_gets_those_of_its_variables_that_are_set_and_no_others() -> None:
    found = topology(environ={"EMAIL_FROM": "shop@example.com", "SMTP_URL": "", "HOME": "/root"}).functions
    assert {each.name: each.variables for each in found} == {
        "receive": {},
        "transform": {},
        "notify": {"EMAIL_FROM": "shop@example.com"},
    }


@pytest.mark.parametrize(("bytes_", "receive", "later"), [(1_000_000, 80, 40), (4_000_000, 33, 11)])
def test_the_calls_at_once_fit_the_memory(bytes_: int, receive: int, later: int) -> None:
    config = CONFIG.replace("secret: shop-key}", f"secret: shop-key}}, max_body_bytes: {bytes_}")
    found = {each.name: each.concurrency(512) for each in topology(config).functions}
    assert found == {"receive": receive, "transform": later, "notify": later}


@pytest.mark.parametrize(
    ("steps", "may_wait"),
    [
        ("[{drop: [data.a]}]", False),
        ("[{deduplicate: {key: data.id, window: 1h}}]", False),
        ("[{call: {url: https://api.example}}]", True),
        ("[{chain: asking}]", True),
    ],
)
def test_a_route_may_wait_if_an_event_can_reach_a_step_that_asks_another_system(steps: str, may_wait: bool) -> None:
    chains = "chains: {asking: [{call: {url: https://api.example}}]}\n"
    config = CONFIG.replace("to: [inbox, slow]", f"steps: {steps}, to: [inbox, slow]") + chains
    assert ("waiting_routes" in slices(config)["notify"]) == may_wait


def test_large_bodies_are_kept_while_a_route_waits_too() -> None:
    more = topology(ASKING).blobs_seconds - topology().blobs_seconds
    assert more == 1.5 * sum(RETRY_SECONDS) + 86_400
    shorter = topology(ASKING.replace("into: data.a", "into: data.a, retry: [10, 20]"))
    assert shorter.blobs_seconds - topology().blobs_seconds == pytest.approx(3_600 + 86_400)


def test_large_bodies_are_kept_as_long_as_anything_may_need_them() -> None:
    """A replay after 12 h, ten retries each of which a receiver delays by a day, the last attempt, a dead letter."""
    assert topology().blobs_seconds == (0.5 + 1.2 * 10 + 1 + 45) * 86_400


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
