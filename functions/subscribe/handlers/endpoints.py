"""The endpoints of a tenant. Each change is published for the destination `tell.operator`.

An event for the operator that cannot be published is logged and is missing: the change is done, and is not undone.

The module has the handlers in the order of an endpoint's life: created, changed, enabled and disabled, verified,
deleted. What they share comes after them. The handlers for an endpoint's secrets are the last ones.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from functions.subscribe import access, credentials, cursors, verification
from functions.subscribe.endpoint import (
    endpoint_view,
    make_secret,
    open_secret,
    seal_secret,
    sends_secret_elsewhere,
    verify_endpoint_settings,
    verify_version,
    view_with_etag,
)
from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.models import endpoints as models, values
from functions.subscribe.problems import ApiProblem, invalid, not_found
from functions.subscribe.route import Call
from shared import errors, logs, ports, store_ports, times
from shared.subscribers import names, operational_events, payload
from shared.subscribers.directory import TENANTS, endpoints_of, read_stored
from shared.subscribers.model import DisabledBy, Endpoint, EndpointAuth, EndpointSecret

ID_CHARACTERS: Final = 20
"""The characters of an endpoint's id after `ep_`."""
MAX_SECRETS: Final = 5
"""The most secrets of an endpoint that are valid at the same time."""
_COPIED_FIELDS: Final = ("url", "description", "filter", "headers", "fields", "rate")
"""The fields of a request that an endpoint has in the same form."""
_REPAIRING_FIELDS: Final = ("url", "headers", "auth", "secret")
"""A change of one of these may repair an endpoint, so it ends a pause after failures."""
ChangeKind: TypeAlias = Literal["created", "updated", "deleted", "enabled", "disabled"]


async def list_endpoints(call: Call, query: values.ListQuery) -> values.Page[models.EndpointView]:
    """List the endpoints of a tenant."""
    items, next_ = await cursors.read_page(call, Endpoint, endpoints_of(call.tenant), query, endpoint_view)
    return values.Page[models.EndpointView](items=items, next=next_)


async def get_endpoint(call: Call, _: values.NoQuery) -> models.EndpointView:
    """Return an endpoint."""
    return view_with_etag(call, await endpoint_of(call))


async def create_endpoint(call: Call, body: models.EndpointInput) -> models.EndpointCreated:
    """Create an endpoint, and show its secret once."""
    service = call.service
    now = call.now
    tenant = call.tenant
    id_ = f"ep_{call.new_short_id('endpoint', ID_CHARACTERS)}"
    secret = body.secret or make_secret(service, body.auth.kind)
    endpoint = Endpoint(
        id=id_,
        tenant=tenant,
        **body.model_dump(include=set(_COPIED_FIELDS)),
        types=tuple(body.types),
        auth=EndpointAuth(**body.auth.model_dump()),
        secrets=(await seal_secret(service, tenant, id_, secret, now),),
        is_verified=service.settings.verify == "none",
        disabled_by=None if body.enabled else _disabler(call),
        disabled_at=None if body.enabled else now,
        created_at=now,
        updated_at=now,
    )
    verify_endpoint_settings(endpoint, body.secret, service.settings)
    if not await _write_new(call, endpoint):  # an earlier try of this request has made it, with another secret
        endpoint = await endpoint_of(call, id_)
        secret = await open_secret(service, tenant, id_, endpoint.secrets[0])
    await _verify_tenant_remains(call, endpoint)
    await service.directory.announce_change(tenant, "subscribe")
    await tell_operator(call, "created", endpoint)
    return models.EndpointCreated(**view_with_etag(call, endpoint).model_dump(), secret=secret)


