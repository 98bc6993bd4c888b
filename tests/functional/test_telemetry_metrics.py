"""The metrics that a collector gets from the running functions, and the spans that the page shows of the same event."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from tests.running.local_lambda import require_tools
from tests.running.processes import PATIENCE_SECONDS
from tests.running.stack import Stack, running
from tests.stand_ins.otlp_receiver import OtlpReceiver, SeenPoint, otlp_receiver
from tests.stand_ins.outside_receiver import receiving

pytestmark = pytest.mark.slow

CONFIG: Final = """\
sources: {shop: {auth: none, id: data.id}}
routes: [{name: orders, from: shop, steps: [drop: [data.card]], to: crm}]
destinations: {crm: {webhook: {url: "CRM", allow_private: true}}}
telemetry: {otlp: "COLLECTOR"}
"""
NAMES: Final = {
    *("hookchain.events", "hookchain.attempts", "hookchain.backlog", "hookchain.backlog.oldest"),
    "hookchain.destinations",
}


def post(stack: Stack, identity: str) -> str:
    body = json.dumps({"event": "order.paid", "id": identity, "card": "1111-1111"}).encode()
    request = urllib.request.Request(f"{stack.url}/shop", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return str(json.loads(answer.read())["id"])


@pytest.mark.parametrize("platform", ["gcp", "aws"])
def test_a_collector_gets_the_metrics_of_all_functions(tmp_path: Path, platform: str) -> None:
    if platform == "aws":
        require_tools()
    with otlp_receiver() as collector, receiving("webhook", tmp_path / "arrivals") as crm:
        config = CONFIG.replace("CRM", crm.url).replace("COLLECTOR", collector.url)
        with running(tmp_path, config, {}, ["--platform", platform]) as stack:
            event_id = post(stack, "order-0")
            posted = 1
            give_up_at = time.monotonic() + PATIENCE_SECONDS
            # What a process could not send before it was frozen goes with the next event.
            while not {point.name for point in collector.points()} >= NAMES:
                assert time.monotonic() < give_up_at, (collector, (tmp_path / "output").read_text())
                time.sleep(1)
                post(stack, f"order-{posted}")
                posted += 1
            shown = bars_of(stack, event_id)
        check(collector, posted)
    assert {"POST /shop", "publish events", "process events", "orders: step 1 'drop'", "deliver crm"} <= shown


def bars_of(stack: Stack, event_id: str) -> set[str]:
    """Return the names of the bars that the page shows of the event."""
    url = f"http://127.0.0.1:{stack.base + 10}/api/events/{event_id}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=stack.page_headers)) as answer:
        return {bar["name"] for bar in json.loads(answer.read())["trace"]["bars"]}


def check(collector: OtlpReceiver, posted: int) -> None:
    assert collector.faults == []
    assert all(b"1111-1111" not in request.body for request in collector.requests)
    points: dict[tuple[str, ...], list[SeenPoint]] = {}
    for point in collector.points():
        points.setdefault((point.name, *map(str, point.attributes.values())), []).append(point)
    counted = points["hookchain.events", "shop", "routed"]
    assert {point.temporality for point in counted} == {"delta"}
    assert 1 <= sum(point.value for point in counted) <= posted
    assert len({point.resource["service.instance.id"] for point in counted}) >= 1
    assert {point.temporality for point in points["hookchain.backlog", "crm"]} == {"cumulative"}
    assert points["hookchain.destinations", "delivering"][-1].value == 1
