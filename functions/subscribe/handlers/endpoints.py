"""The endpoints of a tenant."""

from collections.abc import Callable
from typing import Final

from functions.subscribe.caller import REVEAL
from functions.subscribe.endpoint_rules import sends_secret_elsewhere, verify_endpoint_settings
from functions.subscribe.endpoint_secrets import make_secret, open_secret, seal_secret
from functions.subscribe.endpoint_views import endpoint_view, verify_version, view_with_etag
from functions.subscribe.listing import read_page
from functions.subscribe.models.base import ListQuery, NoBody, NoQuery, Page
from functions.subscribe.models.endpoints import EndpointChange, EndpointCreated, EndpointInput, EndpointView
from functions.subscribe.operational import tell_operator
from functions.subscribe.problems import ApiProblem, invalid, not_found
from functions.subscribe.route import Call
from shared.store_ports import NO_VERSION
from shared.subscribers.directory import TENANTS, endpoints_of, read_stored
from shared.subscribers.model import DisabledBy, Endpoint, EndpointAuth
from shared.subscribers.names import EndpointName

ID_CHARACTERS: Final = 20
_KEPT: Final = ("url", "description", "filter", "headers", "fields", "rate")
_REPAIRED: Final = ("url", "headers", "auth", "secret")
"""A change of one of these may repair an endpoint, so it ends a pause after failures."""


async def list_endpoints(call: Call, given: ListQuery) -> Page[EndpointView]:
    """List the endpoints of a tenant."""
    items, next_ = await read_page(call, Endpoint, endpoints_of(call.tenant), given, endpoint_view)
    return Page[EndpointView](items=items, next=next_)


async def get_endpoint(call: Call, given: NoQuery) -> EndpointView:
    """Return an endpoint."""
    return view_with_etag(call, await endpoint_of(call))


async def create_endpoint(call: Call, given: EndpointInput) -> EndpointCreated:
    """Create an endpoint, and show its secret once."""
    service, now, tenant = call.service, call.now, call.tenant
    id_ = f"ep_{call.new_short_id('endpoint', ID_CHARACTERS)}"
    secret = given.secret or make_secret(service, given.auth.kind)
    endpoint = Endpoint(
        id=id_,
        tenant=tenant,
        **given.model_dump(include=set(_KEPT)),
        types=tuple(given.types),
        auth=EndpointAuth(**given.auth.model_dump()),
        secrets=(await seal_secret(service, tenant, id_, secret, now),),
        is_verified=service.settings.verify == "none",
        disabled_by=None if given.enabled else _disabler(call),
        disabled_at=None if given.enabled else now,
        created_at=now,
        updated_at=now,
    )
    verify_endpoint_settings(endpoint, given.secret, service.settings)
    if not await _write_new(call, endpoint):
        endpoint = await endpoint_of(call, id_)
        secret = await open_secret(service, tenant, id_, endpoint.secrets[0])
    await _keep_with_tenant(call, endpoint)
    await call.service.directory.announce_change(call.tenant, "subscribe")
    await tell_operator(call, "created", endpoint)
    return EndpointCreated(**view_with_etag(call, endpoint).model_dump(), secret=secret)


async def change_endpoint(call: Call, given: EndpointChange) -> EndpointView:
    """Change an endpoint: what is given replaces what was there."""
    service, now = call.service, call.now
    if given.enabled or given.model_dump(include=set(_REPAIRED), exclude_none=True):
        await _end_pauses(call)
    changes = given.model_dump(include=set(_KEPT), exclude_none=True)
    if given.types is not None:
        changes["types"] = tuple(given.types)
    if given.secret is not None:
        new = await seal_secret(service, call.tenant, call.params["endpoint"], given.secret, now)
        changes["secrets"] = (new,)
    if given.auth is not None:
        changes["auth"] = EndpointAuth(**given.auth.model_dump())

    def decide(before: Endpoint) -> Endpoint:
        verify_version(call, before)
        after = before.model_copy(update=changes)
        if after.auth.kind != before.auth.kind and given.secret is None:
            raise invalid("/secret", "is missing; another kind of authentication needs a secret of its own")
        if given.secret is None and sends_secret_elsewhere(before, after) and not REVEAL.allows(call.caller):
            rule = "is missing; the secret of before is sent to no other host by a caller who may not see it"
            raise invalid("/secret", rule)
        verify_endpoint_settings(after, given.secret, service.settings)
        if after.url != before.url and service.settings.verify != "none":
            after = after.model_copy(update={"is_verified": False})
        if after.filter != before.filter:
            after = after.model_copy(update={"filter_fault": ""})
        if given.enabled is not None:
            after = _enabled(call, after) if given.enabled else _disabled(call, after)
        return after if after == before else after.model_copy(update={"updated_at": now})

    before, after = await change_stored(call, decide)
    if after.is_enabled != before.is_enabled:
        await tell_operator(call, "enabled" if after.is_enabled else "disabled", after)
    elif after != before:
        await tell_operator(call, "updated", after)
    return view_with_etag(call, after)


async def delete_endpoint(call: Call, given: NoQuery) -> None:
    """Delete an endpoint."""
    partition, id_ = endpoints_of(call.tenant), call.params["endpoint"]
    found = await call.service.documents.get(partition, id_)
    if found is None:
        raise not_found("endpoint")
    endpoint = read_stored(Endpoint, found)
    verify_version(call, endpoint)
    expected = found.version if call.request.header("if-match") else None
    if not await call.service.directory.delete_endpoint(call.tenant, id_, call.now, expected):
        raise ApiProblem("version_mismatch", "the endpoint was changed at this moment; read it again, and decide then")
    await call.service.directory.announce_change(call.tenant, "subscribe")
    deleted = endpoint.model_copy(update={"updated_at": call.now})
    await tell_operator(call, "deleted", deleted)


