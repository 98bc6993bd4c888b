"""The map of the page, its states and counts; and the effect of each step on an event."""

import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from deploy.dev.inspector.app import make_app, open_local_backend
from deploy.dev.inspector.map_api import MAX_LETTERS, destination_state, live_map, traffic_of
from deploy.explain.map.parts import Level, RouteInfo, Routing, Traffic
from deploy.history.destinations import MAX_COUNTED, DestinationView, destination_view
from deploy.history.journal_view import DeadLetterRow
from deploy.history.source_health import SourceFacts
from deploy.history.status import WaitingRows
from shared.claim_check import MAX_INLINE_BYTES, checked_in
from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import Json, JsonObject, objects_at, to_json
from shared.ledger import PAUSED_BY_OPERATOR, DestinationState, LedgerRow, Settlement
from shared.outcomes import DeliveryState
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.times import rfc3339
from tests.fakes.configurations import compile_text
from tests.fakes.deliveries import settled
from tests.unit.dev.inspected import AUTHORIZED, TOKEN, Inspector

NOW: Final = 1_790_000_000.0
CONFIG: Final = """
sources: {shop: {auth: none}, till: {auth: none}}
routes:
  - {name: "orders <b>", from: shop, to: [crm, mail], steps: [{drop: [data.card]}]}
  - {name: the rest, else: true, to: mail}
  - {name: old, from: till, enabled: false, to: mail}
destinations:
  crm: {webhook: {url: "https://crm.example.com/in"}}
  mail: {email: {to: [ann@example.com], subject: New}}
"""


def row(number: int, state: str, at: float, route: str = "orders", reason: str = "", **more: str | float) -> LedgerRow:
    values = LedgerRow(f"k{number}", f"e{number}", route, "crm", state, 1, 0, 1, None, reason, "", at, at, b"")
    return values._replace(**more)  # type: ignore[arg-type]


def view_of(*newest: LedgerRow, state: DestinationState = DestinationState(), held: int = 0) -> DestinationView:  # noqa: B008
    waiting = [each for each in newest if each.state == "retry_scheduled"][:MAX_COUNTED]
    held_rows = [row(n, "held", NOW, reason="verify") for n in range(held)]
    return destination_view("crm", state, waiting, held_rows, newest[:MAX_COUNTED], NOW)


BUSY: Final = [row(n, "delivered", NOW, "busy") for n in range(100)]


@pytest.mark.parametrize(
    ("view", "level", "word", "reason"),
    [
        (view_of(), "", "", ""),
        (view_of(row(1, "delivered", NOW - 10)), "", "", ""),
        (view_of(state=DestinationState(disabled_reason="it returned 410")), "bad", "disabled", "it returned 410"),
        (
            view_of(state=DestinationState(paused_until=NOW + 60, pause_reason="503")),
            "bad",
            "paused",
            f"until {rfc3339(NOW + 60)}; 503",
        ),
        (
            view_of(state=DestinationState(disabled_reason=PAUSED_BY_OPERATOR)),
            "warn",
            "paused",
            f"until you resume it; {PAUSED_BY_OPERATOR}",
        ),
        (
            view_of(row(2, "dead_lettered", NOW - 5, reason="400"), row(1, "delivered", NOW - 9)),
            "bad",
            "failing",
            "400",
        ),
        (
            view_of(row(2, "delivered", NOW - 5), row(1, "dead_lettered", NOW - 9, reason="400")),
            "warn",
            "1 failed",
            "400",
        ),
        (view_of(row(2, "delivered", NOW - 5), row(1, "dead_lettered", NOW - 3_601, reason="400")), "", "", ""),
        (view_of(row(1, "dead_lettered", NOW - 86_401, reason="400")), "", "", ""),
        (view_of(held=2), "warn", "2 held", "verify"),
        (view_of(held=100), "warn", "100+ held", "verify"),
        (view_of(row(1, "retry_scheduled", NOW, reason="503")), "warn", "1 retrying", "503"),
        (
            destination_view("crm", DestinationState(), [row(1, "retry_scheduled", 0, reason="503")], [], BUSY, NOW),
            "warn",
            "1 retrying",
            "503",
        ),
        (view_of(row(1, "retry_scheduled", NOW, group="g1")), "", "", ""),
        (view_of(row(1, "retry_scheduled", NOW, slot_at=NOW + 9, retry_at=NOW + 9)), "", "", ""),
    ],
)
def test_a_destination_shows_its_most_urgent_state(view: DestinationView, level: Level, word: str, reason: str) -> None:
    state = destination_state(view, NOW)
    assert (state.level, state.word, state.reason) == (level, word, reason)


