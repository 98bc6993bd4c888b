"""Certificates that a request names: the URLs at which they may be, and what is read from them.

A stranger could name any URL, so only URLs on the provider's own hosts are fetched.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from shared import errors
from shared.signatures.auth_scheme import mismatch

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def certificate(pem: bytes, now: float) -> Certificate:
    """Return the certificate.

    Raises Rejected (`signature_mismatch`) if it has expired, and Temporary (`key_unavailable`) for bytes that are not a
    certificate.
    """
    loaded = _load_certificate(pem)
    if loaded.not_valid_after_utc < datetime.fromtimestamp(now, UTC):
        raise mismatch("the provider's certificate has expired")
    return loaded


@lru_cache(maxsize=16)
def _load_certificate(pem: bytes) -> Certificate:
    # The package cryptography is imported in functions, because it takes 23 ms: no start waits for it.
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem)
    except (ValueError, InvalidVersion) as error:
        raise errors.Temporary("key_unavailable", "what was fetched as the provider's certificate is none") from error


def common_names(loaded: Certificate) -> list[str]:
    from cryptography.x509.oid import NameOID

    return [str(name.value) for name in loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


# A URL that all parsers read in the same way: without a user, with no port but that of https, and without white space
# and backslashes. Its groups are the host, and the path with the query.
_PLAIN_URL: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?(/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)"
)
_MAX_URL_CHARACTERS: Final = 2_048


def allowed_url(text: str | None, host_pattern: str, code: errors.RejectedCode, path_pattern: str = r"/.*") -> str:
    """Return the URL if it is on a host and has a path that match the patterns. Raises Rejected (`code`).

    The path includes the query. Give a narrow pattern for a certificate: by other paths and queries, a provider's hosts
    answer API calls with content that strangers have put there.
    """
    url = _PLAIN_URL.fullmatch(text or "") if len(text or "") <= _MAX_URL_CHARACTERS else None
    if url and re.fullmatch(host_pattern, url[1]) and re.fullmatch(path_pattern, url[2]):
        return url[0]
    is_certificate = code == "certificate_url_not_allowed"
    what = "the certificate's URL" if is_certificate else "the URL that confirms the subscription"
    raise errors.Rejected(code, f"{what} is not one of the provider's own")
