"""Subscribers: GET /api/subscribers, a page of tenants, and GET /api/subscribers/<tenant>, the endpoints of one."""

import re
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import bad_request, json_answer, limit_of, not_found
from deploy.dev.inspector.backend import BACKEND
from deploy.history.subscribers import read_endpoints, read_tenants
from shared.jsontext import Json
from shared.subscribers.names import TENANT_PATTERN

_TENANT: Final = re.compile(TENANT_PATTERN)


async def list_tenants(request: web.Request) -> web.Response:
    after = request.query.get("after", "")
    if after and not _TENANT.fullmatch(after):
        raise bad_request("after: must be the id of a tenant.")
    page = await read_tenants(request.app[BACKEND].documents, limit_of(request.query), after)
    return json_answer(page.document())


async def show_tenant(request: web.Request) -> web.Response:
    tenant = request.match_info["tenant"]
    found = await read_endpoints(request.app[BACKEND].documents, tenant) if _TENANT.fullmatch(tenant) else None
    if found is None:
        raise not_found("There is no such tenant.")
    endpoints: list[Json] = [*found]
    return json_answer({"endpoints": endpoints})


ROUTES: Final = [
    web.get("/api/subscribers", list_tenants),
    web.get("/api/subscribers/{tenant}", show_tenant),
]