@pytest.mark.parametrize(
    ("ages", "sample_size", "expected"),
    [
        ([], 4, Traffic()),
        ([3_601.0], 4, Traffic()),
        ([400.0, 3_599.0], 4, Traffic(2)),
        ([10.0, 290.0, 310.0], 4, Traffic(3, per_minute=0.4)),
        ([10.0, 290.0, 310.0, 600.0], 4, Traffic(4, is_more=True, per_minute=0.4)),
        ([1.0, 2.0, 3.0, 4.0], 4, Traffic(4, is_more=True, per_minute=60.0)),
        ([10.0, 290.0, 310.0, 4_000.0], 4, Traffic(3, per_minute=0.4)),
    ],
)
def test_counts_are_of_the_last_hour_and_rates_of_the_last_five_minutes(
    ages: list[float], sample_size: int, expected: Traffic
) -> None:
    times = [NOW - age for age in ages]
    assert traffic_of(times, [], NOW, sampled_at=times, sample_size=sample_size) == expected


def test_sources_and_routes_have_states_and_lines_have_the_counts_of_their_routes() -> None:
    facts = [SourceFacts("shop", last_at=NOW - 20_000, overdue_seconds=60.0), SourceFacts("till", sampled_at=(NOW,))]
    view = view_of(row(1, "delivered", NOW), row(2, "delivered", NOW, "rest"), row(3, "dead_lettered", NOW - 9, "rest"))
    waiting = [
        row(n, "retry_scheduled", NOW, ("orders", "rest")[n % 2], "503", destination=ROUTE_ITSELF, retry_at=NOW + 9)
        for n in range(100)
    ]
    letters = [
        DeadLetterRow("d3", "request_rejected", "400", NOW, b"", "deliveries", "e3", "orders", "crm"),
        DeadLetterRow("e2:rest", "step_failed", "no total", NOW, b"", "events", "e2", "rest"),
        DeadLetterRow("e1:rest", "step_failed", "no name", NOW - 9, b"", "events", "e1", "rest"),
        DeadLetterRow("e0:old", "step_failed", "no name", NOW - 3_601, b"", "events", "e0", "old"),
    ]
    live = live_map(Routing({}, (), {}), facts, [view], WaitingRows([], waiting), [], letters, NOW)
    words = {name: (state.level, state.word) for name, state in live.states.items() if state.level}
    assert words == {
        ("source", "shop"): ("warn", "quiet"),
        ("route", "orders"): ("warn", "50+ waiting"),
        ("route", "rest"): ("bad", "2 failed"),
        ("destination", "crm"): ("warn", "1 failed"),
    }
    assert live.states["route", "rest"].reason == "no total"
    assert live.sources["till"].count == 1
    assert {line: (each.count, each.failed) for line, each in live.lines.items()} == {
        ("orders", "crm"): (1, 0),
        ("rest", "crm"): (1, 1),
    }


