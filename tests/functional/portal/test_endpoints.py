"""A tenant's endpoints on the page: adding, changing, their secrets, why they are disabled."""

from typing import Final

import pytest

from shared.fetch import Fetched
from shared.jsontext import JsonObject
from tests.fakes.portal import portal_settings
from tests.functional.portal.portal import CONTROL, USUAL, Portal

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PAIR_VALUE: Final = "((path) => document.querySelector(`[data-path='${path}'] [data-part=value]`))"


async def test_a_tenant_adds_an_endpoint_and_sees_its_secret_once(portal: Portal) -> None:
    await portal.open(*USUAL)
    await portal.shows("No endpoints yet")
    await portal.click("Add an endpoint")
    await portal.enter("URL", "https://example.com/hooks")
    await portal.enter("Description", "for the warehouse")
    await portal.click("Only these")
    await portal.click("order.paid")
    await portal.enter("Pattern", "user.*")
    await portal.click("Add pattern")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.enter("Filter", "data.amount\n > `100`")
    await portal.click("Add a header")
    await portal.enter("Header", "X-Key")
    await portal.click("Add a field")
    await portal.enter("Field", "region")
    await portal.enter("Kind of value", "json")
    await portal.page.run(f"{PAIR_VALUE}('/fields').value = '7'")
    await portal.page.run(f"{PAIR_VALUE}('/headers').value = 'k'")
    await portal.enter("At most so many requests", "10")
    await portal.click("Add endpoint")
    await portal.shows("Copy the secret now.")
    await portal.shows("whsec_", ".secret-text")
    secret = await portal.page.text(".secret-text")
    (given,) = portal.api.posted("POST", "/endpoints")
    assert given == {
        "url": "https://example.com/hooks",
        "description": "for the warehouse",
        "types": ["order.paid", "user.*"],
        "filter": "data.amount > `100`",
        "headers": {"X-Key": "k"},
        "fields": {"region": 7},
        "rate": "10/s",
        "auth": {"kind": "standard"},
        "enabled": True,
    }
    await portal.click("How to verify requests")
    await portal.shows("from standardwebhooks import Webhook")
    await portal.page.click("[role=tab]", "JavaScript")
    await portal.shows('import { Webhook } from "standardwebhooks"')
    await portal.click("All endpoints")
    await portal.click("https://example.com/hooks", ".rows a")
    await portal.shows("The secret is shown only when it is made. If you lost it, rotate it.")
    assert not await portal.has(secret)
    assert not await portal.has("Reveal the secret")


async def test_the_errors_of_the_api_stand_beside_their_fields(portal: Portal) -> None:
    portal.expected_faults = ["422"]
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "ftp://example.com")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.enter("Filter", "data.amount >")
    await portal.click("Add a header")
    await portal.enter("Header", "Host")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.click("Add endpoint")
    await portal.shows("The endpoint was not added: 3 fields need a correction")
    error = "document.querySelector('[data-path=\"{}\"] .error').innerText"
    assert "https" in str(await portal.page.run(error.format("/url")))
    assert str(await portal.page.run(error.format("/headers"))).startswith("Host: ")
    assert await portal.page.run(error.format("/filter"))
    assert await portal.page.run("document.activeElement.closest('[data-path]').dataset.path") == "/url"
    assert await portal.page.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    await portal.enter("URL", "https://example.com")
    assert await portal.page.run(error.format("/url")) == ""


LOSE_ONE_ANSWER: Final = """(() => {
    const real = window.fetch;
    let isLost = false;
    window.fetch = async (url, options) => {
        const answer = await real(url, options);
        if (options.method !== 'POST' || isLost) return answer;
        isLost = true;
        throw new TypeError('lost');
    };
})()"""


