"""The rules of an endpoint's settings that depend on the operator's, or on several of them together."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from functions.subscribe.bodies import invalid_values
from functions.subscribe.problems import FaultAt
from functions.subscribe.settings import SubscribeSettings
from shared.config.rules import rate_of
from shared.errors import Permanent
from shared.outgoing.allowed_requests import read_target
from shared.subscribers.model import Endpoint
from shared.subscribers.payload import STANDARD_FIELDS, verify_auth, verify_header, verify_secret


def verify_endpoint_settings(endpoint: Endpoint, secret: str | None, settings: SubscribeSettings) -> None:
    """Raises ApiProblem (`invalid_value`) with all that is at fault. `secret` is the caller's own, if it has one."""
    faults = list(_faults(endpoint, secret, settings))
    if faults:
        raise invalid_values(faults)


def _faults(endpoint: Endpoint, secret: str | None, settings: SubscribeSettings) -> Iterator[FaultAt]:
    limits = settings.limits
    for name, count, most in (
        ("headers", len(endpoint.headers), limits.headers),
        ("fields", len(endpoint.fields), limits.fields),
        ("types", len(endpoint.types), limits.types),
    ):
        if count > most:
            yield f"/{name}", f"must have at most {most}; got {count}"
    if rule := _broken(lambda: verify_url(endpoint.url, settings)):
        yield "/url", rule
    if rule := _broken(lambda: verify_auth(endpoint.auth)):
        yield "/auth", rule
    for name, value in endpoint.headers.items():
        if rule := _header_fault(name, value, endpoint):
            yield f"/headers/{name.replace('~', '~0').replace('/', '~1')}", rule
    if any(each.payload == "standard" for each in settings.destinations.values()):
        for name in STANDARD_FIELDS:
            if name in endpoint.fields:
                yield f"/fields/{name}", "must not be one of the body's own: type, timestamp, data"
    if endpoint.filter and (rule := _broken(lambda: _verify_filter(endpoint.filter, limits.filter_characters))):
        yield "/filter", rule
    if secret is not None and (rule := _broken(lambda: verify_secret(endpoint.auth, secret))):
        yield "/secret", rule
    if rule := _rate_fault(endpoint.rate, settings):
        yield "/rate", rule


def sends_secret_elsewhere(before: Endpoint, after: Endpoint) -> bool:
    """Return whether the change has the secret itself, and no signature made with it, sent to another host."""
    is_sent = after.auth.kind in ("basic", "bearer")
    return is_sent and urlsplit(before.url.lower())[:2] != urlsplit(after.url.lower())[:2]


def _header_fault(name: str, value: str, endpoint: Endpoint) -> str | None:
    return _broken(lambda: verify_header(name, value, endpoint.auth))


def _verify_filter(text: str, most: int) -> None:
    from shared.subscribers.matching import Filter  # with jmespath

    Filter(text, most)


def verify_url(url: str, settings: SubscribeSettings) -> None:
    """Raises ValueError, or Permanent."""
    if url.lower().startswith("http://") and not settings.allow_http:
        raise ValueError("must begin with https://")
    read_target(url, settings.allow_private, settings.allow_http)


def _rate_fault(rate: str, settings: SubscribeSettings) -> str | None:
    if not rate:
        return None
    if rule := _broken(lambda: _verify_rate(rate)):
        return rule
    for destination in settings.destinations.values():
        if destination.rate and _per_second(rate) > _per_second(destination.rate):
            return f"must be at most {destination.rate}"
    return None


def _verify_rate(rate: str) -> None:
    rate_of(rate)


def _per_second(rate: str) -> float:
    count, seconds = rate_of(rate)
    return count / seconds


def _broken(verify: Callable[[], None]) -> str | None:
    """Return the rule that is broken; None if none is."""
    try:
        verify()
    except ValueError as error:
        return str(error)
    except Permanent as error:
        return error.detail
    return None
