"""Where a function finds its compiled configuration."""

import json
import re
from pathlib import Path

import pytest

from shared.settings import SliceFault, load_slice


def test_in_a_checkout_the_slice_is_compiled_now() -> None:
    assert load_slice("notify")["function"] == "notify"


def test_a_bundle_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "slice.json").write_text(json.dumps({"function": "notify"}))
    assert load_slice("notify", root=tmp_path) == {"function": "notify"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("not JSON", "is not JSON"), ('{"function": "receive"}', "expected a slice of 'notify', found one of 'receive'")],
)
def test_a_slice_that_was_not_compiled_for_the_function_is_a_fault(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "slice.json").write_text(content)
    with pytest.raises(SliceFault, match=re.escape(message)):
        load_slice("notify", root=tmp_path)


def test_where_nothing_is_the_fault_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SliceFault, match="make bundle"):
        load_slice("notify", root=tmp_path)
    with pytest.raises(SliceFault, match="make bundle"):
        load_slice("notify", tmp_path / "gone.json")
