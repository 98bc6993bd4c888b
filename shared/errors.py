"""The errors that Hookchain raises on purpose, and what each means to the caller.

    HookchainError
    ├── Rejected    the sender's request is at fault: a 4xx, nothing published
    ├── Temporary   one of our own parts is in trouble: a 503 or a nack, so it comes again
    │   └── Unanswered   a request that we sent got no answer, and may have been acted on
    └── Permanent   can never succeed: dead-lettered first, then acknowledged

Each carries a stable `code` for programs and a `detail` for people. A detail may name a rule, a limit, a
configured name or a count. It never holds a secret, a header's value or any part of a body.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

RejectedCode: TypeAlias = Literal[
    "malformed_body", "multiple_documents", "invalid_content_length", "invalid_delivery_id", "disconnected",
    "signature_mismatch", "timestamp_out_of_range", "password_mismatch", "push_identity_mismatch",
    "certificate_url_not_allowed", "subscribe_url_not_allowed", "address_not_allowed", "origin_not_allowed",
    "prefetch_not_allowed", "unknown_source", "method_not_allowed", "request_timeout", "body_too_large",
    "decoded_body_too_large", "headers_too_large", "query_too_large", "unsupported_encoding",
    "unsupported_content_type", "nested_too_deeply", "too_many_values", "number_out_of_range", "duplicate_key",
    "invalid_key", "dtd_not_allowed", "tag_not_allowed", "expanded_too_large", "too_many_fields", "too_many_parts",
    "too_many_items", "schema_mismatch",
]  # fmt: skip
"""Codes of requests that are answered 4xx. deploy/codes.md lists every code with its meaning."""

TemporaryCode: TypeAlias = Literal[
    "apis_unavailable", "attempt_timeout", "blobs_unavailable", "bus_unavailable", "credentials_unavailable",
    "destination_not_loaded", "documents_unavailable", "grants_unavailable", "handshake_failed", "host_unavailable",
    "host_unreachable", "identity_missing", "identity_unavailable", "internal_error", "invocation_timeout",
    "journal_unavailable", "key_unavailable", "ledger_unavailable", "mail_queue_full", "mail_timeout", "offline",
    "owners_unavailable", "people_unavailable", "push_identity_unset", "push_keys_unavailable", "queue_full",
    "records_unavailable", "secret_unavailable", "secret_unusable", "secret_weak", "step_timeout",
]  # fmt: skip
"""Codes of failures after which the sender or the bus tries again."""

PermanentCode: TypeAlias = Literal[
    "address_blocked", "cast_failed", "conversion_failed", "crashed", "cryptography_failed", "decoding_failed",
    "delivery_id_reused", "destination_fault", "digest_failed", "encoding_failed", "endpoint_deleted",
    "endpoint_disabled", "expired", "expression_failed",
    "forgotten", "invalid_chain", "invalid_header", "invalid_output", "invalid_time", "invalid_url", "lint_failed",
    "mail_rejected", "mail_too_large", "malformed_event", "malformed_push", "malformed_response", "missing_answer",
    "message_rejected", "missing_body", "not_countable", "not_replayable", "outcome_unknown", "output_too_large",
    "path_conflict",
    "recipient_not_allowed", "refused_by_receiver", "request_rejected", "response_too_large", "retries_exhausted",
    "step_failed", "template_failed", "time_limit_exceeded", "too_many_hops", "undefined_field", "undeliverable",
    "unknown_destination", "unknown_key", "unknown_person", "unknown_route", "unknown_tenant",
]  # fmt: skip
"""Codes of dead letters."""

StartCode: TypeAlias = Literal["invalid_slice"]
"""Codes of faults that end the process before it serves."""

ReplyCode: TypeAlias = (
    RejectedCode | TemporaryCode | PermanentCode | Literal["unavailable", "unknown_chain", "filtered"]
)
"""Codes in the body of a reply. `unavailable`: a 503 whose cause is in the log alone."""

ServerCode: TypeAlias = Literal["malformed_http", "head_too_large"]
"""Codes of requests that the server rejects before a function sees them."""

ProblemCode: TypeAlias = RejectedCode | TemporaryCode | PermanentCode | StartCode

REJECTION_STATUS: Final[Mapping[RejectedCode, int]] = {
    **dict.fromkeys(get_args(RejectedCode), 422),  # the body parses, and breaks a limit or a rule
    "malformed_body": 400,
    "multiple_documents": 400,
    "invalid_content_length": 400,
    "invalid_delivery_id": 400,
    "disconnected": 400,
    "signature_mismatch": 401,
    "timestamp_out_of_range": 401,
    "password_mismatch": 401,
    "push_identity_mismatch": 401,
    "certificate_url_not_allowed": 401,
    "subscribe_url_not_allowed": 401,
    "address_not_allowed": 403,
    "origin_not_allowed": 403,
    "prefetch_not_allowed": 403,
    "unknown_source": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "body_too_large": 413,
    "decoded_body_too_large": 413,
    "headers_too_large": 431,
    "query_too_large": 413,
    "unsupported_encoding": 415,
    "unsupported_content_type": 415,
}


class HookchainError(Exception):
    """The root: an error that Hookchain raises on purpose."""

    code: ProblemCode

    def __init__(self, code: ProblemCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Rejected(HookchainError):
    """A request that is at fault: it is answered 4xx."""

    code: RejectedCode

    def __init__(self, code: RejectedCode, detail: str) -> None:
        super().__init__(code, detail)

    @property
    def status(self) -> int:
        return REJECTION_STATUS[self.code]


class Temporary(HookchainError):
    """A failure of one of our own parts (bus, ledger, secret store), or its timeout. A retry may help."""

    code: TemporaryCode

    def __init__(self, code: TemporaryCode, detail: str) -> None:
        super().__init__(code, detail)


class Unanswered(Temporary):
    """A request that was sent whole and got no answer: the other side may have acted on it."""


class Permanent(HookchainError):
    """A failure that no retry can repair. Code that catches it must dead-letter the event before it acknowledges the
    message."""

    code: PermanentCode

    def __init__(self, code: PermanentCode, detail: str) -> None:
        super().__init__(code, detail)


def place_of(error: BaseException) -> str:
    """Return kind and place, never the text: an unforeseen exception's text may hold what a sender wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def fault_of(error: Exception) -> HookchainError:
    """Return the error as it is logged: itself, or `internal_error` and the place if this code failed unforeseen."""
    return error if isinstance(error, HookchainError) else Temporary("internal_error", place_of(error))
