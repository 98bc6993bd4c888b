"""The code that each function had before the last deployment, which the template names, so that it can serve again.

The SAM CLI keeps the code of every deployment in its bucket. A deployment notes in the template's metadata where the
code is that it replaces. Without changed code, the note of the deployment before stays.
"""

from collections.abc import Collection, Mapping
from typing import Final

from deploy.aws import template_names as names
from shared.jsontext import Json, JsonObject

METADATA: Final = "Metadata"
CODE: Final = "CodeDigests"
"""The metadata of the functions' bundles, so that another code is another template."""
EARLIER_CODE: Final = "EarlierCode"
_DIGEST: Final = "Digest"
_PLACE: Final = "CodeUri"


def earlier_code(deployed: JsonObject, digests: Mapping[str, str]) -> JsonObject:
    """Return the note for a template whose bundles have these digests. `deployed` is the stack's template."""
    metadata = _object(deployed.get(METADATA))
    old = _object(metadata.get(CODE))
    changed = [name for name, digest in digests.items() if name in old and old[name] != digest]
    if not changed:
        return _object(metadata.get(EARLIER_CODE))
    places = {name: _properties(deployed, name).get(_PLACE) for name in changed}
    return {name: {_DIGEST: old[name], _PLACE: place} for name, place in places.items() if isinstance(place, str)}


def with_earlier_code(deployed: JsonObject, functions: Collection[str]) -> tuple[JsonObject, list[str]]:
    """Return the stack's template with the earlier code, and the functions that get it; of all without `functions`."""
    metadata = _object(deployed.get(METADATA))
    noted = _object(metadata.get(EARLIER_CODE))
    chosen = [name for name in noted if not functions or name in functions]
    resources = dict(_object(deployed.get("Resources")))
    digests = dict(_object(metadata.get(CODE)))
    for name in chosen:
        earlier = _object(noted[name])
        entry = _object(resources.get(names.function(name)))
        place: JsonObject = {_PLACE: earlier.get(_PLACE)}
        resources[names.function(name)] = {**entry, "Properties": {**_object(entry.get("Properties")), **place}}
        digests[name] = earlier.get(_DIGEST)
    left: JsonObject = {name: each for name, each in noted.items() if name not in chosen}
    return {
        **deployed,
        METADATA: {**metadata, CODE: digests, EARLIER_CODE: left},
        "Resources": resources,
    }, chosen


def _properties(template: JsonObject, function: str) -> JsonObject:
    entry = _object(_object(template.get("Resources")).get(names.function(function)))
    return _object(entry.get("Properties"))


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
