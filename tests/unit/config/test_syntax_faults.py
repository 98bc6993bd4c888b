"""A file that is not YAML is reported with what to change, in the words of somebody who wrote it by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.config.config_file import ConfigFaults, Fault, misleading_values, parse_config
from tests.fakes.configurations import faults_of_text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources:\n\tform: 1\n", "2: not YAML: a tab indents this line. Use spaces."),
        ("where: `1` < data.x\n", "1: not YAML: a value cannot begin with '`'. Put the whole value in quotes."),
        ("types: *\n", "1: not YAML: a value cannot begin with '*'. Put the whole value in quotes."),
        ("to: *nobody\n", "1: not YAML: there is no anchor '&nobody'. Put a value that begins with '*' in quotes."),
        ("subject: {{ type }} of {{ source }}\n", "1: not YAML: a value that begins with '{{' must be in quotes."),
        (
            "name: jobs: failed\n",
            "1: not YAML: there is a second ': ' here. Put a value that has ': ' in it in quotes.",
        ),
        ("a:\n  b: 1\n   c: 2\n", "3: not YAML: this line is indented too far. Indent it like the keys beside it."),
        ("a:\n    b: 1\n  c: 2\n", "3: not YAML: this line is indented like no line above it. Indent it like the keys"),
        ("a:\n  - b\n  c: 1\n", "3: not YAML: this line is in a list, and does not begin with '- '."),
        (
            "to: [crm, chat\nname: all\n",
            "2: not YAML: the '[' of line 1 is not closed before this, or a ',' is missing. Put a value that has one",
        ),
        ('a: "b\nc: 1\n', "3: not YAML: the quotation mark of line 1 is not closed."),
        ("a: 'it's'\n", "1: not YAML: something follows the value. In single quotes, write '' for an apostrophe."),
        ('a: "\\d+"\n', "1: not YAML: in double quotes, a backslash begins an escape. Use single quotes."),
        ("a: - b\n", "1: not YAML: a list must begin on a line of its own, or be written as [a, b]."),
        ("sources\nroutes: []\n", "2: not YAML: the line above has no ':' and a space after its key."),
        ("a: !!bool maybe\n", "1: not YAML: a value does not fit its tag"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_what_to_do(text: str, message: str) -> None:
    assert faults_of_text(text).startswith(f"hookchain.yaml:{message}")


@pytest.mark.parametrize(("written", "read"), [("01234", "668"), ("12:30", "750"), ("no", "false"), ("On", "true")])
def test_a_value_that_yaml_reads_as_something_else_is_warned_of(written: str, read: str) -> None:
    file = parse_config(f"a: 1\nb: [{{c: {written}}}]\n", "test.yaml", Path())
    rule = f"{written} is read as {read}: put it in quotes, or write {read}"
    assert [*misleading_values(file)] == [Fault(2, "b.0.c", rule)]


@pytest.mark.parametrize("written", ["'01234'", "true", "-5", "1.5", "v1", "~"])
def test_a_value_that_is_read_as_it_looks_is_not_warned_of(written: str) -> None:
    assert not [*misleading_values(parse_config(f"a: {written}\n", "test.yaml", Path()))]


@given(st.text(alphabet="a:-[]{}'\"`*&!\n\t #,|>%@\\", max_size=40))
def test_whatever_is_written_is_read_or_reported(text: str) -> None:
    try:
        parse_config(text, "test.yaml", Path())
    except ConfigFaults as faults:
        assert str(faults).startswith("test.yaml:")
