"""The log of deliveries."""

from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.deliveries import DeliveryDetail, DeliveryQuery, DeliveryView
from functions.subscribe.route import Call


async def list_endpoint_deliveries(call: Call, given: DeliveryQuery) -> Page[DeliveryView]:
    """List the deliveries to an endpoint, newest first."""
    raise NotImplementedError


async def list_tenant_deliveries(call: Call, given: DeliveryQuery) -> Page[DeliveryView]:
    """List the deliveries to all endpoints of a tenant, newest first."""
    raise NotImplementedError


async def get_delivery(call: Call, given: NoQuery) -> DeliveryDetail:
    """Return a delivery with its request and its attempts."""
    raise NotImplementedError
