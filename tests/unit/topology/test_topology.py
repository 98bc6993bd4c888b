"""The topology states what a configuration needs, once; Google's resources follow from it."""

import pytest

from deploy.config.compiler import FUNCTIONS as COMPILED, OPTIONAL
from deploy.gcp.resources.stores import database
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import CHARTS, LOG_METRICS
from deploy.topology.topology import FURTHER_METRICS, TOPICS, find_topology
from shared.logs import FIELDS
from shared.ports import EVENTS
from shared.waiting_route import RETRY_SECONDS
from tests.unit.gcp.planned import ASKING, CONFIG, TARGET
from tests.unit.topology.configured import slices, topology, with_further


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


def test_a_further_function_is_one_entry_for_the_topology() -> None:
    found = with_further({"PORTAL_NAME": "Shop"})
    assert found.functions[:3] == topology().functions
    assert found.functions[3].variables == {"PORTAL_NAME": "Shop"}
    assert found.readers["portal-key"] == ("audit",)
