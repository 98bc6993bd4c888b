"""The words that versions before 2026-11-26 stored, each with the word that is used now."""

import re
from typing import Final

from shared import ledger_rules as rules

STATES: Final = {
    "done": rules.DELIVERED,
    "failed": rules.DEAD_LETTERED,
    "retry_at": rules.RETRY_SCHEDULED,
    "disabled": rules.HELD,
}
"""The states of a delivery in the ledger."""
OUTCOMES: Final = {"retry_later": "retry_scheduled", "refused": "failed", "disabled": "held"}
"""The outcomes of an attempt."""
STATUSES: Final = {
    "failed": "dead_lettered",
    "retrying": "retry_scheduled",
    "stopped": "filtered",
    "unmatched": "no_route",
}
"""The statuses of an event."""
CODES: Final = {
    "answer": "malformed_response",
    "cast": "cast_failed",
    "chain": "invalid_chain",
    "convert": "conversion_failed",
    "count": "not_countable",
    "crypto": "cryptography_failed",
    "dataref": "missing_body",
    "decode": "decoding_failed",
    "destination": "unknown_destination",
    "digest": "digest_failed",
    "encode": "encoding_failed",
    "event": "malformed_event",
    "exhausted": "retries_exhausted",
    "expression": "expression_failed",
    "fetch": "missing_answer",
    "header": "invalid_header",
    "id_reuse": "delivery_id_reused",
    "key": "unknown_key",
    "lint": "lint_failed",
    "loop": "too_many_hops",
    "output": "invalid_output",
    "path": "path_conflict",
    "push": "malformed_push",
    "rcpt": "recipient_not_allowed",
    "refused": "request_rejected",
    "sendgrid": "mail_rejected",
    "size": "mail_too_large",
    "smtp": "mail_rejected",
    "ssrf": "address_blocked",
    "step": "step_failed",
    "template": "template_failed",
    "time": "invalid_time",
    "undefined": "undefined_field",
    "url": "invalid_url",
}
"""The codes of a dead letter."""

_RELEASE: Final = re.compile(r"(; then (?:run )?`hookchain )release ")


def current_reason(state: str, reason: str) -> str:
    """Return the stored reason of a delivery, with the code and the command that are used now.

    `state` is the delivery's state as it was stored.
    """
    code, colon, rest = reason.partition(": ")
    text = f"{CODES[code]}: {rest}" if state == "failed" and colon and code in CODES else reason
    return _RELEASE.sub(r"\1resume ", text)
