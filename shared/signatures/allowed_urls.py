"""Which URLs that a request names may be fetched: https, a known host, nothing hidden in between."""

import re
from typing import Final

from shared.errors import Rejected

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


def allowed_url(text: str | None, host_pattern: str, code: str, path_pattern: str = r"/.*") -> str:
    """The URL, once it is allowed; `path_pattern` is of path and query. Raises Rejected (`cert_url` or `sub_url`)."""
    found = _PLAIN.fullmatch(text or "") if len(text or "") <= 2048 else None
    if not found or not re.fullmatch(host_pattern, found[1]) or not re.fullmatch(path_pattern, found[2]):
        what = {"cert_url": "the certificate's URL", "sub_url": "the URL that confirms the subscription"}[code]
        raise Rejected(code, f"{what} is not one of the provider's own")
    return found[0]
