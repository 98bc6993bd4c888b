"""The settings of destinations that are subscribers."""

import pytest
from pydantic import ValidationError

from functions.notify.destinations.subscribers import Settings
from shared.jsontext import JsonObject


def test_a_tenant_is_enough() -> None:
    settings = Settings.model_validate({"tenant": "data.accountId"})
    assert (settings.tenant, settings.type, settings.payload) == ("data.accountId", "{{ type }}", "standard")


@pytest.mark.parametrize(
    "written",
    [
        {"tenant": "accountId"},  # no part of an event
        {"tenant": "data.["},
        {},
        {"tenant": "data.id", "type": "order paid"},
        {"tenant": "data.id", "type": "{{ kind }}"},
        {"tenant": "data.id", "payload": "cloudevents"},
        {"tenant": "data.id", "unknown_tenant": "drop"},
        {"tenant": "data.id", "url": "https://example.com"},
    ],
)
def test_what_can_never_be_delivered_is_a_fault(written: JsonObject) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(written)
