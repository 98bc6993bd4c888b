"""A tenant's deliveries on the page: test events, the log, and sending again; and the event types."""

import pytest

from tests.functional.portal.portal import USUAL, Portal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def test_a_test_event_appears_and_a_failing_delivery_says_why(portal: Portal) -> None:
    portal.expected_faults = ["404"]  # before the attempt there is no such delivery
    id_ = await portal.api.endpoint("https://broken.example.com")
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.enter("Event type", "user.created")
    await portal.click("Send a test event")
    await portal.shows("the endpoint answered 500")
    assert portal.api.posted("POST", "/test") == [{"type": "user.created"}]
    await portal.page.until("document.querySelector('.rows.deliveries a')?.innerText.includes('user.created')")
    await portal.click("See the request and the answer")
    for text in ("Attempt 1", "The endpoint answered 500", "Traceback: no database", "POST https://broken.example.com"):
        await portal.shows(text, ".beside")
    await portal.shows("Test", ".beside .chip:nth-of-type(2)")


async def test_a_delivery_is_sent_again(portal: Portal) -> None:
    failed = await portal.api.delivery(await portal.api.endpoint(), "order.paid", "dead_lettered", "410 gone")
    await portal.open(*USUAL, place=f"#/deliveries/{failed}")
    await portal.shows("410 gone", ".beside")
    await portal.click("Send again")
    await portal.shows("Delivered", ".beside .chip")
    await portal.page.until_count(2, ".attempts li")
    await portal.click("Send again")
    await portal.shows("Your server accepted it before.", "dialog")
    await portal.confirm("Cancel")
    assert len(portal.api.posted("POST", f"{failed}/resend")) == 1


async def test_recover_counts_before_it_sends_page_by_page(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.api.change(id_, failing_since=portal.api.clock.now() - 2_000)
    await portal.api.missed(250)
    portal.api.take_a_while()
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.click("Count")
    await portal.shows("250 events would be sent again.")
    counts = portal.api.posted("POST", "/recover")
    assert len(counts) > 2
    assert all(each["dry_run"] for each in counts)
    assert portal.api.subscribers.published() == []
    await portal.click("Send 250 events again")
    await portal.shows("250 events are on the way to your server.")
    assert len(portal.api.subscribers.published()) == 250
    sent = portal.api.posted("POST", "/recover")[len(counts) :]
    assert ["cursor" in each for each in sent[:3]] == [False, True, True]
    assert {each["since"] for each in sent} == {counts[0]["since"]}


async def test_replay_has_a_filter_and_says_when_there_is_nothing(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.api.delivery(id_, "order.paid")
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.page.click("[role=tab]", "Replay")
    await portal.enter("Event types", "order.*, user.created")
    await portal.enter("State", "failed")
    await portal.click("Count")
    await portal.shows("Nothing is to be sent again.")
    await portal.enter("State", "delivered")
    await portal.click("Count")
    await portal.shows("1 event would be sent again.")
    asked = portal.api.posted("POST", "/replay")[-1]
    assert (asked["types"], asked["state"], asked["dry_run"]) == (["order.*", "user.created"], "delivered", True)


async def test_the_log_is_filtered_searched_and_paged(portal: Portal) -> None:
    one, other = await portal.api.endpoint("https://one.example.com"), await portal.api.endpoint()
    for number in range(120):
        await portal.api.delivery(one, "order.paid" if number % 2 else "order.shipped")
    await portal.api.delivery(other, "user.created", "dead_lettered", "no route to host")
    await portal.open(place="#/deliveries")
    rows = "document.querySelectorAll('.rows a').length"
    await portal.page.until(f"{rows} === 50")
    await portal.shows("no route to host")
    await portal.page.click("button", "Next page")
    await portal.shows("Page 2")
    await portal.page.click("button", "Next page")
    await portal.page.until(f"{rows} === 21")
    await portal.page.click("button", "Previous page")
    await portal.page.until(f"{rows} === 50")
    await portal.enter("State", "failed")
    await portal.page.until(f"{rows} === 1")
    await portal.enter("State", "")
    await portal.enter("Endpoint", other)
    await portal.page.until(f"{rows} === 1")
    assert "endpoint=" in str(await portal.page.run("location.hash"))
    await portal.enter("Endpoint", "")
    await portal.enter("Search", "user")
    await portal.page.until(f"{rows} === 1")
    await portal.enter("Search", "order.sh")
    await portal.enter("Time", "86400")
    await portal.page.until(f"{rows} === 50")
    assert "since=" in portal.api.requests[-1][2]
    await portal.enter("Search", "no such thing")
    await portal.shows("No delivery matches")


async def test_a_search_goes_on_where_an_answer_has_nothing_although_there_is_more(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.api.delivery(id_, "user.created")
    for _ in range(520):
        await portal.api.delivery(id_, "order.paid")
    await portal.open(place="#/deliveries?type=user.created")
    await portal.page.until_count(1, ".rows a")


async def test_the_catalogue_shows_schemas_and_examples(portal: Portal) -> None:
    await portal.open("view", place="#/event-types")
    await portal.shows("An order is paid.")
    await portal.enter("Search event types", "shipped")
    await portal.page.until_count(1, ".rows a")
    await portal.click("order.shipped", ".rows a")
    await portal.shows('"title": "A parcel"', ".beside")
    await portal.go("#/event-types/order.paid")
    await portal.shows('"amount": 12', ".beside")
