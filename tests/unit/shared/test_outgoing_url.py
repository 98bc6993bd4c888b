"""Which URLs and addresses may be sent to, before anything is."""

import ipaddress

import pytest
from hypothesis import given, strategies as st

from shared.errors import Permanent
from shared.outgoing.allowed_urls import Target, blocked_kind, read_target
from shared.outgoing.request_headers import verify_headers


def code(url: str, allow_private: bool = False) -> str:
    with pytest.raises(Permanent) as error:
        read_target(url, allow_private)
    return error.value.code


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://crm.example.com", Target(True, "crm.example.com", 443, "/", None)),
        ("HTTPS://CRM.Example.com:8443/in?a=1#part", Target(True, "crm.example.com", 8443, "/in?a=1", None)),
        ("https://xn--bcher-kva.example/a%20b", Target(True, "xn--bcher-kva.example", 443, "/a%20b", None)),
        ("https://a.example?x=@:/", Target(True, "a.example", 443, "/?x=@:/", None)),
        ("https://1.1.1.1/", Target(True, "1.1.1.1", 443, "/", ipaddress.ip_address("1.1.1.1"))),
        (
            "https://[2606:4700::1111]/",
            Target(True, "2606:4700::1111", 443, "/", ipaddress.ip_address("2606:4700::1111")),
        ),
    ],
)
def test_a_usual_url_is_read_once_for_all(url: str, target: Target) -> None:
    assert read_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1\\@good.com/",
            "https://user:pass@good.com/",
            "https://good.com:22/",
            "https://good.com:6667/",
        ),
        *(
            "https://good.com:0/",
            "https://good.com:4٤3/",
            "https://good.com:443:443/",
            "http://good.com/",
            "file:///etc/passwd",
        ),
        *(
            "//good.com/",
            "https:good.com",
            "https:///good.com",
            "https://good.com/a b",
            "https://good.com/\r\nX: y",
            "",
        ),
        *("https://good.com/ü", "https://-good.com/", "https://good..com/", " https://good.com/"),
        *("https://good.com/" + "a" * 9_000, "https://" + "a" * 64 + ".com/", "https://" + "a." * 127 + "com/"),
    ],
)
def test_a_url_that_parsers_disagree_about_or_that_is_not_for_the_web_is_rejected(url: str) -> None:
    assert code(url) == "invalid_url"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.5", "localhost", "crm", "nas.local", "[fd12::1]"])
def test_what_is_private_is_allowed_where_the_operator_says_so_and_by_http_too(host: str) -> None:
    assert read_target(f"http://{host}:8080/", allow_private=True).port == 8080


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_that_python_calls_special_passes(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    special = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    if special or address.is_reserved or address.is_unspecified:
        assert blocked_kind(address)


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_read_or_rejected_and_what_is_read_has_one_plain_host(text: str, allow_private: bool) -> None:
    for url in (text, f"https://{text}/", f"https://example.com{text}"):
        try:
            target = read_target(url, allow_private)
        except Permanent as error:
            assert error.code in {"address_blocked", "invalid_url"}
        else:
            assert target.host.isascii()
            assert not set(target.host + target.path) & set(" \\\r\n\t\x00")


@pytest.mark.parametrize(
    "header",
    [
        *(("X-A", value) for value in ("a\r\nb", "a\nb", "a\x00", "\u20ac", "a\u2028b", "a" * 20_000)),
        *((name, "a") for name in ("X-A\r\nX-B", "X A", "", "Host", "content-length", "Transfer-Encoding")),
    ],
)
def test_a_header_that_could_change_the_request_is_rejected_without_its_value(header: tuple[str, str]) -> None:
    with pytest.raises(Permanent) as error:
        verify_headers([("Accept", "*/*"), header])
    assert error.value.code == "invalid_header"
    assert header[1] not in error.value.detail or header[1] == "a"


def test_usual_headers_pass() -> None:
    verify_headers([("X-Name", "Zoë"), ("Authorization", "Bearer x"), ("X-Empty", ""), ("X-Tab", "a\tb")])
