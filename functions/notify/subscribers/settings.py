"""The part of notify's slice about subscribers."""

from dataclasses import dataclass

from shared.jsontext import Json
from shared.retention import Retention
from shared.slices import SliceFault


@dataclass(frozen=True, slots=True)
class SubscriberSettings:
    """disable_after_seconds  how long deliveries to an endpoint may keep failing
    operator, owners       the destinations that are told of endpoints; None if nobody is
    is_verified_first      an endpoint gets nothing before it has proven that it wants events
    secret                 the name of the secret that the secrets of endpoints are sealed with
    keep_seconds           how long a tenant's messages are kept
    """

    disable_after_seconds: float = 5 * 86_400.0
    operator: str | None = None
    owners: str | None = None
    allow_http: bool = False
    allow_private: bool = False
    is_verified_first: bool = False
    secret: str = "subscribers-key"  # noqa: S105 a name
    keep_seconds: float = 30 * 86_400.0


def read_subscriber_settings(written: Json, retention: Retention) -> SubscriberSettings:
    """Raises SliceFault."""
    after = written.get("disable_after_seconds") if isinstance(written, dict) else None
    if not isinstance(written, dict) or not isinstance(after, int | float):
        raise SliceFault("invalid_slice", "notify's slice has no settings of 'subscribers'; compile it again")
    tell = written.get("tell")
    operator, owners = (tell.get(name) if isinstance(tell, dict) else None for name in ("operator", "owners"))
    return SubscriberSettings(
        disable_after_seconds=float(after),
        operator=operator if isinstance(operator, str) else None,
        owners=owners if isinstance(owners, str) else None,
        allow_http=written.get("allow_http") is True,
        allow_private=written.get("allow_private") is True,
        is_verified_first=written.get("verify") not in (None, "none"),
        secret=str(written.get("secret") or "subscribers-key"),
        keep_seconds=retention.messages_seconds,
    )
