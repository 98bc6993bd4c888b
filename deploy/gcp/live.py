"""Reading what exists, from a few of gcloud's lists in parallel, and only for APIs that are enabled."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from deploy.cloud_access import gcp_names
from deploy.cloud_access.gcp import GcloudFault, Runner, read_json
from deploy.config.sections.bus_source import PREFIX
from deploy.gcp.iam_bindings import CONDITION_TITLE, PROJECT, is_pubsub_agent, reading
from deploy.gcp.resource import Existing, Grant, Resource, key_of, kind_and_name, kind_of
from deploy.gcp.resources import monitoring, project, services, stores, topics
from deploy.topology.functions import FUNCTIONS
from deploy.topology.monitoring import SOURCE_ALARM
from deploy.topology.topology import FURTHER_METRICS
from shared.cloud.gcp.collections import EXPIRE_AT
from shared.jsontext import Json, JsonObject, list_at, mapping_at, objects_at, value_at
from shared.ports import TAP

Read: TypeAlias = Callable[[JsonObject, gcp_names.Target], tuple[str, Existing] | None]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list.

    api      must be enabled for it; empty for the list of APIs itself
    command  follows the word gcloud; {region} and {database} stand for those of the deployment
    read     returns an entry's name and what the deployment needs to know of it; None to skip it. An empty digest makes
             the deployment update a resource that has one. `listed` adds the entry itself.
    """

    kind: str
    api: str
    command: str
    read: Read


WORKERS: Final = 4
"""Each gcloud process takes a CPU and 100 MB for a second, and Cloud Shell is a small machine."""
MOST_TOPICS: Final = 100
"""The most topics of others whose policies are read: each takes a call of gcloud."""
_OF_OTHERS: Final = ("PERMISSION_DENIED", "does not have permission", "NOT_FOUND")
"""In gcloud's message about a policy that may not be read, or whose resource was deleted meanwhile."""
_WITH_POLICY: Final = frozenset(
    {project.ACCOUNT, topics.TOPIC, topics.SUBSCRIPTION, stores.BUCKET, services.SERVICE, stores.SECRET}
)
"""The kinds of resources that have an IAM policy of their own."""


# The lists


def _last(text: Json) -> str:
    """Return the last part of a path, such as the id in `projects/P/topics/ID`."""
    return str(text).rpartition("/")[2]


def _labelled(entry: JsonObject, target: gcp_names.Target, labels: str = "labels") -> Existing:
    """Return what the labels say. `labels` is the entry's field with them.

    Another deployment's digest is not read: the resource is updated, or rejected because of its owner.
    """
    found = mapping_at(entry, labels)
    owner = str(found.get(gcp_names.BUNDLE_LABEL, ""))
    is_ours = owner == target.bundle
    return Existing(str(found.get(gcp_names.PLAN_LABEL, "")) if is_ours else "", ours=is_ours, owner=owner)


def _by_label(entry: JsonObject, target: gcp_names.Target) -> tuple[str, Existing]:
    return _last(entry.get("name")), _labelled(entry, target)


def _by_name(entry: JsonObject, _: gcp_names.Target) -> tuple[str, Existing]:
    return _last(entry.get("name")), Existing()


def _database(entry: JsonObject, _: gcp_names.Target) -> tuple[str, Existing]:
    return _last(entry.get("name")), Existing(region=str(entry.get("locationId", "")))


def _account(entry: JsonObject, _: gcp_names.Target) -> tuple[str, Existing]:
    return str(entry.get("email")).partition("@")[0], Existing()


def _expiry(entry: JsonObject, _: gcp_names.Target) -> tuple[str, Existing] | None:
    collection, field = _field(entry)
    return (collection, Existing()) if field == EXPIRE_AT else None


def _exemption(entry: JsonObject, _: gcp_names.Target) -> tuple[str, Existing] | None:
    config = entry.get("indexConfig")
    is_exempt = isinstance(config, dict) and not config.get("indexes") and not config.get("usesAncestorConfig")
    return (".".join(_field(entry)), Existing()) if is_exempt else None