async def change_endpoint(call: Call, body: models.EndpointChange) -> models.EndpointView:
    """Change an endpoint: what is given replaces what was there."""
    if body.enabled or body.model_dump(include=set(_REPAIRING_FIELDS), exclude_none=True):
        await _end_pauses(call)
    changes = await _changes(call, body)

    def decide(before: Endpoint) -> Endpoint:
        verify_version(call, before)
        after = before.model_copy(update=changes)
        verify_endpoint_settings(after, body.secret, call.service.settings)
        if body.secret is None:
            _verify_kept_secret(call, before, after)
        if after.url != before.url and call.service.settings.verify != "none":
            after = after.model_copy(update={"is_verified": False})
        if after.filter != before.filter:
            after = after.model_copy(update={"filter_fault": ""})
        if body.enabled is not None:
            after = _with_enabled(call, after) if body.enabled else _with_disabled(call, after)
        return after if after == before else after.model_copy(update={"updated_at": call.now})

    before, after = await change_stored(call, decide)
    if after.is_enabled != before.is_enabled:
        await tell_operator(call, "enabled" if after.is_enabled else "disabled", after)
    elif after != before:
        await tell_operator(call, "updated", after)
    return view_with_etag(call, after)


async def _changes(call: Call, body: models.EndpointChange) -> dict[str, object]:
    """Return the fields of an endpoint that the request changes, with their new values. Seals a secret."""
    changes: dict[str, object] = body.model_dump(include=set(_COPIED_FIELDS), exclude_none=True)
    if body.types is not None:
        changes["types"] = tuple(body.types)
    if body.secret is not None:
        sealed = await seal_secret(call.service, call.tenant, call.params["endpoint"], body.secret, call.now)
        changes["secrets"] = (sealed,)
    if body.auth is not None:
        changes["auth"] = EndpointAuth(**body.auth.model_dump())
    return changes


def _verify_kept_secret(call: Call, before: Endpoint, after: Endpoint) -> None:
    """Raise ApiProblem (`invalid_value`) if the changed endpoint must not keep its current secret."""
    if after.auth.kind != before.auth.kind:
        raise invalid("/secret", "is missing; another kind of authentication needs a secret of its own")
    if sends_secret_elsewhere(before, after) and not access.REVEAL.allows(call.caller):
        rule = "is missing; only a caller who may see the current secret can send it to another host"
        raise invalid("/secret", rule)


async def enable_endpoint(call: Call, _: values.NoBody) -> models.EndpointView:
    """Enable an endpoint."""
    await _end_pauses(call)
    before, after = await change_stored(call, lambda endpoint: _with_enabled(call, endpoint))
    if not before.is_enabled:
        await tell_operator(call, "enabled", after)
    return view_with_etag(call, after)


async def disable_endpoint(call: Call, _: values.NoBody) -> models.EndpointView:
    """Disable an endpoint: it gets nothing until it is enabled."""
    before, after = await change_stored(call, lambda endpoint: _with_disabled(call, endpoint))
    if before.is_enabled:
        await tell_operator(call, "disabled", after)
    return view_with_etag(call, after)


async def verify_endpoint(call: Call, _: values.NoBody) -> models.EndpointView:
    """Ask the endpoint to prove that it wants events."""
    endpoint = await endpoint_of(call)
    if not endpoint.is_verified:
        await verification.verify_ownership(call.service, endpoint)

    def decide(before: Endpoint) -> Endpoint:
        if before.url != endpoint.url:
            raise ApiProblem("version_mismatch", "the URL was changed meanwhile; verify the new one")
        return before if before.is_verified else before.model_copy(update={"is_verified": True, "updated_at": call.now})

    return view_with_etag(call, (await change_stored(call, decide))[1])


async def delete_endpoint(call: Call, _: values.NoQuery) -> None:
    """Delete an endpoint."""
    partition = endpoints_of(call.tenant)
    id_ = call.params["endpoint"]
    document = await call.service.documents.get(partition, id_)
    if document is None:
        raise not_found("endpoint")
    endpoint = read_stored(Endpoint, document)
    verify_version(call, endpoint)
    # Without `If-Match`, the caller does not mind in which version it is deleted.
    expected = document.version if call.request.header("if-match") else None
    if not await call.service.directory.delete_endpoint(call.tenant, id_, call.now, expected):
        raise ApiProblem("version_mismatch", "the endpoint was changed at this moment; read it again, and decide then")
    await call.service.directory.announce_change(call.tenant, "subscribe")
    deleted = endpoint.model_copy(update={"updated_at": call.now})
    await tell_operator(call, "deleted", deleted)


