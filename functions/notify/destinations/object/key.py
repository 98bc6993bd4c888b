"""The key of an object: its name in the bucket, such as `shop/2026-03-01/4f1c….json`, which a template makes."""

import re
from functools import lru_cache
from typing import Final

from functions.notify import http_kind
from shared import errors
from shared.delivery import Delivery
from shared.event import UNFIT
from shared.templating.template import KNOWN, Template

MAX_KEY_BYTES: Final = 1_024
"""The longest key, in Cloud Storage and in S3."""
_RESERVED: Final = ".well-known/acme-challenge/"
"""Cloud Storage does not accept names that begin with this."""


@lru_cache(maxsize=1_000)
def key_template(text: str) -> Template:
    """Return the template, which can also use `delivery_id`. Raises TemplateFault."""
    return Template("key", " ".join(text.split()), known=KNOWN | {"delivery_id"})


def key_of(template: str, delivery: Delivery) -> str:
    """Return the key of the delivery: in each attempt the same.

    Raises Permanent for a name that a program could take for another path, and if the template cannot be filled.
    """
    key = key_template(template).render({**http_kind.template_view(delivery), "delivery_id": delivery.id})
    if fault := key_fault(key):
        raise errors.Permanent("template_failed", f"template 'key': its result {fault}")
    return key


def key_fault(key: str) -> str | None:
    """Return the rule that the key breaks. The text does not quote the key, because an event's data may be in it."""
    size = len(http_kind.utf8(key))
    if re.search(UNFIT, key):
        return "must have no control characters and no line breaks"
    if not key or size > MAX_KEY_BYTES:
        return f"must have 1 to {MAX_KEY_BYTES} bytes; it has {size}"
    if any(part.strip() in ("", ".", "..") for part in key.split("/")) or "\\" in key:
        return "must have no empty parts between `/`, no `.` or `..` as a part, and no backslash"
    return "must not be a name that Cloud Storage reserves" if key.startswith(_RESERVED) else None