def _field(entry: JsonObject) -> tuple[str, str]:
    """Return G and F of the name `projects/P/databases/D/collectionGroups/G/fields/F`; empty texts for another one."""
    parts = str(entry.get("name")).split("/")
    return (parts[5], parts[7]) if len(parts) == 8 else ("", "")


def _service(entry: JsonObject, target: gcp_names.Target) -> tuple[str, Existing] | None:
    """Read a service. One that is not ready, or that gets no requests, has no digest: its deployment did not finish."""
    metadata = entry.get("metadata")
    if not isinstance(metadata, dict):
        return None
    found = _labelled(metadata, target)
    is_serving = _is_ready(entry.get("status")) and _serves_newest_revision(entry.get("spec"))
    return str(metadata.get("name")), found if is_serving else replace(found, digest="")


def _is_ready(status: Json) -> bool:
    conditions = objects_at(status, "conditions")
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _serves_newest_revision(spec: Json) -> bool:
    """Return whether all requests go to the newest revision."""
    return all(each.get("latestRevision") is True for each in objects_at(spec, "traffic") if each.get("percent"))


def _job(entry: JsonObject, _: gcp_names.Target) -> tuple[str, Existing]:
    digest = services.job_digest(str(entry.get("description", "")))
    return _last(entry.get("name")), Existing(digest if entry.get("state") == "ENABLED" else "")


def _alert(entry: JsonObject, target: gcp_names.Target) -> tuple[str, Existing]:
    found = _labelled(entry, target, "userLabels")
    return str(entry.get("displayName")), replace(found, address=str(entry.get("name")))


ENABLED_APIS: Final = Listing(project.API, "", "services list --enabled", _by_name)
LISTINGS: Final = (
    Listing(project.ACCOUNT, "iam.googleapis.com", "iam service-accounts list", _account),
    Listing(topics.TOPIC, "pubsub.googleapis.com", "pubsub topics list", _by_label),
    Listing(topics.SUBSCRIPTION, "pubsub.googleapis.com", "pubsub subscriptions list", _by_label),
    Listing(stores.DATABASE, "firestore.googleapis.com", "firestore databases list", _database),
    Listing(stores.BUCKET, "storage.googleapis.com", "storage buckets list", _by_label),
    Listing(
        stores.REPOSITORY,
        "artifactregistry.googleapis.com",
        "artifacts repositories list --location={region}",
        _by_name,
    ),
    Listing(stores.SECRET, "secretmanager.googleapis.com", "secrets list", _by_label),
    Listing(services.SERVICE, "run.googleapis.com", "run services list --region={region}", _service),
    Listing(services.JOB, "cloudscheduler.googleapis.com", "scheduler jobs list --location={region}", _job),
    Listing(monitoring.DASHBOARD, "monitoring.googleapis.com", "monitoring dashboards list", _by_label),
    Listing(monitoring.METRIC, "logging.googleapis.com", "logging metrics list", _by_name),
    Listing(monitoring.ALERT, "monitoring.googleapis.com", "monitoring policies list", _alert),
)

DATABASE_LISTINGS: Final = (
    Listing(stores.EXPIRY, "firestore.googleapis.com", "firestore fields ttls list --database={database}", _expiry),
    Listing(
        stores.EXEMPTION,
        "firestore.googleapis.com",
        "firestore indexes fields list --database={database}",
        _exemption,
    ),
)
"""Lists that need an existing database."""


# The project


@dataclass(frozen=True, slots=True)
class Live:
    """The existing resources by key, and all IAM bindings of their policies, including those of others.

    `unneeded` are the deployment's functions, with their accounts, and the subscriptions and topics of sources, that
    the configuration does not have any more.
    """

    existing: Mapping[str, Existing]
    grants: frozenset[Grant]
    unneeded: Mapping[str, Existing]


