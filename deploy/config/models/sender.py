"""From where a source takes requests, and under which URL its senders know it."""

import re
from ipaddress import ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from shared.config.values import listed

_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        rule = "is no address or block of addresses, such as 203.0.113.7 or 192.0.2.0/24"
        raise ValueError(
            f"{rule}: {'its host bits are set' if 'host bits' in str(error) else 'it cannot be read'}"
        ) from error


def _public_url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("is not a URL of ours: write https://hooks.example.com, without a query or a user name")
    return text


Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(listed), Field(min_length=1)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
"""Kept exactly as written, a slash at its end included: senders sign it."""
TrustedProxies = Annotated[int, Field(ge=0, le=10)]
"""How many proxies stand in front whose X-Forwarded headers are true: 1 on Cloud Run, 0 where senders connect to us."""

_CONTENT_TYPE: Final = re.compile(r"[a-z0-9.+_-]+/([a-z0-9.+_-]+|\*)|\*\+[a-z0-9]+")


def _content_type(text: str) -> str:
    text = text.lower()
    if not _CONTENT_TYPE.fullmatch(text):
        raise ValueError("is no content type: write application/json, text/* or *+json")
    return text


ContentTypes = Annotated[
    list[Annotated[str, AfterValidator(_content_type)]], BeforeValidator(listed), Field(min_length=1)
]
