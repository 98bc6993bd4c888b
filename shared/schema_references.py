"""Whether a JSON Schema stands alone: nothing that it refers to is looked up elsewhere, now or later."""

from collections.abc import Iterator

from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from shared.jsontext import Json


def reference_outside(document: Json) -> str | None:
    """The first reference that leads to nothing in the schema; None where there is none such."""
    root: Resource[Json] = DRAFT202012.create_resource(document)
    waiting = [(root, Registry().resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        for reference in _references(resource.contents):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                return reference
        waiting.extend((inner, resolver.in_subresource(inner)) for inner in resource.subresources())
    return None


def _references(schema: Json) -> Iterator[str]:
    for key in ("$ref", "$dynamicRef"):
        if isinstance(schema, dict) and isinstance(reference := schema.get(key), str):
            yield reference
