"""The examples of every kind that speaks HTTP, run."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import functions.notify.destinations as kinds_package
from deploy.explain.destinations import example_faults
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


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_a_kind_has_a_summary_and_an_example(kind: ModuleType) -> None:
    assert kind.EXAMPLES
    assert kind.Settings.__doc__.partition("\n")[0].endswith(".")
