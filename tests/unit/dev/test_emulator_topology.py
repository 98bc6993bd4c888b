"""A local bundle's topics and subscriptions, and who may speak to the emulation."""

import sys

import pytest

from deploy.dev.local_server import is_local, owner_in

MAPPED = "0000000000000000FFFF0000"


@pytest.mark.parametrize(
    "url", ["//127.0.0.1.evil.example", "null", "", "//0.0.0.0", "http://localhost.evil.example", "//["]
)
def test_no_other_name_is_local(url: str) -> None:
    assert not is_local(url)


@pytest.mark.parametrize(
    ("row", "owner"),
    [
        ("0100007F:D431 0100007F:1F95 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 x", 1000),
        ("0100007F:D431 0100007F:1F95 06 00000000:00000000 00:00000000 00000000     0        0 0 3 x", None),
        ("0100007F:1F95 0100007F:D431 01 00000000:00000000 00:00000000 00000000     7        0 4712 1 x", None),
        (f"{MAPPED}0100007F:D431 {MAPPED}0100007F:1F95 01 0:0 0:0 0  1000  0 4711 1 x", 1000),
    ],
    ids=["held", "closed", "our own end", "over an IPv6 socket"],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the rows are a little-endian machine's")
def test_a_connections_owner_is_who_holds_its_clients_end(row: str, owner: int | None) -> None:
    assert owner_in([f"  1: {row}"], ("127.0.0.1", 54_321), ("127.0.0.1", 8_085)) == owner