async def test_an_endpoint_is_added_once_though_the_answer_was_lost(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.page.run(LOSE_ONE_ANSWER)
    await portal.click("Add endpoint")
    await portal.shows("The server cannot be reached.")
    await portal.click("Add endpoint")
    await portal.shows("Latest deliveries")
    await portal.click("All endpoints")
    await portal.shows("https://example.com", ".rows.endpoints")
    assert len(portal.api.posted("POST", "/endpoints")) == 2
    assert await portal.page.run("document.querySelectorAll('.rows a').length") == 1


async def test_each_kind_of_authentication_has_its_fields(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.enter("Authentication", "hmac")
    await portal.enter("Header", "X-Signature")
    await portal.enter("Prefix", "sha256=")
    await portal.enter("Encoding", "base64")
    await portal.enter("Own secret", "a-secret-of-their-own")
    await portal.click("Add endpoint")
    await portal.shows("HMAC in a header of your choice, X-Signature")
    await portal.click("Edit")
    await portal.enter("Authentication", "basic")
    await portal.enter("User name", "ann")
    await portal.enter("Own secret", "another-secret")
    await portal.click("Save")
    await portal.shows("User name and password, ann")
    changes: JsonObject = {"auth": {"kind": "basic", "username": "ann"}, "secret": "another-secret"}
    assert portal.api.posted("PATCH", str(await portal.page.run("location.hash.split('/')[2]"))) == [changes]


async def test_the_secret_is_revealed_and_rotated_by_whoever_may(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.click("Reveal the secret")
    await portal.shows("whsec_", ".secret-text")
    before = await portal.page.text(".secret-text")
    await portal.click("Rotate the secret")
    await portal.shows("For 24 hours each request is signed with both secrets", "dialog")
    await portal.confirm("Rotate")
    await portal.shows("The secret before is used beside it until")
    assert await portal.page.text(".secret-text") != before
    await portal.click("Hide")
    assert not await portal.has("whsec_")


async def test_a_disabled_endpoint_says_why_is_tested_and_is_enabled_again(portal: Portal) -> None:
    portal.expected_faults = ["404"]  # before the attempt there is no such delivery
    id_ = await portal.api.endpoint()
    why = {"disabled_by": "failures", "disabled_reason": "it answered 503", "disabled_at": portal.api.clock.now()}
    await portal.api.change(id_, **why)
    await portal.open()
    await portal.shows("Disabled", ".rows")
    await portal.click("https://example.com/in", ".rows a")
    await portal.shows("It was disabled because deliveries to it kept failing.")
    await portal.shows("It answered 503")
    await portal.click("Send a test event")
    await portal.shows("Your server accepted it. The endpoint stays disabled.")
    await portal.page.click("button", "Enable")
    await portal.shows("Enabled", ".chip")
    await portal.page.click("button", "Disable")
    await portal.confirm("Disable")
    await portal.shows("It was disabled here.")
    await portal.page.click("button", "Delete")
    await portal.shows("This cannot be undone.", "dialog")
    await portal.confirm("Delete")
    await portal.shows("No endpoints yet")


async def test_an_endpoint_is_verified_where_the_operator_asks_for_it(portal: Portal) -> None:
    portal.expected_faults = ["422"]
    portal.api.set_up(portal_settings(verify="cloudevents"))
    id_ = await portal.api.endpoint()
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.shows("Not verified")
    await portal.page.click("button", "Verify")
    await portal.shows("the endpoint was not asked")
    allowed = Fetched(200, (("webhook-allowed-origin", "*"),), b"", False)
    portal.api.subscribers.fetch.answers["https://example.com/in"] = allowed
    await portal.page.click("button", "Verify")
    await portal.shows("Enabled", ".chip")


async def test_a_change_that_somebody_else_made_meanwhile_is_explained_and_kept(portal: Portal) -> None:
    portal.expected_faults = ["412"]
    id_ = await portal.api.endpoint(description="first")
    await portal.open(place=f"#/endpoints/{id_}/edit")
    await portal.enter("Description", "mine")
    await portal.api.change(id_, description="theirs", types=("order.*",))
    await portal.click("Save")
    await portal.shows("Somebody else changed this endpoint while you edited it.")
    await portal.shows("Changed there: description, event types.")
    await portal.shows("theirs")
    await portal.click("Save my changes")
    await portal.shows("Latest deliveries")
    kept = await portal.api.stored(id_)
    assert (kept.description, kept.types) == ("mine", ("order.*",))
    assert portal.api.posted("PATCH", id_)[-1] == {"description": "mine"}


async def test_a_form_that_was_not_touched_changes_nothing(portal: Portal) -> None:
    """Also where the endpoint has everything that one can have."""
    auth: JsonObject = {"kind": "hmac", "header": "X-Sig", "prefix": "v1=", "encoding": "base64"}
    fields: JsonObject = {"__proto__": {"b": [1], "a": "x"}, "text": "12", "number": 12}
    id_ = await portal.api.endpoint(
        auth=auth, fields=fields, rate="20/h", types=["order.paid", "x.*"], filter="data.a", headers={"X-A": "1"}
    )
    await portal.open(place=f"#/endpoints/{id_}/edit")
    await portal.shows("Edit the endpoint")
    await portal.click("Save")
    await portal.shows("Latest deliveries")
    assert portal.api.posted("PATCH", id_) == []


IS_HELD: Final = """(() => {
    const leaving = new Event('beforeunload', {cancelable: true});
    window.dispatchEvent(leaving);
    return leaving.defaultPrevented;
})()"""


async def test_what_was_entered_is_not_lost_without_a_question(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    url = f"({CONTROL})('URL').value"
    await portal.page.until(f"({CONTROL})('URL')")
    assert await portal.page.run(IS_HELD) is False
    await portal.enter("URL", "https://example.com/typed")
    assert await portal.page.run(IS_HELD) is True
    await portal.page.click("#tabs a", "Deliveries")
    await portal.shows("Leave without saving?", "dialog")
    await portal.page.run("history.back()")
    await portal.page.until("!document.querySelector('dialog') && location.hash === '#/endpoints/new'")
    assert await portal.page.run(url) == "https://example.com/typed"
    await portal.page.click("#tabs a", "Deliveries")
    await portal.confirm("Cancel")
    await portal.page.until("location.hash === '#/endpoints/new'")
    assert await portal.page.run(url) == "https://example.com/typed"
    await portal.page.click("#tabs a", "Deliveries")
    await portal.confirm("Leave")
    await portal.shows("No deliveries yet")
    assert await portal.page.run(IS_HELD) is False


async def test_a_link_that_is_renewed_keeps_what_was_entered(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com/typed")
    asked = len(portal.api.requests)
    await portal.go(f"#token={await portal.api.token()}")
    await portal.page.until("location.hash === '#/endpoints/new'")
    assert len(portal.api.requests) > asked
    assert await portal.page.run(f"({CONTROL})('URL').value") == "https://example.com/typed"
    await portal.click("Add endpoint")
    await portal.shows("Copy the secret now.")
