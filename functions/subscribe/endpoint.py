"""An endpoint in the API: how it is shown, its version, the rules of its settings, and its secrets.

Its version is an ETag, a hash of the fields that a caller can change. A secret is sealed for one endpoint, so it cannot
be opened as the secret of another one.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Final, ParamSpec
from urllib.parse import urlsplit

from functions.subscribe import problems, route
from functions.subscribe.models import endpoints as models
from functions.subscribe.service import Service
from functions.subscribe.settings import SubscribeSettings
from shared import errors, jsontext, times
from shared.config.rules import rate_of
from shared.outgoing.allowed_urls import read_target
from shared.subscribers import json_pointer, payload, sealing
from shared.subscribers.model import AuthKind, Endpoint, EndpointSecret

_ANY_VERSION: Final = "*"
"""The value of `If-Match` that every version matches (RFC 9110, 13.1.1)."""
NONCE_BYTES: Final = 12
SECRET_BYTES: Final = 32
PRIVATE_KEY: Final = "whsk_"
"""A Standard Webhooks secret that signs with Ed25519 begins so."""
Arguments = ParamSpec("Arguments")


def endpoint_view(endpoint: Endpoint) -> models.EndpointView:
    """Return the endpoint as the API shows it, without its secrets."""
    disabled = None
    if endpoint.disabled_by is not None:
        at = times.time_text(endpoint.disabled_at)
        disabled = models.DisabledView(by=endpoint.disabled_by, reason=endpoint.disabled_reason, at=at)
    return models.EndpointView(
        id=endpoint.id,
        url=endpoint.url,
        description=endpoint.description,
        types=list(endpoint.types),
        filter=endpoint.filter,
        headers=endpoint.headers,
        fields=endpoint.fields,
        auth=models.AuthView(**endpoint.auth.model_dump()),
        rate=endpoint.rate,
        enabled=endpoint.is_enabled,
        verified=endpoint.is_verified,
        disabled=disabled,
        failing_since=times.time_text(endpoint.failing_since),
        filter_fault=endpoint.filter_fault,
        created_at=times.rfc3339(endpoint.created_at),
        updated_at=times.rfc3339(endpoint.updated_at),
    )


def view_with_etag(call: route.Call, endpoint: Endpoint) -> models.EndpointView:
    """Return the endpoint, with its ETag in the reply."""
    call.add_header("etag", etag_of(endpoint))
    return endpoint_view(endpoint)


def etag_of(endpoint: Endpoint) -> str:
    """Return the ETag, with its quotation marks. What deliveries change, such as `failing_since`, is not part of it."""
    fields = {"url", "description", "types", "filter", "headers", "fields", "auth", "rate"}
    editable: jsontext.Json = [endpoint.id, endpoint.model_dump(mode="json", include=fields), endpoint.is_enabled]
    return f'"{hashlib.sha256(jsontext.canonical(editable)).hexdigest()[:32]}"'


def verify_version(call: route.Call, endpoint: Endpoint) -> None:
    """Raise ApiProblem (`version_mismatch`) if the request is for another version of the endpoint, by `If-Match`."""
    if_match = call.request.header("if-match")
    if if_match is None or if_match.strip() == _ANY_VERSION:
        return
    if etag_of(endpoint) not in [etag.strip() for etag in if_match.split(",")]:
        raise problems.ApiProblem("version_mismatch", "the endpoint has changed since; read it again, and decide then")


def verify_endpoint_settings(endpoint: Endpoint, secret: str | None, settings: SubscribeSettings) -> None:
    """Raise ApiProblem (`invalid_value`) with every fault. `secret` is the one in the request, if there is one."""
    faults = list(_faults(endpoint, secret, settings))
    if faults:
        raise problems.invalid_values(faults)


def verify_url(url: str, settings: SubscribeSettings) -> None:
    """Raise ValueError or Permanent if deliveries cannot be sent to the URL."""
    if url.lower().startswith("http://") and not settings.allow_http:
        raise ValueError("must begin with https://")
    read_target(url, settings.allow_private, settings.allow_http)


def sends_secret_elsewhere(before: Endpoint, after: Endpoint) -> bool:
    """Return whether the change would send the secret to another host or port, which could then read it.

    Only `basic` and `bearer` send the secret itself. The other kinds send a signature.
    """
    is_secret_sent = after.auth.kind in ("basic", "bearer")
    url_before, url_after = urlsplit(before.url.lower()), urlsplit(after.url.lower())
    return is_secret_sent and (url_before.scheme, url_before.netloc) != (url_after.scheme, url_after.netloc)


def _faults(endpoint: Endpoint, secret: str | None, settings: SubscribeSettings) -> Iterator[problems.FaultAt]:
    """Yield the JSON pointer of each value that breaks a rule, and the rule. The models have verified their forms."""
    limits = settings.limits
    for name, count, most in (
        ("headers", len(endpoint.headers), limits.headers),
        ("fields", len(endpoint.fields), limits.fields),
        ("types", len(endpoint.types), limits.types),
    ):
        if count > most:
            yield f"/{name}", f"must have at most {most}; got {count}"
    if rule := _broken_rule(verify_url, endpoint.url, settings):
        yield "/url", rule
    if rule := _broken_rule(payload.verify_auth, endpoint.auth):
        yield "/auth", rule
    for name, value in endpoint.headers.items():
        if rule := _broken_rule(payload.verify_header, name, value, endpoint.auth):
            yield json_pointer.pointer("/headers", name), rule
    if any(destination.payload == "standard" for destination in settings.destinations.values()):
        for name in payload.STANDARD_FIELDS:
            if name in endpoint.fields:
                yield f"/fields/{name}", "must not be one of the body's own: type, timestamp, data"
    if endpoint.filter and (rule := _broken_rule(_verify_filter, endpoint.filter, limits.filter_characters)):
        yield "/filter", rule
    if secret is not None and (rule := _broken_rule(payload.verify_secret, endpoint.auth, secret)):
        yield "/secret", rule
    if rule := _rate_fault(endpoint.rate, settings):
        yield "/rate", rule


def _verify_filter(text: str, most: int) -> None:
    # Imported here, because it imports jmespath, which few requests need.
    from shared.subscribers.matching import Filter

    Filter(text, most)


def _rate_fault(rate: str, settings: SubscribeSettings) -> str | None:
    """Return the rule that the rate breaks; None if it is empty or breaks none.

    It may not be higher than the rate of any configured destination, because each of them delivers to the endpoint.
    """
    if not rate:
        return None
    if rule := _broken_rule(rate_of, rate):
        return rule
    for destination in settings.destinations.values():
        if destination.rate and _per_second(rate) > _per_second(destination.rate):
            return f"must be at most {destination.rate}"
    return None


def _per_second(rate: str) -> float:
    count, seconds = rate_of(rate)
    return count / seconds


def _broken_rule(verify: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs) -> str | None:
    """Return the rule that the arguments break, as `verify` says when it raises; None if it raises nothing."""
    try:
        verify(*args, **kwargs)
    except ValueError as error:
        return str(error)
    except errors.Permanent as error:
        return error.detail
    return None


def make_secret(service: Service, kind: AuthKind, replaced_secret: str = "") -> str:
    """Return a new random secret in the form of the kind.

    For `standard`, that is a shared secret, unless it takes the place of a private key: then it is one, too.
    """
    raw = service.random_bytes(SECRET_BYTES)
    if kind == "standard" and replaced_secret.startswith(PRIVATE_KEY):
        return f"{PRIVATE_KEY}{b64encode(raw + _public_bytes(raw)).decode()}"
    if kind == "standard":
        return f"whsec_{b64encode(raw).decode()}"
    return jsontext.base64url(raw)


def _public_bytes(private: bytes) -> bytes:
    # Imported here, because it is slow to import, and few requests need it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


async def seal_secret(service: Service, tenant: str, endpoint_id: str, text: str, now: float) -> EndpointSecret:
    """Return the secret as it is stored, sealed for this endpoint alone. Raises Temporary."""
    sealer = await service.keyring.sealer()
    sealed = sealer.seal(text, sealing.seal_context(tenant, endpoint_id), service.random_bytes(NONCE_BYTES))
    return EndpointSecret(sealed=sealed, created_at=now)


async def open_secret(service: Service, tenant: str, endpoint_id: str, secret: EndpointSecret) -> str:
    """Return the text of a sealed secret. Raises Temporary (`secret_unusable`)."""
    sealer = await service.keyring.sealer()
    return sealer.open(secret.sealed, sealing.seal_context(tenant, endpoint_id))
