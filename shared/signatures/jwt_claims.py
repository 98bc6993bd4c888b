"""What a token whose signature holds still has to say: for whom, from whom, and when (RFC 7519)."""

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject
from shared.signatures.timestamps import verify_age
from shared.signatures.way import Way


def verify_claims(claims: JsonObject, way: Way, now: float) -> None:
    """Raises Rejected: `sig` or `ts`."""
    for name, wanted in way.claims.items():
        if not set(_texts(claims.get(name))) & set(wanted):
            raise Rejected("sig", f"the token's claim {name} is none that the source takes")
    if "email" in way.claims and claims.get("email_verified") is False:
        raise Rejected("sig", "the token's e-mail address is not verified")
    _verify_times(claims, way, now)


def _verify_times(claims: JsonObject, way: Way, now: float) -> None:
    """Check `exp` with the leeway alone, `nbf` and `iat` with the tolerance. `exp` is the first second too late."""
    expires, begins, issued = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and now >= expires + way.leeway_seconds:
        raise Rejected("ts", "the token has expired")
    for time in (begins, issued):
        if time is not None and time > now + way.tolerance_seconds:
            raise Rejected("ts", "the token is from the future")
    if way.max_age:
        if issued is None:
            raise Rejected("ts", "the token does not say when it was issued")
        verify_age(issued, now, way.tolerance_seconds)


def _seconds(claims: JsonObject, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Rejected("ts", f"the token's {name} is no time")
    return value


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value is not None else []
