"""The key of an object: its name in the bucket, made by a template of a hostile event."""

import re
from functools import lru_cache
from typing import Final

from functions.notify.http_kind import template_view
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import UNFIT
from shared.templates import KNOWN, Template

MAX_KEY_BYTES: Final = 1_024
"""Of Cloud Storage and S3 alike."""
DELIVERY_ID: Final = "delivery_id"
_RESERVED: Final = ".well-known/acme-challenge/"
"""Cloud Storage keeps these names for itself."""


@lru_cache(maxsize=1_000)
def key_template(text: str) -> Template:
    """Return the template, in which `delivery_id` can be used too. Raises TemplateFault."""
    return Template("key", " ".join(text.split()), known=KNOWN | {DELIVERY_ID})


def key_of(template: str, delivery: Delivery) -> str:
    """Return the key of the delivery: in each attempt the same.

    Raises Permanent for one that a program could take for another path, and as templates do.
    """
    key = key_template(template).render({**template_view(delivery), DELIVERY_ID: delivery.id})
    if fault := key_fault(key):
        raise Permanent("template_failed", f"template 'key': its result {fault}")
    return key


def key_fault(key: str) -> str | None:
    """Return the rule that the key breaks. The text does not quote the key."""
    size = len(key.encode("utf-8", "replace"))
    if re.search(UNFIT, key):
        return "must have no control characters and no line breaks"
    if not key or size > MAX_KEY_BYTES:
        return f"must have 1 to {MAX_KEY_BYTES} bytes; it has {size}"
    if any(part.strip() in ("", ".", "..") for part in key.split("/")) or "\\" in key:
        return "must have no empty parts between `/`, no `.` or `..` as a part, and no backslash"
    return "must not be a name that Cloud Storage reserves" if key.startswith(_RESERVED) else None
