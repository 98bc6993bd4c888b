"""YAML as a person writes it, which a parser reads as the same values."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.aws.yaml_text import Node, to_yaml

SCALARS: st.SearchStrategy[Node] = st.one_of(
    st.text(st.characters(max_codepoint=0x24F)),
    st.lists(
        st.sampled_from([" ", "\n", "\t", '"', "'", "#", ": ", "!Ref", "\x85", "\u2028", "\ufeff", "x" * 99, "😀"])
    ).map("".join),
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.none(),
)
KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9 ]{0,8}[A-Za-z0-9]", fullmatch=True)
NODES: st.SearchStrategy[Node] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=9,
)


@given(st.dictionaries(KEYS, NODES, min_size=1, max_size=4))
def test_whatever_is_written_is_read_again(document: dict[str, Node]) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


@pytest.mark.parametrize(
    "text", ["on", "1e3", "2012-10-17", "0x1f", "a: b", "a #b", "- a", "", " a", "null", "1:30", "="]
)
def test_a_text_that_yaml_would_take_for_something_else_is_quoted(text: str) -> None:
    assert yaml.safe_load(to_yaml({"A": [text], "B": {"C": text}})) == {"A": [text], "B": {"C": text}}
