"""The catalogue of event types."""

from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.event_types import (
    EventTypeInput,
    EventTypeQuery,
    EventTypeView,
    Exported,
    Imported,
    ImportInput,
)
from functions.subscribe.route import Call


async def list_event_types(call: Call, given: EventTypeQuery) -> Page[EventTypeView]:
    """List the event types."""
    raise NotImplementedError


async def get_event_type(call: Call, given: NoQuery) -> EventTypeView:
    """Return an event type."""
    raise NotImplementedError


async def put_event_type(call: Call, given: EventTypeInput) -> EventTypeView:
    """Create or replace an event type."""
    raise NotImplementedError


async def delete_event_type(call: Call, given: NoQuery) -> None:
    """Delete an event type."""
    raise NotImplementedError


async def import_event_types(call: Call, given: ImportInput) -> Imported:
    """Import event types."""
    raise NotImplementedError


async def export_event_types(call: Call, given: NoQuery) -> Exported:
    """Export the event types as webhooks of an OpenAPI document."""
    raise NotImplementedError
