import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.destinations.email.mail import (
    Address,
    AddressFault,
    is_allowed,
    parse_address,
    without_duplicates,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", Address("ada@example.com")),
        (" ada@example.com ", Address("ada@example.com")),
        ("a.b+c=d/e!#$%&'*?^_`{|}~-@example.com", Address("a.b+c=d/e!#$%&'*?^_`{|}~-@example.com")),
        ("Ada Lovelace <ada@example.com>", Address("ada@example.com", "Ada Lovelace")),
        ('"Lovelace, Ada" <ada@example.com>', Address("ada@example.com", "Lovelace, Ada")),
        ("Zoë <zoë@bücher.example>", Address("zoë@xn--bcher-kva.example", "Zoë")),
        ("root@localhost", Address("root@localhost")),
    ],
)
def test_one_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@example.org",
        "bob@",
        "a@b, c@d",
        "a@b\r\nRCPT TO:<c@d>",
        "a@b\u2028",
        "Ada\r\nBcc: x@y <a@b>",
        "x@y <a@b>",
        "<a@b> <c@d>",
        f"{'n' * 2_048} <a@b>",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 300}",
        "a@b..c",
        '"a b"@example.com',
        "a@[127.0.0.1]",
        "a\u200bb\u202e@example.com",
        "(comment)a@b",
    ],
)
def test_what_is_not_one_address_is_rejected_without_its_text(text: str) -> None:
    with pytest.raises(AddressFault) as caught:
        parse_address(text)

    assert not text or text not in str(caught.value)


@given(st.text(max_size=60), st.text(max_size=10))
def test_no_text_gives_an_address_that_could_end_a_line_or_name_a_second_one(text: str, name: str) -> None:
    for candidate in (text, f"{text}@example.com", f"a@{text}", f"{name} <{text}@example.com>", f"{text} <a@b.c>"):
        try:
            found = parse_address(candidate)
        except AddressFault:
            continue
        assert found.address.isprintable()
        assert found.address.count("@") == 1
        assert not set(found.address) & set(' ,;<>"()')
        assert found.name.isprintable()


@pytest.mark.parametrize(
    ("allowed", "is_in"),
    [
        (["ADA@Example.Com"], True),
        (["example.com"], True),
        (["@EXAMPLE.com"], True),
        (["bob@example.com"], False),
        (["ample.com"], False),
        (["sub.example.com"], False),
        ([], False),
    ],
)
def test_an_allow_list_holds_addresses_and_whole_domains(allowed: list[str], is_in: bool) -> None:
    assert is_allowed(Address("Ada@example.com"), allowed) is is_in


def test_an_address_named_twice_counts_once() -> None:
    a, b, c = Address("a@x.y", "A"), Address("B@x.y"), Address("c@x.y")

    assert without_duplicates([a, b, Address("A@X.Y"), c], beside=[Address("b@x.y")]) == (a, c)
