"""The namespaces of XML: their rules are expat's."""

from typing import TypeAlias
from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Rejected
from shared.formats.parse import parse_as
from tests.unit.shared.xml_bodies import rejection

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


def test_a_fault_of_namespaces_is_reported_by_its_place() -> None:
    with pytest.raises(Rejected, match=r"line 2, column 4: a prefix is not declared"):
        parse_as("xml", b"<a>\n   <hunter2:b/>\n</a>", None)
