"""The slice of subscribe: read tolerantly, and refused at the start where it does not read."""

import pytest

from functions.subscribe.service import SubscribersDestination, read_settings
from shared.jsontext import Json, JsonObject
from shared.settings import SliceFault
from tests.fakes.subscribe_api import SLICE


def test_a_slice_of_the_least_has_the_defaults() -> None:
    settings = read_settings({"function": "subscribe", "subscribers": {}, "destinations": {}})
    assert (settings.limits.endpoints, settings.verify, settings.portal_name) == (20, "none", "Webhooks")
    assert (settings.public_url, settings.tell, settings.allow_http) == ("", "", False)


def test_what_a_newer_version_added_is_ignored() -> None:
    newer: JsonObject = {**SLICE, "new": 1, "subscribers": {"new": {}, "limits": {"new": 5, "endpoints": 7}}}
    assert read_settings(newer).limits.endpoints == 7


def test_destinations_and_event_types_are_read_by_name() -> None:
    settings = read_settings(SLICE)
    assert settings.destinations == {"customers": SubscribersDestination("standard", "100/s")}
    assert settings.event_types["order.paid"].examples == ({"total": 12},)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subscribers", 1),
        ("subscribers", {"verify": "telepathy"}),
        ("subscribers", {"public_url": 1}),
        ("subscribers", {"portal": []}),
        ("subscribers", {"portal": {"origins": "x"}}),
        ("destinations", []),
        ("destinations", {"customers": 1}),
        ("event_types", {"order.paid": "x"}),
        ("event_types", {"order.paid": {"schema": 1}}),
    ],
)
def test_a_slice_that_does_not_read_ends_the_start(name: str, value: Json) -> None:
    with pytest.raises(SliceFault) as raised:
        read_settings({**SLICE, name: value})
    assert raised.value.code == "invalid_slice"
