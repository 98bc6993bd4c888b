"""YAML as a person writes it, which a parser reads as the same values."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.aws.yaml_text import Node, get_att, ref, sub, to_yaml

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


def test_a_template_reads_as_if_written_by_hand() -> None:
    document: dict[str, Node] = {
        "Version": "2010-09-09",
        "Resources": {
            "# The first one": None,
            "A": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "# Why it is so": None,
                    "Name": sub("${Prefix}a"),
                    "Tags": [{"Key": "hookchain", "Value": ref("Prefix")}],
                    "Allow": [{"# Its own log": None, "Action": ["a:B", "a:C"], "Resource": get_att("A")}],
                },
            },
            "B": {"Type": "AWS::SNS::Topic", "Body": sub('{"a": [\n  1]}')},
        },
    }
    assert (
        to_yaml(document)
        == """\
Version: "2010-09-09"

Resources:
  # The first one
  A:
    Type: AWS::SQS::Queue
    Properties:
      # Why it is so
      Name: !Sub ${Prefix}a
      Tags: [{Key: hookchain, Value: !Ref Prefix}]
      Allow:
        # Its own log
        - Action: [a:B, a:C]
          Resource: !GetAtt A.Arn

  B:
    Type: AWS::SNS::Topic
    Body: !Sub |-
      {"a": [
        1]}
"""
    )


def test_no_line_is_longer_than_a_line_of_ours() -> None:
    description = "a word and more: " * 40 + "end"
    text = to_yaml({"Description": description, "List": ["a-long-entry"] * 40})
    assert max(map(len, text.splitlines())) <= 120
    assert yaml.safe_load(text)["Description"] == description
