"""The address of a request's sender, and the addresses that a source allows."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from shared import errors, http

_PORT: Final = re.compile(r":[0-9]+$")
_IN_BRACKETS: Final = re.compile(r"\[([^\]]*)\](?::[0-9]+)?")


class AllowList:
    """The addresses that a source takes requests from."""

    def __init__(self, blocks: Sequence[str]) -> None:
        self._networks = tuple(ip_network(block) for block in blocks)

    def verify(self, address: str) -> None:
        """Raises Rejected (`address_not_allowed`)."""
        parsed = _parsed(address)
        if parsed is None or not any(parsed in network for network in self._networks):
            raise errors.Rejected("address_not_allowed", "the sender's address is not in the source's `allow` list")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address; an IPv4 address that is written as one of IPv6 becomes IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def sender_address(request: http.Request, trusted_proxies: int) -> str:
    """Return the sender's address without a port; empty where it cannot be known.

    Only the last `trusted_proxies` addresses in X-Forwarded-For are trusted: the sender may have written the others.
    """
    if trusted_proxies == 0:
        return request.peer
    hops = [hop.strip() for hop in (request.header("x-forwarded-for") or "").split(",") if hop.strip()]
    if not hops:  # the request bypassed the proxies, or there are none here
        return request.peer
    return _without_port(hops[-trusted_proxies]) if len(hops) >= trusted_proxies else ""


def _without_port(hop: str) -> str:
    if in_brackets := _IN_BRACKETS.fullmatch(hop):
        return in_brackets[1]
    return _PORT.sub("", hop) if hop.count(":") == 1 else hop
