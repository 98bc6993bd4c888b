"""convert: what comes back equal from a format, and what is refused because it would not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.transform.step import StepContext
from functions.transform.steps.convert import Convert
from functions.transform.verifying import verified_step
from shared.errors import Permanent
from shared.formats.text_body import binary
from shared.jsontext import Json, to_json
from tests.fakes.steps import EVENT, event_after
from tests.unit.shared.json_values import floats, json_values, texts, values_of
from tests.unit.transform.converting import SENT, rejection, there, there_and_back


def as_text(value: Json) -> dict[str, Json]:
    """What a step must be told of a text that is no document."""
    return {"from": "text"} if isinstance(value, str) else {}


LOSSLESS: dict[str, st.SearchStrategy[Json]] = {
    "yaml": json_values,
    "ndjson": st.lists(json_values),
    "plist": values_of(st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts),
    "binary-plist": values_of(st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts),
    "protobuf": st.dictionaries(
        texts, values_of(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | floats | texts)
    ),
}


@pytest.mark.parametrize("name", LOSSLESS)
@settings(max_examples=50)
@given(data=st.data())
def test_what_a_format_can_say_comes_back_equal(name: str, data: st.DataObject) -> None:
    value = data.draw(LOSSLESS[name])
    try:
        back = there_and_back({"to": name, **as_text(value)}, {"from": name, "to": "json"}, value)
    except Permanent as error:
        assert name == "plist"
        assert "control character" in error.detail
        return
    assert back == value
    assert repr(back) == repr(value) or name == "protobuf"


@pytest.mark.parametrize("name", ["plist", "binary-plist"])
def test_both_zeros_of_a_property_list_keep_their_signs(name: str) -> None:
    back = there_and_back({"to": name}, {"from": name, "to": "json"}, [0.0, -0.0, 0, -0.0])
    assert repr(back) == "[0.0, -0.0, 0, -0.0]"


@given(json_values)
def test_every_reader_of_yaml_takes_ours_for_the_same(value: Json) -> None:
    written = there({"to": "yaml", **as_text(value)}, value)

    assert isinstance(written, str)
    assert yaml.safe_load(written) == value


@given(st.sampled_from(["xml", "csv", "form"]), json_values)
def test_what_must_be_exact_comes_back_equal_or_is_rejected(name: str, value: Json) -> None:
    try:
        middle = event_after(Convert, {"to": name, "exact": True, **as_text(value)}, replace(EVENT, data=value))
    except Permanent as error:
        assert error.code == "conversion_failed"
        return
    assert event_after(Convert, {"to": "json"}, middle).data == value


@given(st.sampled_from(["json", "xml", "yaml", "plist", "csv", "ndjson", "form", "text", "protobuf"]), st.binary())
def test_any_bytes_are_read_or_rejected(name: str, content: bytes) -> None:
    for document in (binary(content, ""), content.decode("utf-8", "replace")):
        try:
            there({"from": name, "to": "json"}, document)
        except Permanent as error:
            assert error.code == "conversion_failed"


def test_the_words_that_yaml_takes_for_something_else_survive() -> None:
    assert there_and_back({"to": "yaml"}, {"to": "json"}, SENT) == SENT


def examples_of_github(node_package: Callable[[str], Path]) -> list[Json]:
    """All of them, each version of its server's."""
    files = sorted(node_package("@octokit/webhooks-examples").glob("*/index.json"))
    kinds = [kind for file in files for kind in json.loads(file.read_bytes())]
    distinct = {to_json(example): example for kind in kinds for example in kind["examples"]}
    return list(distinct.values())


@pytest.mark.slow
def test_everything_github_sends_survives_every_lossless_conversion(node_package: Callable[[str], Path]) -> None:
    examples = examples_of_github(node_package)

    assert len(examples) > 200
    for name in ("yaml", "protobuf"):
        to, back = verified_step(Convert, {"to": name}), verified_step(Convert, {"from": name, "to": "json"})
        for example in examples:
            middle = to.apply(replace(EVENT, data=example), StepContext(EVENT))
            assert back.apply(middle, StepContext(EVENT)).data == example
    assert there_and_back({"to": "ndjson"}, {"to": "json"}, examples) == examples


@pytest.mark.slow
def test_a_property_list_holds_all_that_github_sends_but_null(node_package: Callable[[str], Path]) -> None:
    for name in ("plist", "binary-plist"):
        for example in examples_of_github(node_package):
            without = _without_nulls(example)
            if without != example:
                assert "is null, which a property list lacks" in rejection({"to": name}, example)
            assert there_and_back({"to": name, "nulls": "omit"}, {"to": "json"}, example) == without


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
