"""Messages about the operator's own steps, and what `hookchain step` prints to a terminal."""

from pathlib import Path
from typing import Final

import pytest

from tests.fakes.command import Command

STEP: Final = """\
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from functions.transform.step import Example, Step, StepContext
from shared.event import Event


class Rate(BaseModel, Step):
    \"\"\"No settings.\"\"\"

    summary: ClassVar[str] = "Look up a rate."
    example: ClassVar[Example] = Example(settings={}, before={}, after={})
    model_config = ConfigDict(extra="forbid")

    def apply(self, event: Event, _: StepContext) -> Event:
        raise ValueError("no rate for EUR")
"""
CONFIG: Final = """\
steps_from: [rate.py]
sources: {shop: {auth: none}}
chains: {rated: [{rate: {}}]}
routes:
  - {name: a, from: shop, steps: [{rate: {}}], to: inbox}
  - {name: b, from: shop, steps: [{drop: [data.x]}, {rate: {}}], to: inbox}
destinations: {inbox: {email: {to: [a@example.com], subject: x}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rate.py").write_text(STEP, encoding="utf-8")
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_the_text_of_its_exception_is_shown_with_its_line(config: Path, command: Command) -> None:
    output = command("test", "--config", str(config), code=1)
    assert "step 1 'rate': ValueError at rate.py:17: no rate for EUR" in output


@pytest.mark.parametrize("text", ["class Rate(:\n", None])
def test_a_file_that_does_not_load_is_one_fault(text: str | None, config: Path, command: Command) -> None:
    file = config.parent / "rate.py"
    file.unlink() if text is None else file.write_text(text, encoding="utf-8")
    command("lint", "--config", str(config), code=1)
    *faults, count = command.error.splitlines()
    assert (count, len(faults)) == ("1 fault", 1)
    assert "steps_from: " in faults[0]
