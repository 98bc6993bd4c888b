"""The addresses that a source takes requests from."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from shared.errors import Rejected


class AllowList:
    def __init__(self, blocks: Sequence[str]) -> None:
        self._networks = tuple(ip_network(block) for block in blocks)

    def verify(self, address: str) -> None:
        """Raises Rejected (`address`)."""
        parsed = _parsed(address)
        if parsed is None or not any(parsed in network for network in self._networks):
            raise Rejected("address", "the sender's address is none that this source takes requests from")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address that came as one of IPv6 counts as what it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address
