"""A certificate that a request names by URL, fetched and handed in by the edge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.errors import Rejected, Temporary

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def fetched(keys: Mapping[str, bytes], url: str) -> bytes:
    """Raises Temporary (`key_unavailable`): what was not fetched decides nothing."""
    if url not in keys:
        raise Temporary("key_unavailable", "the provider's key has not been fetched")
    return keys[url]


def certificate(pem: bytes, now: float) -> Certificate:
    """Raises Rejected (`sig`) for one that has expired, Temporary for what is none."""
    found = _loaded(pem)
    if found.not_valid_after_utc < datetime.fromtimestamp(now, UTC):
        raise Rejected("sig", "the provider's certificate has expired")
    return found


@lru_cache(maxsize=16)
def _loaded(pem: bytes) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem)
    except ValueError as error:
        raise Temporary("key_unavailable", "what was fetched as the provider's certificate is none") from error


def common_names(found: Certificate) -> list[str]:
    from cryptography.x509.oid import NameOID

    return [str(name.value) for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