def test_a_route_whose_steps_fail_is_shown_beside_one_that_fails_more_often() -> None:
    def letter(number: int, route: str) -> DeadLetterRow:
        return DeadLetterRow(f"e{number}:{route}", "step_failed", "no total", NOW, b"", "events", f"e{number}", route)

    letters = [letter(n, "often") for n in range(MAX_LETTERS - 1)] + [letter(0, "once")]
    live = live_map(Routing({}, (), {}), [], [], WaitingRows([], []), [], letters, NOW)
    words = {name: state.word for (_, name), state in live.states.items()}
    assert words == {"often": f"{MAX_LETTERS - 1}+ failed", "once": "1+ failed"}


@pytest.mark.parametrize(
    ("newest", "waiting", "held", "texts"),
    [
        ([], [], [], {"orders": "0", "busy": "0"}),
        (BUSY, [], [], {"orders": "0+", "busy": "100+ · 100/s"}),
        (BUSY, [row(1, "retry_scheduled", 0)], [], {"orders": "0+ · 1 waiting", "busy": "100+ · 100/s"}),
        ([], [], [row(n, "held", 0, "busy") for n in range(100)], {"orders": "0+ waiting", "busy": "100+ waiting"}),
    ],
)
def test_a_line_has_a_plus_if_the_newest_deliveries_do_not_show_all_of_its_route(
    newest: list[LedgerRow], waiting: list[LedgerRow], held: list[LedgerRow], texts: dict[str, str]
) -> None:
    routing = Routing({}, [RouteInfo(name, ("shop",), ("crm",)) for name in ("orders", "busy")], {})
    view = destination_view("crm", DestinationState(), waiting, held, newest, NOW)
    live = live_map(routing, [], [view], WaitingRows(waiting, []), held, [], NOW)
    assert {route: each.text for (route, _), each in live.lines.items()} == texts


def test_what_waits_for_endpoints_is_shown_at_their_destination() -> None:
    endpoint = f"crm:acme:ep_{'0' * 20}"
    waiting = [row(n, "retry_scheduled", NOW, reason="paused after failures", destination=endpoint) for n in range(7)]
    live = live_map(Routing({}, (), {}), [], [view_of(row(9, "delivered", NOW))], WaitingRows(waiting, []), [], [], NOW)
    state = live.states["destination", "crm"]
    assert (state.level, state.word, state.reason) == ("warn", "7 waiting", "to 1 endpoint: paused after failures")
    assert live.lines["orders", "crm"].waiting == 7
    held = [row(8, "held", NOW, reason="disabled", destination=endpoint)]
    live = live_map(Routing({}, (), {}), [], [view_of()], WaitingRows(waiting, []), held, [], NOW)
    assert live.states["destination", "crm"].word == "1 held"


@pytest.mark.parametrize(("endpoint_count", "text"), [(0, "0+ waiting"), (7, "7+ waiting")])
def test_where_others_fill_the_newest_waiting_deliveries_endpoints_have_a_plus(endpoint_count: int, text: str) -> None:
    endpoint = f"crm:acme:ep_{'0' * 20}"
    newest = [row(n, "retry_scheduled", NOW, destination="down") for n in range(100 - endpoint_count)]
    newest += [row(n, "retry_scheduled", NOW, destination=endpoint) for n in range(endpoint_count)]
    routing = Routing({}, [RouteInfo("orders", ("shop",), ("crm",))], {})
    views = [replace(view_of(), kind="subscribers"), replace(view_of(), name="mail")]
    route_rows = [row(1, "retry_scheduled", NOW, destination=ROUTE_ITSELF, retry_at=NOW + 9)]
    waiting = WaitingRows(newest, route_rows)
    live = live_map(routing, [], views, waiting, [], [], NOW)
    assert live.lines["orders", "crm"].waiting_text == text
    assert live.states["route", "orders"].word == "1 waiting"
    assert waiting.notes(views) == ["what waits for endpoints, except for the newest 100 waiting deliveries"]
    assert waiting.notes(views[1:]) == []


