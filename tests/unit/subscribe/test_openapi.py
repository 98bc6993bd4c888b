"""The OpenAPI document: made of the routes and models, checked in as it is, and valid."""

import json
from typing import Final

from openapi_spec_validator import validate

from functions.subscribe.openapi import FILE, document, text
from functions.subscribe.routes import ROUTES

CHECKED_IN: Final = FILE.read_text(encoding="utf-8")


def test_the_document_that_is_checked_in_is_the_one_that_the_routes_make() -> None:
    assert text() == CHECKED_IN, "run: python -m functions.subscribe.openapi"


def test_the_document_is_valid_openapi() -> None:
    validate(json.loads(CHECKED_IN))


def test_every_route_is_in_it_once_and_says_who_may_use_it() -> None:
    paths = document()["paths"]
    assert isinstance(paths, dict)
    operations = [
        (method.upper(), path, operation)
        for path, item in paths.items()
        if isinstance(item, dict)
        for method, operation in item.items()
        if isinstance(operation, dict)
    ]
    assert {(method, path) for method, path, _ in operations} == {(route.method, route.path) for route in ROUTES}
    assert len({operation["operationId"] for *_, operation in operations}) == len(ROUTES)
    assert all(str(operation["description"]).startswith("For ") for *_, operation in operations)
