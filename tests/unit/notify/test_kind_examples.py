"""The examples of every kind that speaks HTTP, run."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from urllib.parse import parse_qsl

import pytest

import functions.notify.destinations as kinds_package
from functions.notify.destination import kind_module
from functions.notify.http_examples import example_request
from functions.notify.http_kind import HttpExample, OutgoingRequest
from shared.jsontext import Json


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


def body_of(request: OutgoingRequest) -> Json:
    """Return the JSON of the body, the fields of a form, or the text."""
    content_type = dict(request.headers).get("content-type", "")
    if content_type == "application/json":
        value: Json = json.loads(request.body)
        return value
    if content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(request.body.decode(), strict_parsing=True))
    return request.body.decode()


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_an_example_makes_the_request_that_it_shows(kind: ModuleType, example: HttpExample) -> None:
    request = example_request(kind, example)

    assert (request.method, request.url) == (example.method, example.url)
    assert body_of(request) == example.body
    assert example.headers.items() <= dict(request.headers).items()


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_a_kind_has_a_summary_and_an_example(kind: ModuleType) -> None:
    assert kind.EXAMPLES
    assert kind.Settings.__doc__.partition("\n")[0].endswith(".")