def write_slices(inspector: Inspector, config: str) -> None:
    folder = inspector.parts.state / "slices"
    folder.mkdir()
    for name, slice_ in compile_text(config).items():
        (folder / f"{name}.json").write_text(to_json(slice_), encoding="utf-8")


async def deliver(inspector: Inspector, number: int, route: str, destination: str, state: DeliveryState) -> None:
    now = time.time()
    event = Event(f"{number:032x}", "/sources/shop", "order.paid", rfc3339(now), "0" * 64, {"n": number})
    delivery = Delivery(event, route, destination)
    outcome = "delivered" if state == "delivered" else "retry_scheduled"
    attempt = AttemptEntry(delivery.id, event.id, route, destination, 1, now, now, outcome, "it returned 503")
    retry_at = now + 300 if state == "retry_scheduled" else None
    await settled(inspector.parts.ledger, delivery, Settlement(state, now, "it returned 503", attempt, retry_at))
    await inspector.parts.journal.record([EventEntry(event, (RouteDecision(route, True, "", (destination,)),), now)])


async def test_the_map_shows_what_happens_and_where_the_trouble_is(inspector: Inspector) -> None:
    write_slices(inspector, CONFIG)
    await deliver(inspector, 1, "orders <b>", "mail", "delivered")
    await deliver(inspector, 2, "orders <b>", "crm", "retry_scheduled")
    await deliver(inspector, 3, "orders <b>", ROUTE_ITSELF, "retry_scheduled")
    await inspector.parts.ledger.disable("crm", "it returned 410", time.time())
    found = await inspector.get("/api/map")
    assert (found["count"], found["shown"], found["grouped"]) == (3, 3, False)
    assert [(each["kind"], each["name"], each["word"]) for each in objects_at(found, "troubles")] == [
        ("destination", "crm", "disabled"),
        ("route", "orders <b>", "1 waiting"),
    ]
    root = ElementTree.fromstring(str(found["svg"]))
    labels = [str(each.get("aria-label")) for each in root.iter("{http://www.w3.org/2000/svg}a")]
    assert "Destination crm, webhook. Disabled: it returned 410" in labels
    assert "Source shop, none, 3 · 36/h in the last hour" in labels
    [orders, rest, old] = objects_at(found, "routes")
    assert (orders["steps"], orders["word"], rest["sources"], old["word"]) == (["drop"], "1 waiting", [], "disabled")
    leads_to = objects_at(orders, "destinations")
    assert [(each["name"], each["count"], each["word"]) for each in leads_to] == [
        ("crm", "1 waiting", "disabled"),
        ("mail", "1 · 12/h", ""),
    ]
    assert [each["has_delivered"] for each in leads_to] == [False, True]
    assert "orders &lt;b&gt; → crm: 0 in the last hour, 1 waiting" in str(found["svg"])


async def test_a_search_and_a_narrow_window_get_a_map_of_their_own(inspector: Inspector) -> None:
    write_slices(inspector, CONFIG)
    wide = await inspector.get("/api/map")
    narrow = await inspector.get("/api/map?narrow=1")
    assert 'width="364"' in str(narrow["svg"])
    assert len(str(narrow["svg"])) < len(str(wide["svg"]))
    found = await inspector.get("/api/map?find=CRM")
    assert (found["count"], found["shown"], [each["name"] for each in objects_at(found, "routes")]) == (
        3,
        1,
        ["orders <b>"],
    )


async def test_what_needs_attention_is_first_in_the_table_and_in_a_long_picture(inspector: Inspector) -> None:
    write_slices(inspector, CONFIG)
    routes: list[Json] = [{"name": f"r{n}", "from": ["shop"], "to": ["crm" if n == 23 else "mail"]} for n in range(24)]
    (inspector.parts.state / "slices" / "transform.json").write_text(to_json({"routes": routes}), encoding="utf-8")
    await deliver(inspector, 1, "r22", ROUTE_ITSELF, "retry_scheduled")
    await inspector.parts.ledger.disable("crm", "it returned 410", time.time())
    found = await inspector.get("/api/map?all=1")
    assert [each["name"] for each in objects_at(found, "routes")][:3] == ["r23", "r22", "r0"]
    tops = {
        str(box.get("aria-label")).split(". ")[0]: float(str(box[1].get("y")))
        for box in ElementTree.fromstring(str(found["svg"])).iter("{http://www.w3.org/2000/svg}a")
    }
    first = min(tops.values())
    assert tops["Destination crm, webhook"] == first
    assert tops["Route r22, every type"] == first
    assert tops["Destination mail, email"] > first


