"""A signature in a header, verified as a source with `scheme: hmac` does."""

from collections.abc import Sequence

from shared.http import Request
from shared.signatures.auth_scheme import read_scheme, verify_request


def verify_hmac(
    header: str | None, body: bytes, secrets: Sequence[str], algorithm: str, encoding: str, prefix: str
) -> None:
    """Raises Rejected."""
    headers = () if header is None else (("x-sig", header),)
    settings = {"algorithm": algorithm, "encoding": encoding, "prefix": prefix}
    auth = read_scheme({"scheme": "hmac", "header": "x-sig", "secret": "key", **settings})
    verify_request(Request("POST", "/hook", "", headers, body), auth, secrets, {}, 0.0)