async def endpoint_of(call: Call, id_: str = "") -> Endpoint:
    """Return the endpoint with this id, by default the one in the path. Raises ApiProblem (`not_found`)."""
    stored = await call.service.directory.read(Endpoint, endpoints_of(call.tenant), id_ or call.params["endpoint"])
    if stored is None:
        raise not_found("endpoint")
    return stored[0]


async def change_stored(call: Call, decide: Callable[[Endpoint], Endpoint]) -> tuple[Endpoint, Endpoint]:
    """Change the endpoint in the path atomically. Return it as it was before and as it is now.

    `decide` is called again if another change was faster. Raises ApiProblem (`not_found`), and what `decide` raises.
    """
    seen: list[Endpoint] = []

    def decide_found(before: Endpoint | None) -> Endpoint:
        if before is None:
            raise not_found("endpoint")
        seen.append(before)
        return decide(before)

    partition = endpoints_of(call.tenant)
    id_ = call.params["endpoint"]
    after = await call.service.directory.change(Endpoint, partition, id_, decide_found)
    assert after
    if after != seen[-1]:
        await call.service.directory.announce_change(call.tenant, "subscribe")
    return seen[-1], after


async def _write_new(call: Call, endpoint: Endpoint) -> bool:
    """Write the endpoint. Return False if it exists, because this is the repetition of a request with a lost answer.

    Only a request with an idempotency key (`call.seed`) can be such a repetition: its ids are the same each time.
    It is counted before it is written, so that a tenant never has too many. Raises ApiProblem: `limit_reached`, or
    `not_found` if the tenant was deleted meanwhile.
    """
    partition = endpoints_of(call.tenant)
    documents = call.service.documents
    directory = call.service.directory
    if call.seed and await documents.get(partition, endpoint.id) is not None:
        return False
    most = call.service.settings.limits.endpoints
    has_room = await directory.count_new_endpoint(call.tenant, most, call.now)
    if has_room is None:
        raise not_found("tenant")
    if not has_room:
        raise ApiProblem("limit_reached", f"a tenant has at most {most} endpoints; delete one first")
    if await documents.write(partition, endpoint.id, endpoint.text(), store_ports.NO_VERSION) is not None:
        return True
    await directory.uncount_endpoint(call.tenant, call.now)
    return False


async def _verify_tenant_remains(call: Call, endpoint: Endpoint) -> None:
    """Raise ApiProblem (`not_found`), and delete the new endpoint, if its tenant was deleted at this moment."""
    if await call.service.documents.get(TENANTS, call.tenant) is None:
        await call.service.directory.delete_endpoint(call.tenant, endpoint.id, call.now)
        raise not_found("tenant")


async def _end_pauses(call: Call) -> None:
    """End the pauses after failures, so that an endpoint is tried as soon as it has been repaired. Raises Temporary.

    This happens before the change: if it fails, the caller repeats both.
    """
    ledger = call.service.ledger
    for destination in call.service.settings.destinations:
        name = str(names.EndpointName(destination, call.tenant, call.params["endpoint"]))
        if (await ledger.destination_state(name)).is_paused_by_failures(call.now):
            await ledger.release(name, call.now)


def _disabler(call: Call) -> DisabledBy:
    return "operator" if call.is_operator else "tenant"


