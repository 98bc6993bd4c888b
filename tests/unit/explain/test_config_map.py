"""The map of a configuration: every part is in the picture, no box is over another, and the SVG is well-formed."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from deploy.explain.map.parts import Live, RouteInfo, Routing, State, Traffic, matching, read_routing, rows_of
from deploy.explain.map.picture import NARROW, WIDE, Box, Columns, Picture, arrange
from deploy.explain.map.svg import draw, fitted, fitted_name
from tests.fakes.command import Command
from tests.fakes.configurations import compile_text

CONFIG: Final = """
sources:
  github: {provider: github, secret: github-secret}
  shop: {auth: {scheme: hmac, header: X-Sig, secret: shop-key}}
  unused: {auth: none}
routes:
  - {name: "<b>push</b> & more", from: github, types: [push], to: [mail, crm],
     steps: [{drop: [data.a]}, {set: {data.b: c}}]}
  - {name: orders, from: [shop, github], where: data.paid, to: crm}
  - {name: old orders, from: shop, enabled: false, to: crm}
  - {name: everything else, else: true, to: mail}
destinations:
  mail: {email: {to: [ann@example.com], subject: New}}
  crm: {webhook: {url: "https://crm.example.com/in"}, otherwise: mail}
"""
SVG: Final = "{http://www.w3.org/2000/svg}"
BROKEN: Final = Live(
    states={("destination", "crm"): State("bad", "disabled", "it returned 410")},
    sources={"shop": Traffic(7, per_minute=0.5)},
    lines={("orders", "crm"): Traffic(100, is_more=True, per_minute=90.0, failed=2)},
)


def routing_of(text: str = CONFIG) -> Routing:
    return read_routing(compile_text(text))


def many_routes(count: int) -> Routing:
    lines = [f"  - {{name: route {n}, from: s{n % 20}, to: [d{n % 30}, d{n * 7 % 30}]}}" for n in range(count)]
    sources = [f"  s{n}: {{auth: none}}" for n in range(20)]
    destinations = [f"  d{n}: {{webhook: {{url: 'https://d{n}.example.com/in'}}}}" for n in range(30)]
    parts = ["sources:", *sources, "routes:", *lines, "destinations:", *destinations]
    return routing_of("\n".join(parts))


def picture_of(
    routing: Routing, live: Live | None = None, columns: Columns = WIDE, *, is_grouped: bool = False
) -> Picture:
    return arrange(routing, rows_of(routing, is_grouped=is_grouped), live, columns)


def box_of(picture: Picture, name: str) -> Box:
    return next(box for box in picture.boxes if box.name == name)


def test_each_part_of_the_configuration_is_a_box_that_says_what_it_is() -> None:
    picture = picture_of(routing_of())
    assert [(box.kind, box.name, box.detail) for box in picture.boxes] == [
        ("source", "github", "hmac"),
        ("source", "shop", "hmac"),
        ("source", "every source", ""),
        ("source", "unused", "none"),
        ("route", "<b>push</b> & more", "push"),
        ("route", "orders", "every type · where"),
        ("route", "old orders", "disabled"),
        ("route", "everything else", "every type · else"),
        ("steps", "drop → set", "2 steps"),
        ("destination", "crm", "webhook, otherwise mail"),
        ("destination", "mail", "email"),
    ]
    assert [text for _, text in sorted(picture.headings)] == ["Sources", "Routes", "Steps", "Destinations"]


def test_each_line_ends_at_the_box_to_which_it_leads() -> None:
    picture = picture_of(routing_of())
    starts = {(box.place.end, box.place.middle): box.name for box in picture.boxes}
    ends = {(box.place.x, box.place.middle): box.name for box in picture.boxes}
    found = [(starts.get((line.x, line.y), "one of several"), ends[line.end_x, line.end_y]) for line in picture.lines]
    assert found == [
        ("github", "<b>push</b> & more"),
        ("<b>push</b> & more", "drop → set"),
        ("one of several", "crm"),
        ("one of several", "mail"),
        ("shop", "orders"),
        ("github", "orders"),
        ("orders", "crm"),
        ("shop", "old orders"),
        ("old orders", "crm"),
        ("every source", "everything else"),
        ("everything else", "mail"),
    ]


@pytest.mark.parametrize("columns", [WIDE, NARROW])
@pytest.mark.parametrize("is_grouped", [False, True])
@pytest.mark.parametrize("count", [3, 100])
def test_no_box_is_over_another_and_all_are_in_the_picture(count: int, is_grouped: bool, columns: Columns) -> None:
    picture = picture_of(many_routes(count), Live(), columns, is_grouped=is_grouped)
    by_column: dict[float, list[Box]] = {}
    for box in picture.boxes:
        assert box.place.y >= 0
        assert box.place.bottom <= picture.height
        assert box.place.end <= picture.width
        by_column.setdefault(box.place.x, []).append(box)
    for boxes in by_column.values():
        ordered = sorted(boxes, key=lambda box: box.place.y)
        assert all(upper.place.bottom < lower.place.y for upper, lower in pairwise(ordered))


def test_a_narrow_picture_fits_a_telephone() -> None:
    assert picture_of(routing_of(), columns=NARROW).width <= 366


def test_a_hundred_routes_are_grouped_by_their_sources_and_one_group_is_opened() -> None:
    routing = many_routes(100)
    assert [len(row.routes) for row in rows_of(routing, is_grouped=True)] == [5] * 20
    opened = rows_of(routing, is_grouped=True, opened=["s3"])
    assert [len(row.routes) for row in opened] == [5, 5, 5, 1, 1, 1, 1, 1, *[5] * 16]
    assert len(rows_of(routing)) == 100


@pytest.mark.parametrize(
    ("text", "routes", "destinations"),
    [
        ("CRM", ["<b>push</b> & more", "orders", "old orders"], ["mail", "crm"]),
        ("set", ["<b>push</b> & more"], ["mail", "crm"]),
        ("unused", ["everything else"], ["mail"]),  # a route without `from` takes every source
        ("everything", ["everything else"], ["mail"]),
        ("", ["<b>push</b> & more", "orders", "old orders", "everything else"], ["mail", "crm"]),
    ],
)
def test_a_search_finds_routes_by_the_names_of_parts(text: str, routes: list[str], destinations: list[str]) -> None:
    found = matching(routing_of(), text)
    assert [route.name for route in found.routes] == routes
    assert list(found.destinations) == destinations


def test_trouble_and_counts_are_in_texts_and_not_only_in_colours() -> None:
    picture = picture_of(routing_of(), BROKEN)
    crm = box_of(picture, "crm")
    assert (crm.detail, crm.description) == (
        "disabled",
        "Destination crm, webhook, otherwise mail. Disabled: it returned 410",
    )
    assert box_of(picture, "shop").description == "Source shop, hmac, 7 · 30/h in the last hour"
    texts = [line.text for line in picture.lines if line.text]
    assert texts == ["0", "0", "7 · 30/h", "100+ · 1.5/s · 2 failed", "0", "0"]
    assert {line.level for line in picture.lines if line.end_y == crm.place.middle} == {"bad", "off"}
    root = ElementTree.fromstring(draw(picture))
    signs = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "sign"]
    assert signs == ["–", "✕"]


def test_a_group_shows_the_worst_state_of_its_routes_and_is_not_called_disabled_for_one() -> None:
    waiting = Live(states={("route", "route 23"): State("warn", "waiting", "api.example is unavailable")})
    groups = [box for box in picture_of(many_routes(100), waiting, is_grouped=True).boxes if box.kind == "group"]
    assert [box.detail for box in groups if box.state.level] == ["waiting"]
    shops = [each for each in picture_of(routing_of(), is_grouped=True).boxes if each.kind == "group"]
    assert shops == []
    config = CONFIG.replace("from: [shop, github]", "from: shop")
    [shop] = [each for each in picture_of(routing_of(config), is_grouped=True).boxes if each.kind == "group"]
    assert (shop.name, shop.detail, shop.state.level) == ("2 routes", "orders, old orders", "")


def test_the_svg_is_well_formed_and_contains_names_as_text_only() -> None:
    routing = routing_of()
    hostile = RouteInfo("\0\x1b]]></style><script>x</script>", ("shop",), ("crm",), ("<a href='x'>",))
    routing = replace(routing, routes=[*routing.routes, hostile])
    for is_standalone in (True, False):
        svg = draw(picture_of(routing, BROKEN), is_standalone=is_standalone)
        root = ElementTree.fromstring(svg)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "style", "rect", "text", "title", "g", "a", "path", "circle"}
        titles = [title.text for title in root.iter(f"{SVG}title")]
        assert "Route <b>push</b> & more, push" in titles
        assert "Route \ufffd\ufffd]]></style><script>x</script>" in titles
        links = [link.get("href") for link in root.iter(f"{SVG}a")]
        assert all(str(link).startswith("#/") for link in links)
        assert bool(links) is not is_standalone


def test_links_lead_to_the_events_of_a_source_and_the_deliveries_of_a_route_or_destination() -> None:
    picture = picture_of(routing_of())
    links = {box.name: box.link for box in picture.boxes}
    assert links["shop"] == "#/events?source=shop"
    assert links["crm"] == "#/deliveries?destination=crm"
    assert links["<b>push</b> & more"] == "#/deliveries?route=%3Cb%3Epush%3C%2Fb%3E%20%26%20more"


def test_the_command_prints_the_svg_in_ascii(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    svg = command("map", "--config", str(path))
    assert svg.isascii()
    root = ElementTree.fromstring(svg)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "drop → set" in texts
    assert root.find(f"{SVG}style") is not None
    assert len(command("map", "--config", str(path), "--find", "unused")) < len(svg)
    command("map", "--config", str(path), "--find", "nowhere", code=1)
    assert command.error == "hookchain map: no route, source, step or destination has the text 'nowhere'\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a" * 20, "a" * 20), ("a" * 21, f"{'a' * 19}…"), ("W" * 80, f"{'W' * 10}…"), ("日" * 11, f"{'日' * 9}…")],
)
def test_a_name_is_cut_by_the_widths_of_its_characters(text: str, shown: str) -> None:
    assert fitted(text, 20) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("customer-117", "cust…117"), ("system-17-west", "system-…"), ("日本語日本語1", "日本語…")],
)
def test_a_name_that_is_cut_keeps_the_number_at_its_end(name: str, shown: str) -> None:
    assert fitted_name(name, 9) == shown
