"""The page without a mouse, without colours, and on a phone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.functional.portal.portal import USUAL, Portal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def test_the_keyboard_is_enough_to_add_an_endpoint(portal: Portal) -> None:
    await portal.open(*USUAL)
    await portal.shows("No endpoints yet")
    await tab_to(portal, "Add an endpoint")
    await portal.page.press("Enter")
    await portal.shows("Where events are sent")
    assert await portal.page.run("document.activeElement.innerText") == "Add an endpoint"
    await tab_to(portal, "URL")
    await portal.page.type("https://example.com/keys")
    await tab_to(portal, "Add endpoint")
    await portal.page.press("Enter")
    await portal.shows("Copy the secret now.")
    assert await portal.page.run("document.activeElement.innerText") == "https://example.com/keys"
    await tab_to(portal, "Delete")
    await portal.page.press("Enter")
    await portal.shows("This cannot be undone.", "dialog")
    await portal.page.press("Escape")
    await portal.page.until("!document.querySelector('dialog')")
    assert await portal.page.run("document.activeElement.innerText") == "Delete"


FOCUSED: Final = """(() => {
    const at = document.activeElement;
    const name = at.labels?.[0]?.innerText ?? at.getAttribute('aria-label') ?? at.innerText;
    return [name, getComputedStyle(at).outlineStyle];
})()"""


async def tab_to(portal: Portal, name: str) -> None:
    """Press Tab until the focus is on what has this name, where it is visible."""
    for _ in range(60):
        await portal.page.press("Tab")
        focused = await portal.page.run(FOCUSED)
        assert isinstance(focused, list)
        if str(focused[0]).strip() == name:
            assert focused[1] != "none"
            return
    raise AssertionError(f"no Tab leads to {name}")


FAULTS_OF_AXE: Final = """axe.run(document).then(({violations}) =>
    violations.map((each) => `${each.id}: ${each.nodes[0].html} ${each.nodes[0].failureSummary}`))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_accessible_and_fits_a_phone(
    portal: Portal, node_package: Callable[[str], Path], scheme: str
) -> None:
    """By axe-core: names, roles, labels, order of headings, contrast of at least 4.5."""
    axe = (node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    api = portal.api
    id_ = await api.endpoint(f"https://{'a' * 50}.example.com/{'x' * 80}", types=["order.*"], headers={"X-A": "b" * 90})
    await api.change(id_, failing_since=api.clock.now(), filter_fault="x" * 90)
    await api.change(await api.endpoint(), disabled_by="receiver", disabled_reason="410")
    await api.delivery(id_, "order.paid", "retry_scheduled", "z" * 90)
    failed = await api.delivery(id_, "order.paid", "dead_lettered", "z" * 90, "y" * 90)
    await portal.page.look(360, 760, scheme)
    await portal.open()
    await portal.page.run(axe)
    own = f"#/endpoints/{id_}"
    for place, view, loaded in (
        ("#/endpoints", "endpoints", ".rows a"),
        ("#/endpoints/new", "new", "form"),
        (own, f"endpoint {id_}", ".rows a"),
        (f"{own}/edit", f"edit {id_}", "form"),
        ("#/deliveries", "deliveries", ".rows a"),
        (f"#/deliveries/{failed}", "deliveries", ".attempts"),
        ("#/event-types/order.paid", "event-types", ".beside h2"),
    ):
        await portal.go(place)
        await portal.page.until(
            f"document.querySelector('main[data-view=\"{view}\"] {loaded}') && !document.querySelector('[aria-busy]')"
        )
        await portal.page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert await portal.page.run(FAULTS_OF_AXE) == [], place
        assert await portal.page.run("document.documentElement.scrollWidth <= window.innerWidth") is True, place
        assert await portal.page.run("document.querySelector('[style], style, script:not([src])')") is None
        assert not re.search(r"undefined|NaN|\bnull\b|\[object", await portal.page.text("body"))