async def test_a_destination_after_the_first_hundred_needs_attention_too(inspector: Inspector) -> None:
    write_slices(inspector, CONFIG)
    routes: list[Json] = [{"name": f"r{n}", "from": ["shop"], "to": [f"d{n}"]} for n in range(105)]
    written: JsonObject = {f"d{n}": {"kind": "webhook"} for n in range(105)}
    (inspector.parts.state / "slices" / "transform.json").write_text(to_json({"routes": routes}), encoding="utf-8")
    (inspector.parts.state / "slices" / "notify.json").write_text(to_json({"destinations": written}), encoding="utf-8")
    await inspector.parts.ledger.disable("d104", "it returned 410", time.time())
    found = await inspector.get("/api/map")
    assert [(each["name"], each["word"]) for each in objects_at(found, "troubles")] == [("d104", "disabled")]


async def test_many_routes_are_grouped_and_a_group_is_opened_by_its_link(inspector: Inspector) -> None:
    routes: list[Json] = [{"name": f"r{n}", "from": ["shop"] if n % 2 else ["till"], "to": ["crm"]} for n in range(24)]
    write_slices(inspector, CONFIG)
    (inspector.parts.state / "slices" / "transform.json").write_text(to_json({"routes": routes}), encoding="utf-8")
    grouped = await inspector.get("/api/map")
    assert grouped["grouped"] is True
    assert str(grouped["svg"]).count(">12 routes<") == 2
    assert "#/map?open=shop" in str(grouped["svg"])
    opened = str((await inspector.get("/api/map?open=shop"))["svg"])
    assert (opened.count(">12 routes<"), opened.count('class="box route"')) == (1, 12)
    assert "#/map?open=shop%3Btill" in opened
    whole = await inspector.get("/api/map?all=1")
    assert (whole["grouped"], str(whole["svg"]).count('class="box route"')) == (False, 24)


async def test_the_map_without_a_configuration_is_empty(inspector: Inspector) -> None:
    found = await inspector.get("/api/map")
    assert (found["count"], found["routes"], found["troubles"]) == (0, [], [])


async def test_deliveries_are_listed_by_route(inspector: Inspector) -> None:
    await deliver(inspector, 1, "orders <b>", "mail", "delivered")
    await deliver(inspector, 2, "the rest", "mail", "delivered")
    await deliver(inspector, 3, "the rest", "crm", "delivered")

    async def listed(query: str) -> list[JsonObject]:
        return objects_at(await inspector.get(f"/api/deliveries?{query}"), "deliveries")

    assert [each["destination"] for each in await listed("route=the%20rest")] == ["crm", "mail"]
    assert [each["destination"] for each in await listed("route=the%20rest&limit=1")] == ["crm"]
    assert [each["route"] for each in await listed(f"route={quote('orders <b>')}&destination=mail")] == ["orders <b>"]


STEPS_CONFIG: Final = """\
sources: {web: {auth: none}}
routes:
  - name: tell
    types: [signup.*]
    steps: [{drop: [data.password]}, {set: {data.team: north}}]
    to: list
  - {name: once, steps: [{deduplicate: data.name}], to: list}
  - {name: asks, steps: [{fetch: {url: "https://api.example.com/x", into: data.x}}], to: list}
  - {name: sealed, steps: [{encrypt: {secret: data-key}}], to: list}
  - {name: orders, types: [order.*], to: list}
destinations: {list: {email: {to: a@example.com, subject: x}}}
"""
EVENT: Final = Event(
    "e1", "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "00", {"name": "Ada", "password": "hunter2"}
)


