from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given, strategies as st

from deploy.client.hookchain.formats import as_json, encode_body
from shared.jsontext import Json

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def text_of(value: Json, form: str) -> str:
    return encode_body(value, form)[0].decode()


@pytest.mark.parametrize("name", ["a><script>", "1a", "", "a b", "a:b", "-a"])
def test_a_name_that_is_no_xml_name_is_rejected_with_a_message(name: str) -> None:
    with pytest.raises(ValueError, match="not a name for an XML element"):
        encode_body({name: 1}, "xml")
    with pytest.raises(ValueError, match="not a name for an XML element"):
        encode_body({f"@{name}": 1}, "xml")


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_what_is_written_as_xml_is_read_back_or_was_rejected(fields: dict[str, str]) -> None:
    try:
        written = encode_body(dict(fields), "xml")[0]
    except ValueError:
        return
    element = ElementTree.fromstring(written)
    found = {child.tag: child.text or "" for child in element}
    found |= {f"@{name}": value for name, value in element.attrib.items()}
    if "#text" in fields:
        found["#text"] = fields["#text"]
    assert found == fields


@given(values)
def test_what_is_written_as_yaml_is_read_back_or_was_rejected(value: Json) -> None:
    try:
        written = encode_body(value, "yaml")[0]
    except UnicodeEncodeError:
        return
    assert yaml.safe_load(written) == value


def test_a_form_is_flat_and_repeats_a_field_for_a_list() -> None:
    written = text_of({"a": "x y&z", "b": [1, 2.5], "c": None, "d": False}, "form")
    pairs = [("a", "x y&z"), ("b", "1"), ("b", "2.5"), ("c", ""), ("d", "false")]
    assert parse_qsl(written, keep_blank_values=True) == pairs
    with pytest.raises(ValueError, match="field 'a' has a nested dict"):
        encode_body({"a": {"b": 1}}, "form")


def test_what_json_cannot_say_is_rejected() -> None:
    with pytest.raises(ValueError, match="got set"):
        as_json({"a": {1}})
    with pytest.raises(ValueError, match="name must be a string; got int"):
        as_json({1: "a"})
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_body(float("nan"), "json")
    with pytest.raises(ValueError, match="control character"):
        encode_body({"a": "\x00"}, "xml")
