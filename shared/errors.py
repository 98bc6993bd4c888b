"""The errors that Hookchain raises on purpose, and what each means to the caller.

    HookchainError
    ├── Rejected    the sender's request is at fault: a 4xx, nothing published
    ├── Temporary   one of our own parts is in trouble: a 503 or a nack, so it comes again
    │   └── Unanswered   a request that we sent got no answer, and may have been acted on
    └── Permanent   can never succeed: dead-lettered first, then acknowledged

Every one carries a stable `code` for programs and a `detail` for people. A detail may name a rule, a limit, a
configured name or a count. It never holds a secret, a header's value or any part of a body.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

REJECTION_STATUS: Mapping[str, int] = MappingProxyType(
    {
        # the request itself
        "parse": 400,
        "multi": 400,
        "length": 400,
        "id": 400,
        "disconnected": 400,
        "sig": 401,
        "ts": 401,
        "password": 401,
        "push_identity_mismatch": 401,
        "cert_url": 401,
        "sub_url": 401,
        "address": 403,
        "origin": 403,
        "prefetch": 403,
        "unknown_source": 404,
        "method": 405,
        "slow": 408,
        "raw": 413,
        "decoded": 413,
        "encoding": 415,
        "content_type": 415,
        # the body parses, and breaks a limit or a rule
        "depth": 422,
        "nodes": 422,
        "num": 422,
        "dup_key": 422,
        "key": 422,
        "dtd": 422,
        "tag": 422,
        "expansion": 422,
        "fields": 422,
        "parts": 422,
        "items": 422,
        "schema": 422,
        "loop": 422,
    }
)


class HookchainError(Exception):
    """The root: what Hookchain raises on purpose."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Rejected(HookchainError):
    """The sender's request is refused. `code` is a key of REJECTION_STATUS."""

    @property
    def status(self) -> int:
        return REJECTION_STATUS[self.code]


class Temporary(HookchainError):
    """A part of ours (bus, ledger, secret store) failed or was too slow. Trying again later may help."""


class Unanswered(Temporary):
    """A request was sent whole, and no answer came: the other side may have acted on it."""


class Permanent(HookchainError):
    """No number of tries will help. Whoever catches this dead-letters before it acknowledges."""


def place_of(error: BaseException) -> str:
    """Return kind and place, never the text: an unforeseen exception's text may hold what a sender wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