@dataclass(frozen=True, slots=True)
class Page:
    client: "TestClient[Request, Application]"
    state: Path

    async def steps(self, event_id: str = "e1") -> tuple[int, list[JsonObject]]:
        async with self.client.get(f"/api/events/{event_id}/steps") as answer:
            document: Json = await answer.json() if answer.status == 200 else {}
        return answer.status, objects_at(document, "routes")

    def configure(self, text: str) -> None:
        folder, compiled = self.state / "slices", compile_text(text)
        folder.mkdir(exist_ok=True)
        for name in ("transform", "notify"):
            (folder / f"{name}.json").write_text(to_json(compiled[name]), encoding="utf-8")


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with open_local_backend(tmp_path, {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}) as parts:
        light, _ = await checked_in(
            Event("e2", "/sources/web", "signup.x", EVENT.receivedat, "00", {"text": "x" * MAX_INLINE_BYTES}),
            parts.blobs,
            "e2",
        )
        await parts.journal.record([EventEntry(EVENT, (), NOW), EventEntry(light, (), NOW)])
        async with TestClient(TestServer(make_app(parts, TOKEN)), headers=AUTHORIZED) as client:
            yield Page(client, tmp_path)


async def test_each_step_of_each_route_is_shown_with_what_it_changed(page: Page) -> None:
    page.configure(STEPS_CONFIG)
    status, routes = await page.steps()

    assert status == 200
    assert [(route["route"], route["matched"], route["code"]) for route in routes] == [
        ("tell", True, None),
        ("once", True, None),
        ("asks", True, "offline"),
        ("sealed", True, "secret_unavailable"),
        ("orders", False, None),
    ]
    [dropped, _] = objects_at(routes[0], "steps")
    assert (dropped["label"], dropped["diff"]) == ("step 1 'drop'", ['- data.password: "hunter2"'])
    assert (
        to_json([routes[2], routes[3]]).count('"outcome":"not_computed"') == 2
    )  # the functions do have what they need
    assert routes[4]["reason"] == "type 'signup.created' does not match order.*"


async def test_looking_makes_no_event_the_owner_of_its_key_and_tells_who_is(page: Page) -> None:
    page.configure(STEPS_CONFIG)
    await page.steps()
    assert not (page.state / "owners.db").exists()

    owners = DocumentOwners(LocalDocuments(page.state / "owners.db", "owners"))
    _, routes = await page.steps()
    assert "unchanged" in str(routes[1]["steps"])
    owners.close()


async def test_without_the_event_or_a_configuration_there_is_nothing_to_tell(page: Page) -> None:
    assert (await page.steps())[0] == 404
    page.configure(STEPS_CONFIG)
    assert (await page.steps("e9"))[0] == 404


SUBSCRIBERS: Final = """\
sources: {web: {auth: none}}
routes: [{name: tell, to: customers}]
destinations: {customers: {subscribers: {tenant: data.name}}}
subscribers: {}
"""


async def test_the_endpoints_that_get_the_event_are_shown(page: Page) -> None:
    page.configure(SUBSCRIBERS)
    with closing(LocalDocuments(page.state / FILE_NAME)) as documents:
        await documents.write(TENANTS, "Ada", Tenant(id="Ada").text())
        endpoint = Endpoint(id=f"ep_{1:020}", tenant="Ada", url="https://a.example.com", types=("order.*",))
        await documents.write(endpoints_of("Ada"), endpoint.id, endpoint.text())
    _, [tell] = await page.steps()
    [fan_out] = objects_at(tell, "fan_outs")
    assert f"ep_{1:020} https://a.example.com: no, it takes the types order.*" in to_json(fan_out["lines"])