async def enable_endpoint(call: Call, given: NoBody) -> EndpointView:
    """Enable an endpoint."""
    await _end_pauses(call)
    before, after = await change_stored(call, lambda endpoint: _enabled(call, endpoint))
    if not before.is_enabled:
        await tell_operator(call, "enabled", after)
    return view_with_etag(call, after)


async def _end_pauses(call: Call) -> None:
    """End the pauses after failures: whoever repairs an endpoint has it tried at once. Raises Temporary.

    Before the change, so that one that fails is made again with it.
    """
    ledger, now = call.service.ledger, call.now
    for destination in call.service.settings.destinations:
        name = str(EndpointName(destination, call.tenant, call.params["endpoint"]))
        if (await ledger.destination_state(name)).is_paused_by_failures(now):
            await ledger.release(name, now)


async def disable_endpoint(call: Call, given: NoBody) -> EndpointView:
    """Disable an endpoint: it gets nothing until it is enabled."""
    before, after = await change_stored(call, lambda endpoint: _disabled(call, endpoint))
    if before.is_enabled:
        await tell_operator(call, "disabled", after)
    return view_with_etag(call, after)


async def verify_endpoint(call: Call, given: NoBody) -> EndpointView:
    """Ask the endpoint to prove that it wants events."""
    from functions.subscribe.verification import verify_ownership  # with what sends requests

    endpoint = await endpoint_of(call)
    if not endpoint.is_verified:
        await verify_ownership(call.service, endpoint)

    def decide(before: Endpoint) -> Endpoint:
        if before.url != endpoint.url:
            raise ApiProblem("version_mismatch", "the URL was changed meanwhile; verify the new one")
        return before if before.is_verified else before.model_copy(update={"is_verified": True, "updated_at": call.now})

    return view_with_etag(call, (await change_stored(call, decide))[1])


async def endpoint_of(call: Call, id_: str = "") -> Endpoint:
    """Return the endpoint in the path. Raises ApiProblem (`not_found`)."""
    found = await call.service.directory.read(Endpoint, endpoints_of(call.tenant), id_ or call.params["endpoint"])
    if found is None:
        raise not_found("endpoint")
    return found[0]


async def change_stored(call: Call, decide: Callable[[Endpoint], Endpoint]) -> tuple[Endpoint, Endpoint]:
    """Change the endpoint in the path, with no other change between; as it was and as it is. Raises ApiProblem."""
    seen: list[Endpoint] = []

    def decide_found(before: Endpoint | None) -> Endpoint:
        if before is None:
            raise not_found("endpoint")
        seen.append(before)
        return decide(before)

    partition, id_ = endpoints_of(call.tenant), call.params["endpoint"]
    after = await call.service.directory.change(Endpoint, partition, id_, decide_found)
    assert after
    if after != seen[-1]:
        await call.service.directory.announce_change(call.tenant, "subscribe")
    return seen[-1], after


async def _write_new(call: Call, endpoint: Endpoint) -> bool:
    """Return False where it is there: made before by this request, whose answer was lost. Raises ApiProblem."""
    partition, documents, directory = endpoints_of(call.tenant), call.service.documents, call.service.directory
    if call.seed and await documents.get(partition, endpoint.id) is not None:
        return False
    most = call.service.settings.limits.endpoints
    has_room = await directory.count_new_endpoint(call.tenant, most, call.now)
    if has_room is None:
        raise not_found("tenant")
    if not has_room:
        raise ApiProblem("limit_reached", f"a tenant has at most {most} endpoints; delete one first")
    if await documents.write(partition, endpoint.id, endpoint.text(), NO_VERSION) is not None:
        return True
    await directory.uncount_endpoint(call.tenant, call.now)
    return False


async def _keep_with_tenant(call: Call, endpoint: Endpoint) -> None:
    """Delete the new endpoint if its tenant was deleted at this moment. Raises ApiProblem."""
    if await call.service.documents.get(TENANTS, call.tenant) is None:
        await call.service.directory.delete_endpoint(call.tenant, endpoint.id, call.now)
        raise not_found("tenant")


def _disabler(call: Call) -> DisabledBy:
    return "operator" if call.is_operator else "tenant"


def _enabled(call: Call, endpoint: Endpoint) -> Endpoint:
    """Raises ApiProblem (`not_allowed`) for a tenant whose endpoint the operator disabled."""
    if endpoint.is_enabled:
        return endpoint
    if endpoint.disabled_by == "operator" and not call.is_operator:
        raise ApiProblem("not_allowed", "the endpoint was disabled by the operator, who alone can enable it")
    cleared = {"disabled_by": None, "disabled_reason": "", "disabled_at": None, "failing_since": None}
    return endpoint.model_copy(update={**cleared, "updated_at": call.now})


def _disabled(call: Call, endpoint: Endpoint) -> Endpoint:
    """The operator's word stands over the tenant's."""
    by = _disabler(call)
    if endpoint.disabled_by in ({by} if by == "operator" else {by, "operator"}):
        return endpoint
    update = {"disabled_by": by, "disabled_reason": "", "disabled_at": call.now, "updated_at": call.now}
    return endpoint.model_copy(update=update)
