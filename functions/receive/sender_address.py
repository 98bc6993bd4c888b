"""The address of a request's sender, and the addresses that a source allows."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from shared import errors, http

# Proxies write `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
_PORT: Final = re.compile(r":[0-9]+$")
_BRACKETED_IPV6: Final = re.compile(r"\[(?P<address>[^\]]*)\](?::[0-9]+)?")


class AllowList:
    """The addresses that a source takes requests from."""

    def __init__(self, blocks: Sequence[str]) -> None:
        self._networks = tuple(ip_network(block) for block in blocks)

    def verify(self, address: str) -> None:
        """Raise Rejected (`address_not_allowed`) if the address is in none of the blocks, or is not an address."""
        parsed = _parsed(address)
        if parsed is None or not any(parsed in network for network in self._networks):
            raise errors.Rejected("address_not_allowed", "the sender's address is not in the source's `allow` list")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address. `::ffff:192.0.2.1`, an IPv4 address in the form of IPv6, is parsed as 192.0.2.1."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def sender_address(request: http.Request, trusted_proxies: int) -> str:
    """Return the sender's address without a port; empty if it cannot be known.

    Only the last `trusted_proxies` addresses in X-Forwarded-For are trusted: the sender may have written the others.
    """
    if trusted_proxies == 0:
        return request.peer
    hops = [hop.strip() for hop in (request.header("x-forwarded-for") or "").split(",") if hop.strip()]
    if not hops:  # the request bypassed the proxies, or there are none here
        return request.peer
    if len(hops) < trusted_proxies:  # a proxy is missing, so nobody trusted wrote the sender's address
        return ""
    return _without_port(hops[-trusted_proxies])


def _without_port(hop: str) -> str:
    """Return the address of a hop as a proxy writes it."""
    bracketed = _BRACKETED_IPV6.fullmatch(hop)
    if bracketed:
        return bracketed["address"]
    if hop.count(":") > 1:  # IPv6 without brackets has no port: its last part only looks like one
        return hop
    return _PORT.sub("", hop)
