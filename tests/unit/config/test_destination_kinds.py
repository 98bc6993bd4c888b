"""A module of a kind of destination as the configuration's checks meet it: half written, wrong, or changed since."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import functions.notify.destinations as kinds_package
from deploy.config.sections.kinds import KindFault, settings_model
from tests.fakes.configurations import faults_of_text

WHOLE = """\
from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str


def connect(name, settings, context): ...
"""
CONFIG = """\
sources: {form: {auth: none}}
routes: [{name: keep, from: form, to: notes}]
destinations:
  notes: {jotter: {path: /notes.txt}}
"""


@pytest.fixture
def jotter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(kinds_package, "__path__", [*kinds_package.__path__, str(tmp_path)])
    yield tmp_path / "jotter.py"
    sys.modules.pop("functions.notify.destinations.jotter", None)


def words_about(jotter: Path, text: str) -> str:
    jotter.write_text(text, encoding="utf-8")
    return faults_of_text(CONFIG)


def test_a_module_that_cannot_be_used_is_a_fault_of_its_destination_with_its_line(jotter: Path) -> None:
    text = words_about(jotter, f"{WHOLE}x = (\n")
    assert text == "hookchain.yaml:4: destination 'notes': jotter.py: line 10: '(' was never closed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{WHOLE}import no_such_module\n",
            "jotter.py: line 10: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (WHOLE.replace("class Settings", "class Setings"), "must define `Settings`"),
        (WHOLE.replace("def connect", "def conect"), "must define `request` and `outcome`, or `connect`"),
    ],
)
def test_a_fault_in_it_is_reported(jotter: Path, text: str, message: str) -> None:
    assert message in words_about(jotter, text)


def test_a_module_that_was_changed_is_read_anew(jotter: Path) -> None:
    jotter.write_text(WHOLE, encoding="utf-8")
    assert "line" not in settings_model("jotter").model_fields
    jotter.write_text(WHOLE.replace("    path: str", '    path: str\n    line: str = ""'), encoding="utf-8")
    assert "line" in settings_model("jotter").model_fields
    jotter.write_text("x = (\n", encoding="utf-8")
    os.utime(jotter, (1, 1))
    for _ in range(2):
        with pytest.raises(KindFault, match="line 1"):
            settings_model("jotter")


def test_settings_that_are_one_text_have_faults_too(jotter: Path) -> None:
    of_a_text = WHOLE.replace("BaseModel, ConfigDict", "Field, RootModel").replace(
        """(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str
""",
        """(RootModel[str]):
    root: str = Field(pattern="^/")
""",
    )
    jotter.write_text(of_a_text, encoding="utf-8")
    assert "String must match pattern" in faults_of_text(CONFIG.replace("{path: /notes.txt}", "notes.txt"))
