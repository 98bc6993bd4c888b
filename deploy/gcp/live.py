"""What is there: asked of gcloud in a few lists, several at once, and only of APIs that are enabled."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from deploy.gcp import names
from deploy.gcp.gcloud import GcloudFault, Runner, read_json
from deploy.gcp.listings import LISTINGS, OF_DATABASE, Listing
from deploy.gcp.resource import Existing, Resource, key_of
from deploy.gcp.resources.access import PROJECT, Grant, reading
from deploy.gcp.resources.apis import API
from deploy.gcp.resources.secret_values import SECRET, VALUE
from deploy.gcp.resources.stores import DATABASE
from deploy.gcp.target import Target
from shared.jsontext import Json

WORKERS: Final = 4
"""gcloud takes a processor and 100 MB for a second each time, and Cloud Shell is a small machine."""
_WITH_POLICY: Final = frozenset({"account", "topic", "subscription", "bucket", "service", "secret"})


@dataclass(frozen=True, slots=True)
class Live:
    """`existing` by key. `grants` are all that the policies of those things say, ours and others'."""

    existing: Mapping[str, Existing]
    grants: frozenset[Grant]


def project_number(runner: Runner, target: Target) -> str:
    """Raises GcloudFault, also where there is no such project, or none that this account may see."""
    arguments = ["projects", "describe", target.project]
    found = read_json(runner, arguments, target.project)
    number = found.get("projectNumber") if isinstance(found, dict) else None
    if not number:
        raise GcloudFault(" ".join(["gcloud", *arguments]), f"gcloud names no number of project {target.project!r}")
    return str(number)


def read_live(runner: Runner, target: Target, wanted: Iterable[Resource]) -> Live:
    """Raises GcloudFault and GcloudMissing."""
    wanted_keys = {resource.key for resource in wanted}
    existing = dict(_enabled(runner, target))
    with ThreadPoolExecutor(WORKERS) as pool:
        for found in pool.map(lambda each: dict(listed(runner, target, each)), _askable(LISTINGS, existing)):
            existing.update(found)
        if key_of(DATABASE, names.database(target)) in existing:
            for found in pool.map(lambda each: dict(listed(runner, target, each)), OF_DATABASE):
                existing.update(found)
        ours = [(kind, name) for kind, _, name in (key.partition(" ") for key in existing if key in wanted_keys)]
        secrets = [name for kind, name in ours if kind == SECRET]
        valued = pool.map(lambda name: _has_value(runner, target, name), secrets)
        existing.update({key_of(VALUE, name): Existing() for name, has in zip(secrets, valued, strict=True) if has})
        with_policy = [(PROJECT, target.project), *(each for each in ours if each[0] in _WITH_POLICY)]
        found_grants = pool.map(lambda each: _grants(runner, target, *each), with_policy)
        grants = frozenset(grant for found in found_grants for grant in found)
    existing.update({grant.key: Existing() for grant in grants})
    return Live(existing, grants)


def _askable(listings: Iterable[Listing], existing: Mapping[str, Existing]) -> list[Listing]:
    return [each for each in listings if key_of(API, each.api) in existing]


def listed(runner: Runner, target: Target, listing: Listing) -> Iterator[tuple[str, Existing]]:
    found = read_json(runner, listing.arguments(target), target.project)
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict) and (read := listing.read(entry, target)):
            name, existing = read
            yield key_of(listing.kind, name), existing


def _enabled(runner: Runner, target: Target) -> Iterator[tuple[str, Existing]]:
    found = read_json(runner, ["services", "list", "--enabled"], target.project)
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict):
            yield key_of(API, str(entry.get("name")).rpartition("/")[2]), Existing()


def _has_value(runner: Runner, target: Target, secret_id: str) -> bool:
    arguments = ["secrets", "versions", "list", secret_id, "--filter=state=ENABLED", "--limit=1"]
    return bool(read_json(runner, arguments, target.project))


def _grants(runner: Runner, target: Target, kind: str, name: str) -> list[Grant]:
    return list(grants_of(kind, name, read_json(runner, reading(kind, name, target), target.project)))


def grants_of(kind: str, name: str, policy: Json) -> Iterator[Grant]:
    bindings = policy.get("bindings") if isinstance(policy, dict) else None
    for binding in bindings if isinstance(bindings, list) else []:
        if not isinstance(binding, dict):
            continue
        condition = binding.get("condition")
        expression = str(condition.get("expression", "")) if isinstance(condition, dict) else ""
        members = binding.get("members")
        for member in members if isinstance(members, list) else []:
            yield Grant(kind, name, str(binding.get("role")), str(member), expression)
