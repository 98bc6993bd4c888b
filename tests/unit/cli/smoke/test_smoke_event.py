"""The event of a smoke test, and whom it may reach."""

from pathlib import Path
from typing import Final

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.requests.events import MARK, make_example_event, make_test_event, read_event_file
from deploy.requests.posting import Posting, Recipient, possible_recipients, signed_url, usable_auth
from deploy.requests.sources import compiled_sources
from shared.http import Request
from shared.jsontext import JsonObject


def test_type_and_id_stand_where_the_source_looks_for_them() -> None:
    source: JsonObject = {"type": ["header.X-Event", "data.kind"], "id": "data.order.id"}
    event = make_test_event(source, "order.created", "smoke-1")
    assert event.headers == {"X-Event": "order.created"}
    assert isinstance(event.data, dict)
    assert event.data["order"] == {"id": "smoke-1"}
    assert event.data[MARK] == "smoke-1"
    assert make_test_event({"id": "query.id"}, "t", "smoke-1").query == {"id": "smoke-1"}


def test_an_event_for_a_form_says_which_page_it_is_on() -> None:
    source: JsonObject = {"form": {"origins": ["https://a.example", "https://b.example"]}}
    assert make_test_event(source, "t", "smoke-1").headers == {"Origin": "https://a.example", "Sec-Fetch-Mode": "cors"}
    assert make_example_event(source, "t").headers == {"Origin": "https://a.example", "Sec-Fetch-Mode": "cors"}


def test_a_file_goes_as_it_is_but_for_its_id(tmp_path: Path) -> None:
    (tmp_path / "sample.xml").write_text("<event><id>7</id></event>")
    assert (
        read_event_file(tmp_path / "sample.xml", {"id": "data.id"}, "smoke-1", None).data
        == b"<event><id>7</id></event>"
    )
    (tmp_path / "sample.json").write_text('{"id": 7, "plan": "big"}')
    event = read_event_file(tmp_path / "sample.json", {"id": "data.id", "type": "header.X-Event"}, "smoke-1", "order")
    assert event.data == {"id": "smoke-1", "plan": "big"}
    assert event.headers == {"X-Event": "order"}


def test_the_url_that_is_signed_has_the_scheme_that_a_trusted_proxy_tells() -> None:
    text = "sources: {calls: {provider: twilio, secret: token, trusted_proxies: 1}}\n"
    slices = compile_config(parse_config(text, "test.yaml", Path()))
    [(name, settings)] = compiled_sources(slices["receive"]).items()
    assert isinstance(settings, dict)
    auth = usable_auth(settings)
    assert auth is not None
    posting = Posting("https://hooks.example.com/calls", name, settings, auth, lambda _: "")
    request = Request("POST", "/calls", "", (("host", "hooks.example.com"),), b"")
    assert signed_url(posting)(request) == posting.url


# Whom it reaches

SLICES: Final[dict[str, JsonObject]] = {
    "transform": {
        "routes": [
            {"name": "a", "from": ["shop"], "types": ["order.*"], "to": ["people"]},
            {"name": "b", "from": None, "types": None, "to": ["crm", "people"]},
            {"name": "c", "from": ["other"], "types": None, "to": ["nobody"]},
        ]
    },
    "notify": {
        "destinations": {
            "people": {"kind": "email", "settings": {"to": ["a@x", "b@x", "c@x"], "cc": ["d@x"]}},
            "crm": {"kind": "webhook", "settings": {"url": "https://crm.example.com/in"}},
        }
    },
}


def test_whom_it_may_reach_is_known_before_it_is_sent() -> None:
    assert possible_recipients(SLICES, "shop", "order.created") == [
        Recipient("people", "email", "a@x, b@x, c@x and 1 more"),
        Recipient("crm", "webhook", "https://crm.example.com/in"),
    ]
    assert [each.destination for each in possible_recipients(SLICES, "shop", "refund")] == ["crm", "people"]
    assert [each.destination for each in possible_recipients(SLICES, "shop", None)] == ["people", "crm"]
