"""Which URLs that a request names may be fetched: https, a known host, nothing hidden in between."""

import re
from typing import Final
from urllib.parse import urlsplit

from shared.errors import Rejected

# No user, no port but https's own, no white space or backslash, on which parsers disagree.
_PLAIN: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?"
)

AWS_SNS_HOST: Final = r"sns\.[a-zA-Z0-9-]{3,}\.amazonaws\.com(\.cn)?"
PAYPAL_HOST: Final = r"([a-z0-9-]+\.)*paypal\.com"


def allowed_url(text: str | None, host_pattern: str, code: str, path_end: str = "") -> str:
    """The URL, once it is allowed. Raises Rejected (`cert_url` or `sub_url`)."""
    found = _PLAIN.fullmatch(text or "") if len(text or "") <= 2048 else None
    if not found or not re.fullmatch(host_pattern, found[1]) or not urlsplit(found[0]).path.endswith(path_end):
        what = {"cert_url": "the certificate's URL", "sub_url": "the URL that confirms the subscription"}[code]
        raise Rejected(code, f"{what} is not one of the provider's own")
    return found[0]
