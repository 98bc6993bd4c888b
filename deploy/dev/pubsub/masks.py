"""Update masks: which members of a resource a patch replaces."""

from collections.abc import Collection
from copy import deepcopy

from deploy.dev.pubsub.errors import invalid, not_emulated
from deploy.dev.pubsub.fields import camel
from shared.jsontext import JsonObject


def mask_paths(mask: str, updatable: Collection[str], unimplemented: Collection[str] = ()) -> list[list[str]]:
    """`pushConfig,retryPolicy.minimumBackoff`, camelCase or snake_case."""
    paths = [camel(path.strip()).split(".") for path in mask.split(",") if path.strip()]
    if not paths:
        raise invalid("The update_mask in the request is empty; it names the fields to update.")
    for path in paths:
        if path[0] in unimplemented:
            raise not_emulated(path[0])
        if path[0] not in updatable:
            raise invalid(f"Invalid update_mask: the field '{'.'.join(path)}' cannot be updated.")
    return paths


def patched(resource: JsonObject, changes: JsonObject, paths: list[list[str]]) -> JsonObject:
    """A copy of `resource` in which what the paths name is as in `changes`; what is absent there goes."""
    result = deepcopy(resource)
    for path in paths:
        _replace(result, {camel(name): value for name, value in changes.items()}, path)
    return result


def _replace(target: JsonObject, changes: JsonObject, path: list[str]) -> None:
    name, rest = path[0], path[1:]
    if not rest:
        if changes.get(name) is None:
            target.pop(name, None)
        else:
            target[name] = changes[name]
        return
    inner, changed = target.get(name), changes.get(name)
    inner = dict(inner) if isinstance(inner, dict) else {}
    _replace(inner, {camel(key): v for key, v in changed.items()} if isinstance(changed, dict) else {}, rest)
    target[name] = inner