def project_number(runner: Runner, target: gcp_names.Target) -> str:
    """Return the project's number. Raises GcloudFault, also if the project does not exist or is not visible."""
    arguments = ["projects", "describe", target.project]
    found = read_json(runner, arguments, target.project)
    number = value_at(found, "projectNumber")
    if not number:
        raise GcloudFault(" ".join(["gcloud", *arguments]), f"gcloud names no number of project {target.project!r}")
    return str(number)


def read_live(runner: Runner, target: gcp_names.Target, wanted: Iterable[Resource]) -> Live:
    """Return the existing resources among `wanted`, and what the deployment has beside them.

    Raises GcloudFault and GcloudMissing.
    """
    wanted = tuple(wanted)
    wanted_keys = {resource.key for resource in wanted}
    all_existing = read_resources(runner, target)
    existing = {key: each for key, each in all_existing.items() if key in wanted_keys}
    unwanted = {key: each for key, each in all_existing.items() if each.ours and key not in wanted_keys}
    # A secret that nothing needs any more is kept, but the permission to read it is removed.
    unwanted_secrets = [each for each in map(kind_and_name, unwanted) if each[0] == stores.SECRET]
    with_grants = [*map(kind_and_name, existing), *unwanted_secrets, *_wanted_topics(wanted, all_existing)]
    others = [each for each in topics_of_others(all_existing) if each not in with_grants]
    grants = read_grants(runner, target, with_grants, others)
    existing |= _secret_values(runner, target, existing)
    existing |= _notifications(runner, target, wanted, all_existing)
    if any(is_pubsub_agent(grant.member) for grant in grants):  # an account with a role exists
        existing |= {project.pubsub_service_agent().key: Existing()}
    existing |= {grant.key: Existing() for grant in grants}
    optional_keys = _optional_keys(target)
    source_prefixes = tuple(key_of(kind, f"{target.prefix}{PREFIX}") for kind in (topics.SUBSCRIPTION, topics.TOPIC))
    unneeded = {key: each for key, each in unwanted.items() if key in optional_keys or key.startswith(source_prefixes)}
    return Live(existing, grants, unneeded)


def _optional_keys(target: gcp_names.Target) -> set[str]:
    """Return the keys of the resources that only some configurations need, and that hold nothing worth keeping."""
    functions = [function.name for function in FUNCTIONS if function.is_optional]
    return {
        *(services.service_key(target, name) for name in functions),
        *(project.account_key(target, name) for name in (*functions, project.DEVELOPER)),
        key_of(monitoring.ALERT, monitoring.alert_name(target, SOURCE_ALARM.name)),
        *(key_of(monitoring.METRIC, target.name_of(each.name)) for each in FURTHER_METRICS.values()),
        topics.topic_key(target, TAP),
    }


def _secret_values(runner: Runner, target: gcp_names.Target, existing: Iterable[str]) -> dict[str, Existing]:
    """Return the values of the existing secrets that have one."""
    names = [name for kind, name in map(kind_and_name, existing) if kind == stores.SECRET]
    with ThreadPoolExecutor(WORKERS) as pool:
        have_values = pool.map(lambda name: _has_value(runner, target, name), names)
        return {key_of(stores.VALUE, name): Existing() for name, has in zip(names, have_values, strict=True) if has}


def topics_of_others(all_existing: Mapping[str, Existing]) -> list[tuple[str, str]]:
    """Return the project's other topics: on any of them, a destination that is gone may have left a permission.

    Each takes a call of gcloud. If there are more than MOST_TOPICS, none is returned.
    """
    found = sorted(
        kind_and_name(key) for key, each in all_existing.items() if kind_of(key) == topics.TOPIC and not each.ours
    )
    return found if len(found) <= MOST_TOPICS else []


def _wanted_topics(wanted: Iterable[Resource], there: Mapping[str, Existing]) -> list[tuple[str, str]]:
    """Return the topics on which permissions are wanted, and which somebody else has made."""
    own_names = {each.name for each in wanted if each.kind == topics.TOPIC}
    granted_names = {each.grant.name for each in wanted if each.grant and each.grant.on == topics.TOPIC}
    names = sorted(granted_names - own_names)
    return [(topics.TOPIC, name) for name in names if key_of(topics.TOPIC, name) in there]


