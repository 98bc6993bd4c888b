"""The examples of every kind that speaks HTTP, run."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import functions.notify.destinations as kinds_package
from deploy.config.sections.destination import DestinationConfig
from deploy.config.sections.kinds import destination_kinds, settings_model
from deploy.explain.reference import example_faults
from functions.notify.destination import kind_module
from functions.notify.http_kind import HttpExample


def kinds() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(kinds_package.__path__):
        module = importlib.import_module(kind_module(found.name))
        if hasattr(module, "request"):
            yield module


EXAMPLES = [
    pytest.param(kind, example, id=f"{kind.__name__.rpartition('.')[2]}-{number}")
    for kind in kinds()
    for number, example in enumerate(kind.EXAMPLES)
]


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_an_example_makes_the_request_that_it_shows(kind: ModuleType, example: HttpExample) -> None:
    assert not example_faults(kind, example)


def pages_of_kinds(root: Path) -> dict[str, Path]:
    """Return the page of each kind, as the table of the entry page links it."""
    folder = root / "functions/notify"
    linked = re.findall(r"\[((?:`\w+`(?:, )?)+)\]\((docs/[^)#]+)", (folder / "README.md").read_text(encoding="utf-8"))
    return {kind: folder / page for kinds, page in linked for kind in re.findall(r"`(\w+)`", kinds)}


@pytest.mark.parametrize("name", destination_kinds())
def test_the_page_of_a_kind_has_its_settings_and_the_index_leads_there(root: Path, name: str) -> None:
    page = pages_of_kinds(root)[name]
    text = page.read_text(encoding="utf-8")
    index = (root / "functions/notify/docs/settings.md").read_text(encoding="utf-8")
    names = [field.alias or field_name for field_name, field in settings_model(name).model_fields.items()]
    assert [each for each in names if f"`{each}`" not in text] == []
    assert [
        each for each in names if not re.search(rf"^\| `{each}` \|.*\[`{name}`\]\({page.name}", index, re.MULTILINE)
    ] == []


def test_the_entry_page_has_the_settings_of_every_kind(root: Path) -> None:
    page = (root / "functions/notify/README.md").read_text(encoding="utf-8")
    assert [each for each in DestinationConfig.model_fields if f"| `{each}` |" not in page] == []


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_a_kind_has_a_summary_and_an_example(kind: ModuleType) -> None:
    assert kind.EXAMPLES
    summary = settings_model(kind.__name__.rpartition(".")[2]).__doc__
    assert summary is not None
    assert summary.partition("\n")[0].endswith(".")
