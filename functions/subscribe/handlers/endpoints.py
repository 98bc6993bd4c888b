"""The endpoints of a tenant."""

from functions.subscribe.models.base import ListQuery, NoBody, NoQuery, Page
from functions.subscribe.models.endpoints import EndpointChange, EndpointCreated, EndpointInput, EndpointView
from functions.subscribe.route import Call


async def list_endpoints(call: Call, given: ListQuery) -> Page[EndpointView]:
    """List the endpoints of a tenant."""
    raise NotImplementedError


async def create_endpoint(call: Call, given: EndpointInput) -> EndpointCreated:
    """Create an endpoint, and show its secret once."""
    raise NotImplementedError


async def get_endpoint(call: Call, given: NoQuery) -> EndpointView:
    """Return an endpoint."""
    raise NotImplementedError


async def change_endpoint(call: Call, given: EndpointChange) -> EndpointView:
    """Change an endpoint: what is given replaces what was there."""
    raise NotImplementedError


async def delete_endpoint(call: Call, given: NoQuery) -> None:
    """Delete an endpoint."""
    raise NotImplementedError


async def enable_endpoint(call: Call, given: NoBody) -> EndpointView:
    """Enable an endpoint."""
    raise NotImplementedError


async def disable_endpoint(call: Call, given: NoBody) -> EndpointView:
    """Disable an endpoint: it gets nothing until it is enabled."""
    raise NotImplementedError


async def verify_endpoint(call: Call, given: NoBody) -> EndpointView:
    """Ask the endpoint to prove that it wants events."""
    raise NotImplementedError
