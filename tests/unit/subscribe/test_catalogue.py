"""The catalogue of event types: the configuration's beside the API's, imported, exported and published."""

import pytest

from shared.jsontext import JsonObject, mapping_at
from tests.fakes.subscribe_api import Subscribers

TYPES = "/v1/event-types"
OPENAPI: JsonObject = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "webhooks": {
        "cart.left": {
            "post": {
                "description": "A cart is left.",
                "tags": ["carts"],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Cart"}}}},
            }
        }
    },
    "components": {"schemas": {"Cart": {"type": "object", "properties": {"id": {"type": "integer"}}}}},
}


async def test_types_of_the_configuration_and_of_the_api_are_one_list_in_order(api: Subscribers, key: str) -> None:
    for name in ("order.made", "zebra", "a.first"):
        assert (await api.send("PUT", f"{TYPES}/{name}", {"group": "mine"}, by=key)).status == 200
    pages = await api.pages(f"{TYPES}?limit=2", by=key)
    assert [(each["name"], each["source"]) for page in pages for each in page.items] == [
        ("a.first", "api"),
        ("order.lost", "configuration"),
        ("order.made", "api"),
        ("order.paid", "configuration"),
        ("zebra", "api"),
    ]
    mine = (await api.send("GET", f"{TYPES}?group=mine&limit=2", by=key)).items
    assert [each["name"] for each in mine] == ["a.first", "order.made"]


@pytest.mark.parametrize("group", ["", "&group=mine"])
async def test_an_answer_has_fewer_types_where_they_are_large(api: Subscribers, key: str, group: str) -> None:
    """A platform may cut off an answer of more than 6 MB."""
    await keep_large_types(api, key, 12)
    pages = await api.pages(f"{TYPES}?limit=100{group}", by=key)
    assert max(len(page.reply.body) for page in pages) < 2_100_000
    seen = [each["name"] for page in pages for each in page.items if each["group"] == "mine"]
    assert seen == [f"large.{number:02}" for number in range(12)]


async def test_a_type_is_replaced_and_deleted_unless_the_configuration_has_it(api: Subscribers, key: str) -> None:
    fields: JsonObject = {"description": "A user.", "group": "users", "schema": {}, "examples": [1], "deprecated": True}
    made = await api.send("PUT", f"{TYPES}/user.made", fields, by=key)
    assert made.json == {"name": "user.made", "source": "api", **fields}
    assert (await api.send("GET", f"{TYPES}/user.made", by=key)).json == made.json
    assert (await api.send("DELETE", f"{TYPES}/user.made", by=key)).status == 204
    assert (await api.send("DELETE", f"{TYPES}/user.made", by=key)).status == 404
    for method, body in (("PUT", fields), ("DELETE", None)):
        answer = await api.send(method, f"{TYPES}/order.paid", body, by=key)
        assert (answer.status, answer.code) == (409, "already_configured")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"schema": {"type": "nothing"}}, "/schema"),
        ({"schema": {"$ref": "https://elsewhere.example.com/"}}, "/schema"),
        ({"examples": ["x" * 100_001]}, "/examples"),
        ({"examples": [1] * 21}, "/examples"),
    ],
)
async def test_a_type_that_breaks_a_rule_is_answered_with_its_path(
    api: Subscribers, key: str, fields: JsonObject, path: str
) -> None:
    answer = await api.send("PUT", f"{TYPES}/user.made", fields, by=key)
    assert (answer.status, answer.code) == (422, "invalid_value")
    assert answer.paths[0].startswith(path)


async def test_an_openapi_document_is_imported_once_tried_and_exported_again(api: Subscribers, key: str) -> None:
    tried = await api.send("POST", f"{TYPES}/import", {"document": OPENAPI, "dry_run": True}, by=key)
    assert tried.json == {"created": ["cart.left"], "updated": [], "unchanged": []}
    assert (await api.send("GET", f"{TYPES}/cart.left", by=key)).status == 404
    assert (await api.send("POST", f"{TYPES}/import", {"document": OPENAPI}, by=key)).json == tried.json
    shown = (await api.send("GET", f"{TYPES}/cart.left", by=key)).json
    assert (shown["description"], shown["group"]) == ("A cart is left.", "carts")
    assert shown["schema"] == {"type": "object", "properties": {"id": {"type": "integer"}}}

    exported = (await api.send("GET", f"{TYPES}/export", by=key)).json
    webhooks = mapping_at(exported["webhooks"])
    assert set(webhooks) == {"cart.left", "order.lost", "order.paid"}
    again = {**exported, "webhooks": {"cart.left": webhooks["cart.left"]}}
    unchanged = await api.send("POST", f"{TYPES}/import", {"document": again}, by=key)
    assert unchanged.json == {"created": [], "updated": [], "unchanged": ["cart.left"]}


async def test_an_import_at_fault_writes_nothing_and_tells_each_fault(api: Subscribers, key: str) -> None:
    document: JsonObject = {"good": {}, "bad name": {}, "worse": {"schema": 1}}
    answer = await api.send("POST", f"{TYPES}/import", {"document": document}, by=key)
    assert (answer.status, answer.paths) == (422, ["/document/bad name", "/document/worse/schema"])
    assert (await api.send("GET", f"{TYPES}/good", by=key)).status == 404
    large = await api.send("POST", f"{TYPES}/import", b'{"document": {"a": "' + b"x" * 4_200_000 + b'"}}', by=key)
    assert (large.status, large.code) == (413, "body_too_large")


async def keep_large_types(api: Subscribers, key: str, count: int) -> None:
    for number in range(count):
        fields: JsonObject = {"group": "mine", "schema": {"type": "object", "title": "x" * 190_000}}
        assert (await api.send("PUT", f"{TYPES}/large.{number:02}", fields, by=key)).status == 200


async def test_an_export_that_no_answer_can_hold_is_rejected(api: Subscribers, key: str) -> None:
    await keep_large_types(api, key, 12)
    answer = await api.send("GET", f"{TYPES}/export", by=key)
    assert (answer.status, answer.code) == (409, "answer_too_large")
    assert "one `group` at a time" in answer.text("detail")
    orders = await api.send("GET", f"{TYPES}/export?group=orders", by=key)
    assert list(orders.json["webhooks"]) == ["order.paid"]  # type: ignore[arg-type] # it is an object
    page = (await api.send("GET", "/docs")).reply.body.decode()
    assert "There are more event types than this page can show." in page
    assert "large.09" in page
    assert len(page) < 2_100_000


async def test_the_published_catalogue_is_made_once_a_minute(api: Subscribers, key: str) -> None:
    await api.send("GET", "/docs")
    calls = api.documents.calls
    await api.send("GET", "/docs")
    assert api.documents.calls == calls
    await api.send("PUT", f"{TYPES}/user.made", {}, by=key)
    api.clock.time += 60
    assert "user.made" in (await api.send("GET", "/docs")).reply.body.decode()
