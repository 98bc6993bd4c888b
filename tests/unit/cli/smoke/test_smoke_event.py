"""The event of a smoke test, and whom it may reach."""

from pathlib import Path
from typing import Final

from deploy.requests.events import read_event_file
from deploy.requests.posting import Recipient, possible_recipients
from shared.jsontext import JsonObject


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
