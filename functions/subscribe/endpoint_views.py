"""An endpoint as the API shows it, and its ETag: a hash of what can be changed in it."""

import hashlib
from typing import Final

from functions.subscribe.models.endpoints import AuthView, DisabledView, EndpointView
from functions.subscribe.problems import ApiProblem
from functions.subscribe.route import Call
from shared.jsontext import Json, canonical
from shared.subscribers.model import Endpoint
from shared.times import rfc3339

_ANY: Final = "*"


def time_text(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def endpoint_view(endpoint: Endpoint) -> EndpointView:
    disabled = None
    if endpoint.disabled_by is not None:
        at = time_text(endpoint.disabled_at)
        disabled = DisabledView(by=endpoint.disabled_by, reason=endpoint.disabled_reason, at=at)
    return EndpointView(
        id=endpoint.id,
        url=endpoint.url,
        description=endpoint.description,
        types=list(endpoint.types),
        filter=endpoint.filter,
        headers=endpoint.headers,
        fields=endpoint.fields,
        auth=AuthView(**endpoint.auth.model_dump()),
        rate=endpoint.rate,
        enabled=endpoint.is_enabled,
        verified=endpoint.is_verified,
        disabled=disabled,
        failing_since=time_text(endpoint.failing_since),
        filter_fault=endpoint.filter_fault,
        created_at=rfc3339(endpoint.created_at),
        updated_at=rfc3339(endpoint.updated_at),
    )


def view_with_etag(call: Call, endpoint: Endpoint) -> EndpointView:
    """Return the endpoint, with its ETag in the reply."""
    call.add_header("etag", etag_of(endpoint))
    return endpoint_view(endpoint)


def etag_of(endpoint: Endpoint) -> str:
    fields = {"url", "description", "types", "filter", "headers", "fields", "auth", "rate"}
    editable: Json = [endpoint.id, endpoint.model_dump(mode="json", include=fields), endpoint.is_enabled]
    return f'"{hashlib.sha256(canonical(editable)).hexdigest()[:32]}"'


def verify_version(call: Call, endpoint: Endpoint) -> None:
    """Raises ApiProblem (`version_mismatch`) where `If-Match` names another version of the endpoint."""
    wanted = call.request.header("if-match")
    if wanted is None or wanted.strip() == _ANY:
        return
    if etag_of(endpoint) not in [each.strip() for each in wanted.split(",")]:
        raise ApiProblem("version_mismatch", "the endpoint has changed since; read it again, and decide then")