def _notifications(
    runner: Runner, target: gcp_names.Target, wanted: Iterable[Resource], there: Mapping[str, Existing]
) -> dict[str, Existing]:
    """Return the notifications of buckets that are there. Cloud Storage lists them for each bucket apart."""
    found: dict[str, Existing] = {}
    for each in wanted:
        bucket, _, topic = each.name.partition("/")
        if each.kind == topics.NOTIFICATION and key_of(topics.TOPIC, topic) in there:
            listed = read_json(runner, topics.listing(bucket), target.project)
            if existing := topics.found_notification(bucket, topic, listed):
                found[each.key] = existing
    return found


def read_resources(runner: Runner, target: gcp_names.Target) -> dict[str, Existing]:
    """Return all resources of the kinds that a deployment uses, by key, with enabled APIs. Raises GcloudFault."""
    existing = dict(listed(runner, target, ENABLED_APIS))
    with ThreadPoolExecutor(WORKERS) as pool:
        answerable = [each for each in LISTINGS if key_of(project.API, each.api) in existing]
        for found in pool.map(lambda each: dict(listed(runner, target, each)), answerable):
            existing.update(found)
        if key_of(stores.DATABASE, gcp_names.database(target)) in existing:
            for found in pool.map(lambda each: dict(listed(runner, target, each)), DATABASE_LISTINGS):
                existing.update(found)
    return existing


def read_grants(
    runner: Runner,
    target: gcp_names.Target,
    resources: Iterable[tuple[str, str]],
    others: Iterable[tuple[str, str]] = (),
) -> frozenset[Grant]:
    """Return the IAM bindings of the project and of these resources (kind and name). Raises GcloudFault.

    `others` are resources of other owners. A resource whose policy may not be read is left out.
    """
    with_policy = [(PROJECT, target.project), *(each for each in resources if each[0] in _WITH_POLICY)]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda each: list(_grants(runner, target, *each)), with_policy)
        found_there = pool.map(lambda each: _grants_of_other(runner, target, *each), others)
        return frozenset(grant for grants in (*found, *found_there) for grant in grants)


def listed(runner: Runner, target: gcp_names.Target, listing: Listing) -> Iterator[tuple[str, Existing]]:
    """Yield the key and the description of each entry of a list. Raises GcloudFault and GcloudMissing."""
    values = {"region": target.region, "database": gcp_names.database(target)}
    found = read_json(runner, [word.format(**values) for word in listing.command.split()], target.project)
    for entry in objects_at(found):
        if read := listing.read(entry, target):
            name, existing = read
            yield key_of(listing.kind, name), replace(existing, description=entry)


def _has_value(runner: Runner, target: gcp_names.Target, secret_id: str) -> bool:
    arguments = ["secrets", "versions", "list", secret_id, "--filter=state=ENABLED", "--limit=1"]
    return bool(read_json(runner, arguments, target.project))


def _grants(runner: Runner, target: gcp_names.Target, kind: str, name: str) -> Iterator[Grant]:
    return grants_of(kind, name, read_json(runner, reading(kind, name, target), target.project))


def _grants_of_other(runner: Runner, target: gcp_names.Target, kind: str, name: str) -> list[Grant]:
    """Return the bindings of somebody else's resource; none if its policy may not be read."""
    try:
        return list(_grants(runner, target, kind, name))
    except GcloudFault as fault:
        if any(text in fault.message for text in _OF_OTHERS):
            return []
        raise


def grants_of(kind: str, name: str, policy: Json) -> Iterator[Grant]:
    """Yield a grant for each member of each binding in the resource's IAM policy."""
    for binding in objects_at(policy, "bindings"):
        condition = binding.get("condition")
        if isinstance(condition, dict) and condition.get("title") != CONDITION_TITLE:
            continue  # somebody else's: gcloud would need its title and description
        expression = str(condition.get("expression", "")) if isinstance(condition, dict) else ""
        for member in list_at(binding, "members"):
            yield Grant(kind, name, str(binding.get("role")), str(member), expression)
