"""The OpenAPI document: made of the routes and models, checked in as it is, and valid."""

import json
from typing import Final

from openapi_spec_validator import validate

from functions.subscribe.openapi import FILE, text

CHECKED_IN: Final = FILE.read_text(encoding="utf-8")


def test_the_document_that_is_checked_in_is_the_one_that_the_routes_make() -> None:
    assert text() == CHECKED_IN, "run: python -m functions.subscribe.openapi"


def test_the_document_is_valid_openapi() -> None:
    validate(json.loads(CHECKED_IN))
