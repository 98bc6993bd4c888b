"""The graph of all resources that a configuration needs on Google Cloud, each with the resources that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from deploy.config.blob_retention import blobs_seconds
from deploy.config.compiler import FUNCTIONS
from deploy.gcp.iam_bindings import GRANT, account_member, permissions, pubsub_agent
from deploy.gcp.resource import Resource, keys
from deploy.gcp.resources import stores, topics
from deploy.gcp.resources.monitoring import monitoring
from deploy.gcp.resources.project import account_key, accounts, apis, pubsub_service_agent
from deploy.gcp.resources.services import Bundle, Size, service, service_key, service_url, sizes, sweep
from deploy.gcp.resources.stores import secret, value_key
from deploy.gcp.resources.topics import Push
from deploy.google import names
from deploy.google.target import Target
from deploy.secrets.needs import needs
from shared.jsontext import Json, JsonObject
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS
from shared.retention import retention_of
from shared.settings import CLOUD_RUN

MAIL_VARIABLES: Final = ("EMAIL_FROM", "SMTP_URL")
"""notify's variables that are copied from the environment of the deployment, if they are set."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The input of a graph. `project_number` may be a placeholder; `folder` is for files that commands read."""

    target: Target
    project_number: str
    slices: Mapping[str, JsonObject]
    bundles: Mapping[str, Bundle]
    environ: Mapping[str, str]
    folder: Path

    @property
    def secrets(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the secrets, by the function that reads them."""
        found = needs(self.slices, self.environ)
        return {name: tuple(need.name for need in found if name in need.readers) for name in FUNCTIONS}

    def url(self, function: str) -> str:
        return service_url(self.target, function, self.project_number)


def graph(deployment: Deployment) -> tuple[Resource, ...]:
    """Return the resources in an order in which they can be created, which is always the same."""
    target = deployment.target
    agent, granted = pubsub_service_agent(), _granted(deployment)
    subscriptions = _subscriptions(deployment)
    notify = deployment.slices["notify"]
    kept_seconds = blobs_seconds(retention_of(notify), notify)
    services = _services(deployment, [*granted, *subscriptions])
    return in_order(
        [
            *apis(),
            agent,
            *accounts(target, (topics.topic_key(target, DEAD_LETTERS),)),
            *topics.topics(target),
            *stores.database(target),
            stores.bucket(target, kept_seconds, deployment.folder),
            stores.image_repository(target),
            stores.sources_bucket(target, {each.key: each.name for each in services}, deployment.folder),
            *_secrets(deployment),
            *granted,
            *subscriptions,
            *services,
            sweep(target, deployment.url("notify"), _callable(target, "notify", granted)),
            *monitoring(target, deployment.folder, keys(services)),
        ]
    )


def _granted(deployment: Deployment) -> tuple[Resource, ...]:
    """Return the IAM bindings. One for Pub/Sub's service agent needs that agent to exist."""
    number, agent = deployment.project_number, pubsub_service_agent()
    grants = permissions(deployment.target, number, deployment.secrets)
    to_agent = f" to {pubsub_agent(number)}"
    return tuple(replace(each, needs=(*each.needs, agent.key)) if to_agent in each.name else each for each in grants)


def in_order(resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """Sort the resources by their needs. Raises KeyError for a need without a resource."""
    by_key = {resource.key: resource for resource in resources}
    sorter = TopologicalSorter({each.key: (*each.needs, *each.update_needs) for each in resources})
    return tuple(by_key[key] for key in sorter.static_order())


def _secrets(deployment: Deployment) -> list[Resource]:
    secrets = deployment.secrets
    readers = {
        name: [each for each in FUNCTIONS if name in secrets[each]] for found in secrets.values() for name in found
    }
    return [resource for name in sorted(readers) for resource in secret(deployment.target, name, tuple(readers[name]))]


def _services(deployment: Deployment, before: Sequence[Resource]) -> list[Resource]:
    size = _sizes(deployment)
    mail = {name: deployment.environ[name] for name in MAIL_VARIABLES if deployment.environ.get(name)}
    made = [
        service(
            deployment.target,
            function,
            deployment.bundles[function],
            size[function],
            mounted=deployment.secrets[function] if function == "receive" else (),
            variables={**_push_variables(deployment, function), **(mail if function == "notify" else {})},
            needs=_before(deployment, function, before),
        )
        for function in FUNCTIONS
    ]
    # At the first deployment, messages wait until the functions exist. Later the old transform would process them: it
    # has no route for a new source, and the old notify has no entry for a new destination.
    return [replace(each, update_needs=keys(made[number + 1 : number + 2])) for number, each in enumerate(made)]


def _push_variables(deployment: Deployment, function: str) -> Mapping[str, str]:
    """Return the account and the audience of pushes. Cloud Run verifies each token, and removes its signature."""
    if function == "receive":
        return {}
    return {
        "HOOKCHAIN_PUSH_ACCOUNT": names.account_email(deployment.target, "push"),
        "HOOKCHAIN_PUSH_AUDIENCE": deployment.url(function),
        "HOOKCHAIN_INVOKER_CHECK": CLOUD_RUN,
    }


def _before(deployment: Deployment, function: str, others: Sequence[Resource]) -> tuple[str, ...]:
    """Return what must exist before a function: its permissions, its data, and the subscriptions to its messages."""
    target = deployment.target
    members = (account_member(target, function), account_member(target, "build"))
    grants = [each for each in others if each.kind == GRANT and any(f"to {member}" in each.name for member in members)]
    subscriptions = [each for each in others if each.kind == topics.SUBSCRIPTION]
    stores_of = (stores.database_key(target), stores.bucket_key(target), stores.image_repository(target).key)
    values = tuple(value_key(target, name) for name in deployment.secrets[function])
    return (account_key(target, function), *stores_of, *values, *keys(grants), *keys(subscriptions))


def _callable(target: Target, function: str, granted: Sequence[Resource]) -> tuple[str, ...]:
    """Return the keys of the service and of the account push's permission to call it."""
    service = service_key(target, function)
    return (service, *keys([each for each in granted if service in each.needs]))


def _subscriptions(deployment: Deployment) -> tuple[Resource, ...]:
    """Return the subscriptions. They exist before the services, whose URLs are known, so that no message is lost."""
    target, size = deployment.target, _sizes(deployment)

    def push_subscription(name: str, topic: str, function: str, path: str, why: str) -> Resource:
        url, ack_seconds = deployment.url(function), topics.ack_deadline(size[function].timeout_seconds)
        return topics.push_subscription(target, name, topic, Push(url, path, ack_seconds), why)

    return (
        push_subscription(names.TRANSFORM_SUBSCRIPTION, EVENTS, "transform", "/", "hands events to transform"),
        push_subscription(names.NOTIFY_SUBSCRIPTION, DELIVERIES, "notify", "/", "hands deliveries to notify"),
        push_subscription(
            names.DEAD_LETTERS_SUBSCRIPTION, DEAD_LETTERS, "notify", "/dead-letters", "has notify keep dead letters"
        ),
        topics.holding_subscription(target),
    )


def _entries(part: Json) -> list[JsonObject]:
    """Return the entries of a mapping in a slice."""
    assert isinstance(part, dict)
    return [each for each in part.values() if isinstance(each, dict)]


def _sizes(deployment: Deployment) -> Mapping[str, Size]:
    sources = _entries(deployment.slices["receive"]["sources"])
    largest = max((_number(each["max_body_bytes"]) for each in sources), default=0.0)
    found = {name: slice_.get("google_cloud") for name, slice_ in deployment.slices.items()}
    configured = {name: each for name, each in found.items() if isinstance(each, dict)}
    return sizes(_longest_attempt(deployment.slices["notify"]), int(largest), configured)


def _longest_attempt(notify: JsonObject) -> float:
    return max((_number(each["timeout_seconds"]) for each in _entries(notify["destinations"])), default=0.0)


def _number(value: Json) -> float:
    assert isinstance(value, int | float)
    return float(value)
