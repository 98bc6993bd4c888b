"""The graph of all resources that a configuration needs on Google Cloud, each with the resources that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path

from deploy.cloud_access import gcp_names
from deploy.gcp.iam_bindings import account_member, is_pubsub_agent, permissions
from deploy.gcp.resource import Resource, keys
from deploy.gcp.resources import project, stores, topics
from deploy.gcp.resources.monitoring import monitoring
from deploy.gcp.resources.services import Bundle, job, service, service_key, service_url
from deploy.topology.buses import brings_on_google
from deploy.topology.functions import consumers, subscription_name
from deploy.topology.topology import NeededFunction, Topology, find_topology
from shared import jsontext, ports, settings


@dataclass(frozen=True, slots=True)
class Deployment:
    """The input of a graph.

    project_number  may be a placeholder, if no command is run
    slices          the compiled configuration of each function
    bundles         by function
    environ         the variables of which the functions get some
    folder          for files that commands read
    """

    target: gcp_names.Target
    project_number: str
    slices: Mapping[str, jsontext.JsonObject]
    bundles: Mapping[str, Bundle]
    environ: Mapping[str, str]
    folder: Path

    @property
    def topology(self) -> Topology:
        return find_topology(self.slices, self.environ)

    def url(self, function: str) -> str:
        """Return the URL of the function's service, which may not exist yet."""
        return service_url(self.target, function, self.project_number)


def graph(deployment: Deployment) -> tuple[Resource, ...]:
    """Return the resources in an order in which they can be created, which is always the same."""
    target, topology = deployment.target, deployment.topology
    agent, granted = project.pubsub_service_agent(), _granted(deployment, topology)
    functions = [each.function for each in topology.functions]
    subscriptions = _subscriptions(deployment, topology)
    services = _services(deployment, topology, [*granted, *subscriptions])
    return in_order(
        [
            *project.apis(topology, deployment.slices["notify"]),
            agent,
            *project.service_accounts(
                target, functions, (topics.topic_key(target, ports.DEAD_LETTERS),), has_tap=topology.has_tap
            ),
            *(topics.topic(target, each) for each in topology.topics),
            *stores.database(target, topology.stores),
            *((topics.topic(target, topics.TAP_TOPIC), stores.tap_database(target)) if topology.has_tap else ()),
            stores.bucket(target, topology.blobs_days, deployment.folder),
            stores.image_repository(target),
            stores.sources_bucket(target, {each.key: each.name for each in services}, deployment.folder),
            *(
                each
                for name in sorted(topology.readers)
                for each in stores.secret(target, name, topology.readers[name])
            ),
            *granted,
            *subscriptions,
            *services,
            *(
                job(target, schedule, deployment.url(each.name), _callable(target, each.name, granted))
                for each in functions
                for schedule in each.schedules
            ),
            *monitoring(target, topology, deployment.folder, keys(services)),
        ]
    )


def _granted(deployment: Deployment, topology: Topology) -> tuple[Resource, ...]:
    """Return the IAM bindings. One for Pub/Sub's service agent needs that agent to exist."""
    number, agent = deployment.project_number, project.pubsub_service_agent()
    grants = permissions(deployment.target, number, topology.functions, has_tap=topology.has_tap)
    return tuple(
        replace(each, needs=(*each.needs, agent.key)) if each.grant and is_pubsub_agent(each.grant.member) else each
        for each in grants
    )


def in_order(resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """Sort the resources by their needs. Raises KeyError for a need without a resource."""
    by_key = {resource.key: resource for resource in resources}
    sorter = TopologicalSorter({each.key: (*each.needs, *each.update_needs) for each in resources})
    return tuple(by_key[key] for key in sorter.static_order())


def _services(deployment: Deployment, topology: Topology, before: Sequence[Resource]) -> list[Resource]:
    """Return the services. `before` are the permissions and subscriptions, some of which each service needs.

    A function is updated after those that get its messages. At the first deployment, messages wait until the functions
    exist. Later the old transform would process them: it has no route for a new source, and the old notify has no entry
    for a new destination.
    """
    target, functions = deployment.target, [each.function for each in topology.functions]
    return [
        replace(
            service(
                target,
                needed,
                deployment.bundles[needed.name],
                variables={**_push_variables(deployment, needed), **needed.variables},
                needs=_before(deployment, needed, before),
            ),
            update_needs=tuple(service_key(target, each.name) for each in consumers(needed.function, functions)),
        )
        for needed in topology.functions
    ]


def _push_variables(deployment: Deployment, needed: NeededFunction) -> Mapping[str, str]:
    """Return the account and the audience of pushes. Of a private function Cloud Run verifies each token, and removes
    its signature; one that is public verifies the signature itself."""
    is_public = needed.function.is_public
    if is_public and not needed.sources:
        return {}
    return {
        "HOOKCHAIN_PUSH_ACCOUNT": gcp_names.account_email(deployment.target, "push"),
        "HOOKCHAIN_PUSH_AUDIENCE": deployment.url(needed.name),
        **({} if is_public else {"HOOKCHAIN_INVOKER_CHECK": settings.CLOUD_RUN}),
    }


def _before(deployment: Deployment, needed: NeededFunction, others: Sequence[Resource]) -> tuple[str, ...]:
    """Return what must exist before a function: its permissions, its data, and all subscriptions."""
    target = deployment.target
    members = (account_member(target, needed.name), account_member(target, "build"))
    grants = [each for each in others if each.grant and each.grant.member in members]
    subscriptions = [each for each in others if each.kind == topics.SUBSCRIPTION]
    stores_of = (stores.database_key(target), stores.bucket_key(target), stores.image_repository(target).key)
    values = tuple(stores.value_key(target, name) for name in needed.secrets)
    return (project.account_key(target, needed.name), *stores_of, *values, *keys(grants), *keys(subscriptions))


def _callable(target: gcp_names.Target, function: str, granted: Sequence[Resource]) -> tuple[str, ...]:
    """Return the keys of the service and of the account push's permission to call it."""
    service = service_key(target, function)
    return (service, *keys([each for each in granted if service in each.needs]))


def _subscriptions(deployment: Deployment, topology: Topology) -> tuple[Resource, ...]:
    """Return the subscriptions. They exist before the services, whose URLs are known, so that no message is lost."""
    pushed = [
        topics.push_subscription(
            deployment.target,
            subscription_name(needed.function, each),
            topology.topic(each.topic),
            topics.Push(deployment.url(needed.name), each.path, topics.ack_deadline(needed.timeout_seconds)),
            each.why,
        )
        for needed in topology.functions
        for each in needed.function.subscriptions
    ]
    held = [topics.holding_subscription(deployment.target, each) for each in topology.topics if each.held_days]
    brought = [
        each
        for needed in topology.functions
        for source in needed.sources
        if brings_on_google(source)
        for each in topics.bus_source(source, deployment.target, deployment.url(needed.name), needed.timeout_seconds)
    ]
    return (*pushed, *held, *brought)
