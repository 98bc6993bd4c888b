"""The OpenAPI document of the subscribers' API, built from its routes and their models.

Run `python -m functions.subscribe.openapi` after a change of the API. It writes openapi.json, which is checked in
and which the function serves.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from functions.subscribe.models import values
from functions.subscribe.problems import API_STATUS, TITLES
from functions.subscribe.route import PARAMS, Route
from functions.subscribe.routes import ROUTES
from shared.jsontext import Json, JsonObject

FILE: Final = Path(__file__).with_name("openapi.json")
VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "Problem"
_ERRORS_OF_ALL: Final = frozenset({400, 401, 403, 404, 405, 413, 422, 503})
"""The statuses of the problems that any route may answer."""
_ERRORS_OF_BODIES: Final = frozenset({408, 415})
"""The further ones that a route with a body may answer."""
_TAGS: Final[Mapping[str, str]] = {
    "endpoints": "endpoints",
    "deliveries": "deliveries",
    "messages": "messages",
    "portal-tokens": "portal",
    "portal-sessions": "portal",
    "portal-info": "portal",
}
"""The tags of operations by a part of their path. Any other operation has the first part after `v1` as its tag."""
TITLE_OF_SUCCESS: Final[Mapping[int, str]] = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content"}

DESCRIPTION: Final = """\
Tenants, their endpoints, deliveries and the catalogue of event types. Authenticate with an API key or a portal token:
`Authorization: Bearer …`. An error is a problem document (RFC 9457) with a stable `code`. A list has `items` and
`next`, the cursor of the page after it. A POST with an `Idempotency-Key` is done once in 24 hours."""


def document() -> JsonObject:
    """Return the document."""
    schemas = _schemas()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hookchain subscribers", "version": VERSION, "description": DESCRIPTION.replace("\n", " ")},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": {path: _path_item(path) for path in dict.fromkeys(route.path for route in ROUTES)},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": dict(sorted(schemas.items())),
            "responses": {str(status): _problem_response(status) for status in sorted({*API_STATUS.values(), *TITLES})},
        },
    }


def text() -> str:
    """Return the text of openapi.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _schemas() -> dict[str, Json]:
    """Return the schemas of all models by name."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(values.Problem, "serialization")]
    for route in ROUTES:
        if route.takes_body:
            models.append((route.takes, "validation"))
        if route.gives:
            models.append((route.gives, "serialization"))
    _, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template=_REF)
    return {_plain_name(name): _with_plain_references(schema) for name, schema in definitions["$defs"].items()}


def _plain_name(name: str) -> str:
    """Rename a generic model, such as pydantic's `Page_Tenant_` for `Page[Tenant]`, to `PageOfTenant`.

    A reference that ends with such a name is renamed in the same way.
    """
    return re.sub(r"_(\w+)_$", r"Of\1", name)


def _with_plain_references(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_with_plain_references(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {key: _with_plain_references(value) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        renamed["$ref"] = _plain_name(reference)
    return renamed


def _reference(model: type[BaseModel]) -> JsonObject:
    return {"$ref": _REF.format(model=_plain_name(re.sub(r"\W", "_", model.__name__)))}


def _path_item(path: str) -> JsonObject:
    names = re.findall(r"{(\w+)}", path)
    item: JsonObject = {}
    if names:
        item["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": PARAMS[name].description,
                "schema": {"type": "string", "pattern": f"^{PARAMS[name].pattern}$"},
            }
            for name in names
        ]
    for route in ROUTES:
        if route.path == path:
            item[route.method.lower()] = _operation(route)
    return item


def _operation(route: Route) -> JsonObject:
    operation: JsonObject = {
        "operationId": route.name,
        "summary": route.summary,
        "description": _access_text(route),
        "tags": [_tag(route)],
    }
    parameters: list[Json] = [*_query_parameters(route), *_header_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.takes_body:
        content: JsonObject = {"application/json": {"schema": _reference(route.takes)}}
        is_required = any(each.is_required() for each in route.takes.model_fields.values())
        operation["requestBody"] = {"required": is_required, "content": content}
    operation["responses"] = _responses(route)
    return operation


def _tag(route: Route) -> str:
    """Return the name of the group in which a reader of the document finds the operation."""
    parts = [part for part in route.path.split("/") if part and not part.startswith("{")]
    return next((_TAGS[part] for part in parts if part in _TAGS), parts[1])


def _access_text(route: Route) -> str:
    access, texts = route.access, []
    if access.scope:
        texts.append(f"an API key with the scope `{access.scope}`")
    if access.capability:
        texts.append(f"a portal token with the capability `{access.capability}`")
    return f"For {' or '.join(texts)}."


def _query_parameters(route: Route) -> Iterator[JsonObject]:
    if not issubclass(route.takes, values.Query):
        return
    schema = route.takes.model_json_schema()
    for name, property_ in schema.get("properties", {}).items():
        # An optional parameter is `anyOf` its type and null for pydantic. A query cannot contain null.
        types = [each for each in property_.get("anyOf", ()) if each != {"type": "null"}]
        shown = {key: value for key, value in property_.items() if key not in {"title", "description"}}
        yield {"name": name, "in": "query", "schema": types[0] if types else shown}


def _header_parameters(route: Route) -> Iterator[JsonObject]:
    if route.is_idempotent:
        text = "A text of your own: the same request again within 24 hours gets the same answer, and is not done again."
        schema: JsonObject = {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"}
        yield {"name": "Idempotency-Key", "in": "header", "description": text, "schema": schema}
    if route.is_conditional:
        text = "The ETag that you have seen: where the endpoint has changed since, nothing is done."
        yield {"name": "If-Match", "in": "header", "description": text, "schema": {"type": "string"}}


def _responses(route: Route) -> JsonObject:
    """Return the response of a success, and references to the responses of all problems that the route may answer."""
    done: JsonObject = {"description": TITLE_OF_SUCCESS[route.success_status]}
    if route.gives:
        done["content"] = {"application/json": {"schema": _reference(route.gives)}}
    if route.has_etag:
        done["headers"] = {
            "ETag": {"description": "The version of the endpoint's settings.", "schema": {"type": "string"}}
        }
    errors = set(_ERRORS_OF_ALL)
    if route.takes_body:
        errors |= _ERRORS_OF_BODIES
    if route.is_idempotent or route.method in {"PUT", "DELETE"}:
        errors.add(409)
    if route.is_conditional:
        errors.add(412)
    if route.is_limited:
        errors.add(429)
    responses: JsonObject = {str(route.success_status): done}
    for status in sorted(errors):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _problem_response(status: int) -> JsonObject:
    codes = sorted(code for code, code_status in API_STATUS.items() if code_status == status)
    names = ", ".join(f"`{code}`" for code in codes)
    description = f"{TITLES[status]}{f': {names}' if codes else ''}"
    schema: JsonObject = {"$ref": _REF.format(model=_PROBLEM)}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name} is written\n")
