"""XML bodies: the usual convention, hostile documents, and the namespaces, whose rules are those of expat."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias
from xml.parsers import expat

import pytest
from hypothesis import given, strategies as st

from shared.errors import Rejected
from shared.formats.parse import parse_as
from shared.jsontext import Json
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused

XML = "application/xml"
rejection = partial(format_outcomes.rejection, content_type=XML)


SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5, max_key_characters=10)
_watched: list[tuple[str, str]] = []
_is_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _is_watching and (event == "open" or event.startswith(("socket.", "urllib."))):
        _watched.append((event, str(arguments)))


@contextmanager
def opens_and_sockets() -> Iterator[list[tuple[str, str]]]:
    """What Python opened meanwhile. An audit hook stays for the life of the process, so it is put there once."""
    global _is_watching
    if not hasattr(sys, "_hookchain_watches"):
        sys.addaudithook(_watch)
        sys._hookchain_watches = True  # type: ignore[attr-defined]  # a mark of ours
    _watched.clear()
    _is_watching = True
    try:
        yield _watched
    finally:
        _is_watching = False


parsed = partial(format_outcomes.parsed, content_type=XML)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("<a/>", {"a": None}),
        ("<a> \n </a>", {"a": None}),
        ('<a b="1"/>', {"a": {"@b": "1"}}),
        ("<a><b>1</b><b/><b>3</b></a>", {"a": {"b": ["1", None, "3"]}}),
        ("<a>one<b/>two</a>", {"a": {"b": None, "#text": "onetwo"}}),
        ("<a><![CDATA[<b>]]> &amp; &#233;&#x1F600;</a>", {"a": "<b> & é😀"}),
        ("<?xml version='1.0'?><!-- c --><?p i?><a>x<!-- c -->y</a><!-- end -->", {"a": "xy"}),
        (
            '<s:a xmlns:s="urn:s" xmlns="urn:d"><s:b/></s:a>',
            {"s:a": {"@xmlns:s": "urn:s", "@xmlns": "urn:d", "s:b": None}},
        ),
        (
            "<a xml:lang='de' xmlns:p='u' p:b='1' b='2'/>",
            {"a": {"@xml:lang": "de", "@xmlns:p": "u", "@p:b": "1", "@b": "2"}},
        ),
        ("<a xmlns:p='u'><p:ب/></a>", {"a": {"@xmlns:p": "u", "p:ب": None}}),
        ('<a>\u00a0<b c="\u00e9"/></a>', {"a": {"b": {"@c": "é"}, "#text": "\u00a0"}}),
        ("<a>\n  x \n</a>", {"a": "x"}),
        ("<a>\n <![CDATA[ x ]]> \n</a>", {"a": " x "}),
        (
            '<a xml:space="preserve">\n<b> x </b><c> </c><d xml:space="default"> y </d></a>',
            {"a": {"@xml:space": "preserve", "b": " x ", "c": " ", "d": {"@xml:space": "default", "#text": "y"}}},
        ),
    ],
)
def test_elements_attributes_and_text_have_their_usual_places(body: str, value: Json) -> None:
    assert parsed(body) == value


@pytest.mark.parametrize(
    "body",
    [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a",
        "<?xml version='1.0'?>\n<!-- <a> --><?p?> <!DOCTYPE a><a/>",
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><a/>',
        "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "<!DOCTYPE a SYSTEM 'file:///dev/zero'><a/>",
        "<!DOCTYPE plist PUBLIC '-//Apple//DTD PLIST 1.0//EN' 'http://www.apple.com/DTDs/PropertyList-1.0.dtd'><plist/>",
    ],
)
def test_any_document_type_is_rejected_and_nothing_is_opened(body: str) -> None:
    parsed("<a/>")  # so that its parser is imported
    with opens_and_sockets() as seen:
        assert rejection(body) == "dtd_not_allowed"
        assert rejection(body.encode("utf-16")) == "dtd_not_allowed"
    assert seen == []


@pytest.mark.parametrize(
    "body", ["<!-- <!DOCTYPE a> --><a/>", "<a><![CDATA[<!DOCTYPE a>]]></a>", '<a b="&lt;!DOCTYPE"/>']
)
def test_what_only_looks_like_a_document_type_is_accepted(body: str) -> None:
    assert parsed(body)


def test_elements_and_attributes_are_counted() -> None:
    assert parsed("<a>" + "<b/>" * 19 + "</a>", limits=SMALL) == {"a": {"b": [None] * 19}}
    assert rejection("<a>" + "<b/>" * 20 + "</a>", limits=SMALL) == "too_many_values"
    assert rejection("<a>" + '<b c="1"/>' * 10 + "</a>", limits=SMALL) == "too_many_values"


@pytest.mark.parametrize("count", [10_001, 400_000])
def test_too_many_attributes_of_one_element_are_rejected(count: int) -> None:
    assert rejection("<a " + " ".join(f'b{number}=""' for number in range(count)) + "/>") == "too_many_values"


def test_a_long_attribute_and_a_long_text_are_accepted_but_no_long_name() -> None:
    assert parsed(f'<a b="{"x" * 800_000}">{"y" * 800_000}</a>') == {"a": {"@b": "x" * 800_000, "#text": "y" * 800_000}}
    assert rejection(f"<{'a' * 900_000}/>") == "too_many_values"
    assert rejection(f'<a {"b" * 900_000}=""/>') == "too_many_values"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<a>é</a>".encode("utf-16"), XML),
        (b"\xfe\xff" + "<?xml version='1.0' encoding='UTF-16'?><a>é</a>".encode("utf-16-be"), XML),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>".encode("latin-1"), XML),
        ('<?xml version="1.0" encoding="windows-1252" standalone="yes"?><a>é</a>'.encode("cp1252"), "text/xml"),
        ("<?xml version='1.0' encoding='UTF-8'?><a>é</a>".encode("latin-1"), "text/xml; charset=ISO-8859-1"),
        ("<a>é</a>".encode("utf-16-le"), 'application/soap+xml; charset="utf-16le"'),
    ],
)
def test_text_is_read_by_the_senders_charset_the_mark_or_the_declaration(body: bytes, content_type: str) -> None:
    assert format_outcomes.parsed(body, content_type) == {"a": "é"}


@pytest.mark.parametrize("version", ["1.1", "1.10"])
def test_another_version_than_1_0_is_rejected(version: str) -> None:
    with pytest.raises(Rejected, match=r"version 1\.0 only"):
        parse_as("xml", f"<?xml version='{version}'?><a/>".encode(), None)


@pytest.mark.parametrize(
    "place", ["<a>{}</a>", "<a b='{}'/>", "<a><!--{}--></a>", "<?p {}?><a/>", "<a><![CDATA[{}]]></a>"]
)
def test_no_character_is_accepted_anywhere_that_xml_does_not_have(place: str) -> None:
    for number in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF):
        assert rejection(place.format(chr(number))) == "malformed_body"
        assert rejection(f"<a>&#{number};</a>") == "malformed_body"


@given(st.binary(max_size=200) | st.text("<>/ab='\"&;!-?[]DOCTYPE x\n", max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, XML, SMALL)
    assert_taken_or_refused(b"<a>" + body + b"</a>", XML, SMALL)
    assert_taken_or_refused(b"<?xml version='1.0' encoding='" + body + b"'?><a/>", XML, SMALL)


XML_NAMESPACE, XMLNS_NAMESPACE = "http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/"


@pytest.mark.parametrize(
    "body",
    [
        *("<p:a/>", "<a p:b='1'/>", "<a><b xmlns:p='u'/><p:c/></a>", "<a><b xmlns:p='u'/><c p:d='1'/></a>"),
        *("<a xmlns:p=''/>", "<a xmlns:p='u'><b xmlns:p=''/></a>"),
        *("<:a/>", "<a:/>", "<a :b='1'/>", "<a b:='1'/>", "<a:b:c xmlns:a='u'/>", "<a xmlns:1b='u'/>"),
        *("<a xmlns:p='u'><p:1b/></a>", "<a xmlns:p='u'><p:·b/></a>", "<a xmlns:p:q='u'/>"),
        *("<a xmlns:xml='u'/>", "<a xmlns:xmlns='u'/>", "<xmlns:a/>"),
        *(f"<a xmlns:p='{XML_NAMESPACE}'/>", f"<a xmlns='{XML_NAMESPACE}'/>"),
        *(f"<a xmlns:p='{XMLNS_NAMESPACE}'/>", f"<a xmlns='{XMLNS_NAMESPACE}'/>"),
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        "<a><?p:q r?></a>",
    ],
)
def test_what_breaks_the_rules_of_namespaces_does_not_parse(body: str) -> None:
    assert rejection(body) == "malformed_body"
    by_expat = expat.ParserCreate(namespace_separator=" ")
    with pytest.raises(expat.ExpatError):
        by_expat.Parse(body, True)


qnames = st.sampled_from(["a", "p:a", "q:a", "xml:a", "xmlns:a", ":a", "a:", "p:1", "p:q:a"])
attributes = st.dictionaries(
    st.one_of(qnames, st.sampled_from(["xmlns", "xmlns:p", "xmlns:q", "xmlns:xml", "xmlns:xmlns"])),
    st.sampled_from(["", "u", "v", XML_NAMESPACE, XMLNS_NAMESPACE]),
    max_size=4,
)
Tree: TypeAlias = "tuple[str, dict[str, str], list[Tree]]"
trees: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(qnames, attributes, st.just([])),
    lambda inner: st.tuples(st.sampled_from(["a", "p:a"]), attributes, st.lists(inner, max_size=3)),
    max_leaves=6,
)


def written(tree: Tree) -> str:
    name, values, children = tree
    inner = "".join(written(child) for child in children)
    return f"<{name}{''.join(f' {key}={value!r}' for key, value in values.items())}>{inner}</{name}>"


@given(trees)
def test_prefixes_are_accepted_or_rejected_as_expat_does(tree: Tree) -> None:
    body = written(tree)
    try:
        expat.ParserCreate(namespace_separator=" ").Parse(body, True)
    except expat.ExpatError:
        assert rejection(body) == "malformed_body", body
    else:
        parse_as("xml", body.encode(), None)
