"""The files that steps name: their content travels in the slice, and a missing one is a fault."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.sections.route import UnreadableFile, with_files
from functions.transform.chain import Chain
from functions.transform.program import read_program
from tests.fakes.configurations import compile_text, faults_of_text
from tests.fakes.steps import EVENT, finished
from tests.unit.transform.converting import descriptors


def test_a_file_that_is_no_text_becomes_base64(tmp_path: Path) -> None:
    (tmp_path / "descriptors.pb").write_bytes(b"\xff\x00")

    assert with_files({"x": {"file": "descriptors.pb"}}, "set", tmp_path) == {"x": {"base64": "/wA="}}


@pytest.mark.parametrize("name", ["missing.json", "a\0b", ""])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFile, match="relative to the configuration's folder, cannot be read"):
        with_files({"x": {"file": name}}, "set", tmp_path)


def test_a_schema_and_a_descriptor_file_travel_in_the_slice(tmp_path: Path) -> None:
    (tmp_path / "signup.json").write_text('{"required": ["email"]}', encoding="utf-8")
    (tmp_path / "shop.pb").write_bytes(descriptors())
    text = """\
sources: {shop: {auth: none}}
chains:
  check: [{lint: {schema: signup.json}}]
  pack: [{convert: {to: protobuf, message: shop.Order, descriptors: shop.pb}}]
"""
    compiled = compile_text(text, tmp_path)["transform"]
    (tmp_path / "signup.json").unlink()
    (tmp_path / "shop.pb").unlink()

    program = read_program(compiled)

    event = replace(EVENT, data={"id": "7"})
    [fault] = finished(Chain("check", program.chains["check"]).run(event)).faults
    [packed] = finished(Chain("pack", program.chains["pack"]).run(event)).events
    assert "data lacks 'email'" in fault.detail
    assert packed.data == {"type": "application/x-protobuf", "size": 2, "base64": "CAc="}


def test_a_schema_that_is_not_there_is_reported_with_its_line(tmp_path: Path) -> None:
    text = "sources: {shop: {auth: none}}\nchains:\n  check:\n    - lint: {schema: signup.json}\n"

    faults = faults_of_text(text, tmp_path)
    assert "hookchain.yaml:4: chain 'check'" in faults
    assert "the file 'signup.json', relative to the configuration's folder, cannot be read" in faults