def _with_enabled(call: Call, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint enabled. Raises ApiProblem (`not_allowed`) for a tenant if the operator has disabled it."""
    if endpoint.is_enabled:
        return endpoint
    if endpoint.disabled_by == "operator" and not call.is_operator:
        raise ApiProblem("not_allowed", "the endpoint was disabled by the operator, who alone can enable it")
    cleared = {"disabled_by": None, "disabled_reason": "", "disabled_at": None, "failing_since": None}
    return endpoint.model_copy(update={**cleared, "updated_at": call.now})


def _with_disabled(call: Call, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint disabled by the caller.

    The operator replaces a tenant as the one who disabled it; a tenant does not replace the operator.
    """
    by = _disabler(call)
    if endpoint.disabled_by == by or endpoint.disabled_by == "operator":
        return endpoint
    update = {"disabled_by": by, "disabled_reason": "", "disabled_at": call.now, "updated_at": call.now}
    return endpoint.model_copy(update=update)


async def tell_operator(call: Call, change: ChangeKind, endpoint: Endpoint) -> None:
    """Publish the change to the operator's destination, if there is one. A repeated request publishes the same id."""
    destination = call.service.settings.tell
    if not destination:
        return
    event = operational_events.operational_event(
        change, endpoint, tenant_of(call), endpoint.updated_at, endpoint.disabled_reason
    )
    try:
        await call.service.bus.publish(ports.DELIVERIES, [operational_events.operational_message(event, destination)])
    except errors.Temporary as error:
        fault = {"type": event.type, "destination": destination, "code": error.code, "detail": error.detail}
        logs.log("ERROR", "the operator was not told", function="subscribe", **fault)


# The secrets of an endpoint: showing the one in use, and replacing it


async def reveal_secret(call: Call, _: values.NoQuery) -> models.SecretView:
    """Show the secret of an endpoint."""
    return await _secret_view(call, await endpoint_of(call))


async def rotate_secret(call: Call, body: models.SecretRotation) -> models.SecretView:
    """Replace the secret; the one before is used beside it for 24 hours."""
    endpoint = await endpoint_of(call)
    now = call.now
    if body.secret is not None:
        try:
            payload.verify_secret(endpoint.auth, body.secret)
        except ValueError as error:
            raise invalid("/secret", str(error)) from error
    text = body.secret or make_secret(call.service, endpoint.auth.kind, await _replaced_secret(call, endpoint))
    new = await seal_secret(call.service, call.tenant, endpoint.id, text, now)

    def decide(before: Endpoint) -> Endpoint:
        if before.auth.kind != endpoint.auth.kind:
            raise ApiProblem("version_mismatch", "the authentication was changed meanwhile; rotate the secret again")
        return before.model_copy(update={"secrets": (new, *_previous(before, now)), "updated_at": now})

    _, after = await change_stored(call, decide)
    await tell_operator(call, "updated", after)
    return await _secret_view(call, after)


def _previous(endpoint: Endpoint, now: float) -> tuple[EndpointSecret, ...]:
    """Return the secrets that stay in use. Only Standard Webhooks has a place for more than one signature.

    Raises ApiProblem (`limit_reached`).
    """
    if endpoint.auth.kind != "standard":
        return ()
    until = now + credentials.OVERLAP_SECONDS
    valid = [secret for secret in endpoint.secrets if secret.is_valid(now)]
    if len(valid) >= MAX_SECRETS:
        raise ApiProblem(
            "limit_reached", f"at most {MAX_SECRETS} secrets are valid at a time; wait until one has ended"
        )
    return tuple(secret if secret.valid_until else secret.model_copy(update={"valid_until": until}) for secret in valid)


async def _replaced_secret(call: Call, endpoint: Endpoint) -> str:
    """Return the secret that is replaced; empty if it cannot be opened any more, which the rotation repairs."""
    try:
        return await _newest(call, endpoint)
    except errors.Temporary as error:
        if error.code != "secret_unusable":
            raise
        return ""


async def _newest(call: Call, endpoint: Endpoint) -> str:
    """Return the secret that signs now. Raises Temporary (`secret_unusable`)."""
    return await open_secret(call.service, call.tenant, endpoint.id, endpoint.secrets[0])


async def _secret_view(call: Call, endpoint: Endpoint) -> models.SecretView:
    """Return the secret, and the ends of the previous ones that are still valid. Raises Temporary."""
    newest, *previous = endpoint.secrets
    all_ends = [secret.valid_until for secret in previous]
    ends = [end for end in all_ends if end is not None and call.now < end]
    return models.SecretView(
        secret=await _newest(call, endpoint),
        previous=[models.PreviousSecret(valid_until=times.rfc3339(end)) for end in ends],
        created_at=times.rfc3339(newest.created_at),
    )
