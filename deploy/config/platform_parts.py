"""The parts of a configuration that only some places can use: this machine, Google Cloud or AWS.

They have addresses of this machine, or need an account that only one cloud gives its functions.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from deploy.config.config_file import DocumentPath
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at, value_at, values_in

GOOGLE_KINDS: Final = frozenset({"bigquery", "document", "push", "sheet"})
"""The kinds of destinations that can send to Google only. Their `secret` is the key of a service account."""
_SHARED_FILES: Final = frozenset({"document", "sheet"})
"""The kinds of destinations that write to a file, which its owner has to share with the account."""
_ADDRESS_KEY: Final = re.compile(r"(\w+_)?(url|host|endpoint|server)|otlp")
_HOST: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#@]*@)?(?:\[([^\]]+)\]|([^/:?#]+))", re.IGNORECASE)


class RestrictedPart(NamedTuple):
    """A part of the configuration that cannot be used everywhere.

    path  its path in the file
    name  its name for people: `destination 'crm'`
    rule  where it can be used, and what to do
    """

    path: DocumentPath
    name: str
    rule: str


def local_only(slices: Mapping[str, JsonObject]) -> Iterator[RestrictedPart]:
    """Yield each part that works with `make dev` and would not work the same in a deployment.

    These are addresses of this machine, and files of Google without the key of an account: `make dev` catches what is
    written to them.
    """
    notify = slices["notify"]
    transform = slices["transform"]
    for part, word, slice_ in (("destinations", "destination", notify), ("chains", "chain", transform)):
        for name, entry in mapping_at(slice_, part).items():
            yield from _loopbacks((part, name), f"{word} {name!r}", entry)
    for name, source in mapping_at(slices.get("receive"), "sources").items():
        yield from _loopbacks(("sources", name), f"source {name!r}", source)
    for number, route in enumerate(objects_at(transform, "routes")):
        yield from _loopbacks(("routes", number), f"route {route.get('name')!r}", route)
    yield from _loopbacks(("people",), "people", notify.get("people"))
    yield from _loopbacks(("telemetry",), "telemetry", notify.get("telemetry"))
    for name, kind in without_google_account(notify):
        if kind in _SHARED_FILES:
            rule = "on Google Cloud it writes with the account of `notify`, with which you share the file"
            rule = f"has no `secret`: {rule}. AWS has no such account"
            yield RestrictedPart(("destinations", name), f"destination {name!r}", rule)


def google_only(notify: JsonObject) -> Iterator[RestrictedPart]:
    """Yield each part that only a deployment on Google Cloud can use. `notify` is its slice."""
    yield from _telemetry_of(notify, "google_cloud", "Google Cloud", "aws", "AWS")
    for name, entry in mappings_at(notify, "destinations").items():
        if any(auth.get("scheme") == "google" for auth in objects_at(entry, "settings", "auth")):
            rule = "`auth: {scheme: google}` needs the account of a function on Google Cloud, which AWS does not have"
            yield RestrictedPart(("destinations", name), f"destination {name!r}", rule)


def aws_only(notify: JsonObject) -> Iterator[RestrictedPart]:
    """Yield each part that only a deployment on AWS can use. `notify` is the slice of notify."""
    yield from _telemetry_of(notify, "aws", "AWS", "google_cloud", "Google Cloud")
    for name, entry in mappings_at(notify, "destinations").items():
        if _needs_role(entry.get("kind"), mapping_at(entry, "settings")):
            rule = "has no access key: it needs the role of a function on AWS, which Google Cloud does not have"
            rule = f"{rule}. Set `access_key_id` and `secret`"
            yield RestrictedPart(("destinations", name), f"destination {name!r}", rule)


def _telemetry_of(notify: JsonObject, own: str, own_name: str, other: str, other_name: str) -> Iterator[RestrictedPart]:
    if value_at(notify, "telemetry", "cloud") == own:
        rule = f"{own_name} takes spans from its own functions only. On {other_name}, set `telemetry: {other}`"
        yield RestrictedPart(("telemetry",), "telemetry", rule)


def _needs_role(kind: Json, settings: JsonObject) -> bool:
    if any(auth.get("scheme") == "aws" and auth.get("access_key_id") is None for auth in objects_at(settings, "auth")):
        return True
    if settings.get("access_key_id") is not None:
        return False
    match kind:
        case "object":
            return str(settings.get("bucket")).startswith("s3://")
        case "bus":
            return settings.get("pubsub") is None
    return False


def without_google_account(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each destination that needs an account of Google and names no key of one.

    `notify` is its slice. A destination with an `api_url` needs none.
    """
    for name, each in mappings_at(notify, "destinations").items():
        if _lacks_key(each.get("kind"), mapping_at(each, "settings")):
            yield name, str(each["kind"])


def _lacks_key(kind: Json, settings: JsonObject) -> bool:
    if settings.get("secret") is not None or settings.get("api_url") is not None:
        return False
    match kind:
        case "cloud_build":
            return settings.get("webhook_secret") is None
        case "object":
            return str(settings.get("bucket")).startswith("gs://") and settings.get("endpoint") is None
        case "bus":
            return settings.get("pubsub") is not None
    return kind in GOOGLE_KINDS


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _loopbacks(path: DocumentPath, name: str, value: Json) -> Iterator[RestrictedPart]:
    for key, host in dict.fromkeys(_hosts(value)):
        if is_loopback(host) or host.endswith(".localhost"):
            rule = f"`{key}` is at {host}, which is this machine only: a deployment in a cloud cannot reach it"
            yield RestrictedPart(path, name, rule)


def _hosts(value: Json) -> Iterator[tuple[str, str]]:
    """Yield the host of each address in settings, with its key."""
    for path, item in values_in(value):
        key = str(path[-1]) if path else ""
        if isinstance(item, str) and _ADDRESS_KEY.fullmatch(key) and (found := _HOST.match(item)):
            yield key, (found[1] or found[2]).lower()
