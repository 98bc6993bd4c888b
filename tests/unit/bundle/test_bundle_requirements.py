import re
from pathlib import Path

import pytest

from deploy.bundle.requirements import PinsFault, requirements

PINS = """\
# made by hand
apple==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via hookchain (pyproject.toml)
core-lib==3 ; sys_platform == 'linux' \\
    --hash=sha256:cc
    # via apple
deep==4 \\
    --hash=sha256:ee
    # via core-lib
"""
PYPROJECT = """\
[project.optional-dependencies]
receive = ["Apple>=1"]
notify = ["hookchain[receive]"]
lost = ["elder"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pins.txt").write_text(PINS)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def names(folder: Path, *extras: str) -> list[str]:
    return re.findall(r"^(\S+)==", requirements(folder / "pyproject.toml", folder / "pins.txt", extras), re.MULTILINE)


def test_what_an_extra_needs_comes_with_what_that_needs(folder: Path) -> None:
    assert names(folder, "notify") == ["apple", "core-lib", "deep"]


def test_a_package_without_a_pin_is_a_fault_that_says_what_to_run(folder: Path) -> None:
    with pytest.raises(PinsFault, match=r"no version of elder\. Update it with `make pins`"):
        names(folder, "lost")


def test_an_extra_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(PinsFault, match="no extra 'azure'; there are: lost, notify, receive"):
        names(folder, "azure")


@pytest.mark.parametrize("function", ["receive", "transform", "notify", "subscribe"])
def test_the_committed_pins_have_every_extra_with_hashes_and_no_host(root: Path, function: str) -> None:
    text = requirements(root / "pyproject.toml", root / "deploy" / "pins.txt", (function, "gcp"))
    assert "functions-framework==" in text
    assert "pytest" not in text
    blocks = re.split(r"\n(?=\S)", text.rstrip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in (root / "deploy" / "pins.txt").read_text()


def test_receive_needs_no_model_library_and_no_templates(root: Path) -> None:
    text = requirements(root / "pyproject.toml", root / "deploy" / "pins.txt", ("receive",))
    assert not re.search(r"^(pydantic|jmespath|jinja2|sendgrid|google-\S+)==", text, re.MULTILINE)
