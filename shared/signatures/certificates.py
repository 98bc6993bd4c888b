"""A certificate that a request names by URL: the URLs that may be fetched, and the fetched certificate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from shared.errors import Rejected, RejectedCode, Temporary

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def fetched(keys: Mapping[str, bytes], url: str) -> bytes:
    """Raises Temporary (`key_unavailable`): what was not fetched decides nothing."""
    if url not in keys:
        raise Temporary("key_unavailable", "the provider's key has not been fetched")
    return keys[url]


def certificate(pem: bytes, now: float) -> Certificate:
    """Raises Rejected (`signature_mismatch`) for one that has expired, Temporary for what is none."""
    found = _loaded(pem)
    if found.not_valid_after_utc < datetime.fromtimestamp(now, UTC):
        raise Rejected("signature_mismatch", "the provider's certificate has expired")
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


# No user, no port but https's own, no white space or backslash, on which parsers disagree.
_PLAIN: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?(/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)"
)

# A region and nothing else: at sns.s3-us-west-2.amazonaws.com lies what the owner of a bucket named sns puts there.
AWS_SNS_HOST: Final = r"sns\.([a-z]{2,4}(?:-[a-z]+){1,2}-[0-9]{1,2})\.(amazonaws\.(?:com|com\.cn|eu))"
PAYPAL_HOST: Final = r"api(-m)?(\.sandbox)?\.paypal\.com"
# Where keys lie, and no query: the same hosts answer questions, with what strangers have put there.
AWS_SNS_CERTIFICATE: Final = r"/[A-Za-z0-9._-]+\.pem"
PAYPAL_CERTIFICATE: Final = r"/v1/notifications/certs/[A-Za-z0-9._-]+"


def allowed_url(text: str | None, host_pattern: str, code: RejectedCode, path_pattern: str = r"/.*") -> str:
    """Return an allowed URL. `path_pattern` matches path and query. Raises Rejected."""
    found = _PLAIN.fullmatch(text or "") if len(text or "") <= 2048 else None
    if not found or not re.fullmatch(host_pattern, found[1]) or not re.fullmatch(path_pattern, found[2]):
        is_certificate = code == "certificate_url_not_allowed"
        what = "the certificate's URL" if is_certificate else "the URL that confirms the subscription"
        raise Rejected(code, f"{what} is not one of the provider's own")
    return found[0]
