"""IAM bindings: each gives one role on one resource to one account, and only what its function needs.

A role is on the whole project only if no smaller resource can be named.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.gcp.resource import GRANT, Command, Grant, Resource, key_of
from deploy.gcp.resources.project import API, DEVELOPER, account_key, accounts
from deploy.topology.buses import brings_on_google
from deploy.topology.functions import SENT_BACK, BlobUse, Function, subscription_name
from deploy.topology.places import Place, TablePlace
from deploy.topology.topology import TOPICS, NeededFunction
from functions.notify.destinations.bus import GoogleTopic
from shared.ports import DEAD_LETTERS, TAP
from shared.tap import BLOB_PREFIX

PROJECT: Final = "project"
CONDITION_TITLE: Final = "hookchain"
"""The title of each condition of ours, which tells our bindings from those of others."""

_GROUPS: Final = {
    PROJECT: ("projects",),
    "account": ("iam", "service-accounts"),
    "topic": ("pubsub", "topics"),
    "subscription": ("pubsub", "subscriptions"),
    "bucket": ("storage", "buckets"),
    "service": ("run", "services"),
    "secret": ("secrets",),
}
"""By the kind of a resource: the group of gcloud's commands for it."""
_TAKES_CONDITION: Final = {PROJECT, "account", "service", "secret"}
"""The kinds for which gcloud has the flag --condition."""


def account_member(target: gcp_names.Target, account: str) -> str:
    return f"serviceAccount:{gcp_names.account_email(target, account)}"


def pubsub_agent(project_number: str) -> str:
    """Return Pub/Sub's own account, which forwards dead letters and creates the tokens of its pushes."""
    return f"serviceAccount:service-{project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"


def is_pubsub_agent(member: str) -> bool:
    """Return whether the member is the Pub/Sub service agent of a project."""
    return member.endswith("@gcp-sa-pubsub.iam.gserviceaccount.com")


def granted(grant: Grant, target: gcp_names.Target, why: str, needs: tuple[str, ...]) -> Resource:
    """Return the binding as a resource, which exists or not: no update changes it."""
    return Resource(GRANT, grant.text, why, (add_binding(grant, target),), needs=needs, grant=grant)


def add_binding(grant: Grant, target: gcp_names.Target) -> Command:
    return Command((*_on(grant.on, grant.name, "add-iam-policy-binding", target), *_principals(grant)))


def remove_binding(grant: Grant, target: gcp_names.Target) -> Command:
    return Command((*_on(grant.on, grant.name, "remove-iam-policy-binding", target), *_principals(grant)))


def reading(kind: str, name: str, target: gcp_names.Target) -> tuple[str, ...]:
    """Return the arguments of gcloud that read the resource's policy."""
    return _on(kind, name, "get-iam-policy", target)


def _on(kind: str, name: str, verb: str, target: gcp_names.Target) -> tuple[str, ...]:
    """Return the arguments of gcloud for the verb on the resource."""
    region = (f"--region={target.region}",) if kind == "service" else ()
    return (*_GROUPS[kind], verb, gcloud_name(kind, name, target), *region)


def gcloud_name(kind: str, name: str, target: gcp_names.Target) -> str:
    """Return the resource's name as gcloud expects it."""
    if kind == "bucket":
        return f"gs://{name}"
    return f"{name}@{target.project}.iam.gserviceaccount.com" if kind == "account" else name


def _principals(grant: Grant) -> tuple[str, ...]:
    """Return the flags that name the member, the role and the condition."""
    condition: tuple[str, ...] = ()
    if grant.condition:
        condition = (f"--condition=title={CONDITION_TITLE},expression={grant.condition}",)
    elif grant.on in _TAKES_CONDITION:
        condition = ("--condition=None",)  # Otherwise gcloud asks for a condition if the policy has any.
    return (f"--member={grant.member}", f"--role={grant.role}", *condition)


# The bindings of a deployment


INVOKER: Final = "roles/run.invoker"
PUBLISHER: Final = "roles/pubsub.publisher"
SUBSCRIBER: Final = "roles/pubsub.subscriber"
SECRET_READER: Final = "roles/secretmanager.secretAccessor"  # noqa: S105 a role's name
DATABASE_USER: Final = "roles/datastore.user"
CLOUD_SQL_CLIENT: Final = "roles/cloudsql.client"
TABLE_WRITER: Final = "roles/bigquery.dataEditor"
DATASET_VIEWER: Final = "roles/bigquery.metadataViewer"
BUILDER: Final = "roles/run.builder"
TOKEN_MAKER: Final = "roles/iam.serviceAccountOpenIdTokenCreator"  # noqa: S105 a role's name
SPAN_ROLES: Final = ("roles/telemetry.tracesWriter", "roles/serviceusage.serviceUsageConsumer")
"""The second, because requests name the project that pays for them."""
BLOB_ROLES: Final[Mapping[BlobUse, str]] = {
    "create": "roles/storage.objectCreator",  # it creates objects, and cannot list, read or delete them
    "read": "roles/storage.objectViewer",
    "use": "roles/storage.objectUser",
}


def permissions(
    target: gcp_names.Target, project_number: str, functions: Sequence[NeededFunction], *, has_tap: bool = False
) -> tuple[Resource, ...]:
    """Return all bindings of a deployment, in an order in which they can be made one after another."""
    wanted = [
        *_account_bindings(target, [each.function for each in functions]),
        *_secret_bindings(target, functions),
        *_database_bindings(target, functions),
        *_place_bindings(target, functions),
        *_span_bindings(target, functions),
        *_pubsub_bindings(target, functions, pubsub_agent(project_number)),
        *(_tap_bindings(target) if has_tap else ()),
    ]
    others = [*_other_topics(target, functions)]
    wanted_accounts = accounts([each.function for each in functions], has_tap=has_tap)
    accounts_of = {account_member(target, name): name for name in wanted_accounts}
    last: dict[tuple[str, str], str] = {}  # by kind and name of a resource: the key of the binding that was made last
    made: list[Resource] = []
    for grant, why in wanted:
        # Bindings on the same resource are applied one by one: each command reads the whole policy and writes it back.
        before = (last[grant.on, grant.name],) if (grant.on, grant.name) in last else ()
        made.append(granted(grant, target, why, (*_needs(grant, target, accounts_of), *before)))
        last[grant.on, grant.name] = grant.key
    for grant, why in others:  # on what is not the deployment's own to make
        made.append(granted(grant, target, why, (account_key(target, accounts_of[grant.member]),)))
    return tuple(made)


def _needs(grant: Grant, target: gcp_names.Target, accounts_of: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of the resource and of the account. Pub/Sub's own account comes with the API.

    `accounts_of` are our accounts by member.
    """
    own = accounts_of.get(grant.member)
    account = account_key(target, own) if own else key_of(API, "pubsub.googleapis.com")
    return (account,) if grant.on == PROJECT else (key_of(grant.on, grant.name), account)


def _account_bindings(target: gcp_names.Target, functions: Sequence[Function]) -> Iterator[tuple[Grant, str]]:
    """Yield the bindings that the functions have in every configuration, each with its reason, as those below do."""
    own_database = f'resource.name == "projects/{target.project}/databases/{gcp_names.database(target)}"'
    yield Grant(PROJECT, target.project, BUILDER, account_member(target, "build")), "builds the functions"
    for function in functions:
        name, member = function.name, account_member(target, function.name)
        if function.stores:
            own = Grant(PROJECT, target.project, DATABASE_USER, member, own_database)
            yield own, f"{name} reads and writes {', '.join(function.stores)}, in this database only"
        if not function.is_public:
            called = Grant("service", target.name_of(name), INVOKER, account_member(target, "push"))
            yield called, f"calls {name}, and nobody else may"
    for function in functions:
        name, member = function.name, account_member(target, function.name)
        for topic in function.topics:
            why = f"{name} publishes {SENT_BACK[topic] if topic in function.sends_back else topic}"
            yield Grant("topic", target.name_of(topic), PUBLISHER, member), why
        use = "reads" if function.blobs == "read" else "keeps"
        on_bucket = Grant("bucket", gcp_names.bucket(target), BLOB_ROLES[function.blobs], member)
        yield on_bucket, f"{name} {use} large bodies there"


def _secret_bindings(target: gcp_names.Target, functions: Sequence[NeededFunction]) -> Iterator[tuple[Grant, str]]:
    for function in functions:
        member = account_member(target, function.name)
        for name in function.secrets:
            yield Grant("secret", target.name_of(name), SECRET_READER, member), f"{function.name} reads it"


def _database_bindings(target: gcp_names.Target, functions: Sequence[NeededFunction]) -> Iterator[tuple[Grant, str]]:
    """Yield the right to connect to each instance of Cloud SQL in this project. Its users' own rights are in it."""
    for function in functions:
        for project, _, instance in (each.rsplit(":", 2) for each in function.cloud_sql):
            if project == target.project:
                only = f'resource.name == "projects/{project}/instances/{instance}"'
                member = account_member(target, function.name)
                grant = Grant(PROJECT, project, CLOUD_SQL_CLIENT, member, only)
                yield grant, f"{function.name} connects to this database only"


def _place_bindings(target: gcp_names.Target, functions: Sequence[NeededFunction]) -> Iterator[tuple[Grant, str]]:
    """Yield the rights on tables and buckets that destinations write to. They are on the project, so that they reach
    nothing of another project, and conditions limit them to these tables and objects."""
    for function in functions:
        member, does = account_member(target, function.name), f"{function.name} writes there for a destination"
        for place in function.places:
            for role, condition in _roles_on(place, target):
                yield Grant(PROJECT, target.project, role, member, condition), does


def _roles_on(place: Place, target: gcp_names.Target) -> Iterator[tuple[str, str]]:
    """Yield the roles with their conditions; none for a place that is not Google's, or of another project."""
    if isinstance(place, TablePlace):
        if place.project == target.project:
            path = f"projects/{place.project}/datasets/{place.dataset}"
            dataset, table = f'resource.name == "{path}"', f'resource.name == "{path}/tables/{place.table}"'
            yield TABLE_WRITER, f"{table} || {dataset}" if place.creates else table
            if not place.creates:
                yield DATASET_VIEWER, dataset
    elif not place.is_s3:
        objects = f'resource.name.startsWith("projects/_/buckets/{place.bucket}/objects/{place.prefix}")'
        yield BLOB_ROLES["create"], objects
        if place.reads:
            yield BLOB_ROLES["read"], objects


def _tap_bindings(target: gcp_names.Target) -> Iterator[tuple[Grant, str]]:
    """Yield the rights of transform and of developers. A developer's subscription is created with rights of their own,
    in any project: the right to create one would be on all subscriptions of this project."""
    transform, developer = account_member(target, "transform"), account_member(target, DEVELOPER)
    topic = target.name_of(TAP)
    leases = f'resource.name == "projects/{target.project}/databases/{gcp_names.tap_database(target)}"'
    copies = f'resource.name.startsWith("projects/_/buckets/{gcp_names.bucket(target)}/objects/{BLOB_PREFIX}")'
    yield Grant("topic", topic, PUBLISHER, transform), "transform publishes copies for developers"
    yield Grant("topic", topic, SUBSCRIBER, developer), "developers subscribe to copies"
    yield Grant(PROJECT, target.project, DATABASE_USER, transform, leases), "transform reads leases"
    yield Grant(PROJECT, target.project, DATABASE_USER, developer, leases), "developers write leases"
    yield Grant(PROJECT, target.project, BLOB_ROLES["read"], developer, copies), "developers read large copies"


def _span_bindings(target: gcp_names.Target, functions: Sequence[NeededFunction]) -> Iterator[tuple[Grant, str]]:
    for function in functions:
        if function.spans_to == "google_cloud":
            member = account_member(target, function.name)
            for role in SPAN_ROLES:
                yield Grant(PROJECT, target.project, role, member), f"{function.name} sends its spans to Cloud Trace"


def _other_topics(target: gcp_names.Target, functions: Sequence[NeededFunction]) -> Iterator[tuple[Grant, str]]:
    """Yield the bindings on topics of the project that are not the deployment's. Another project's are its owner's."""
    for function in functions:
        for bus in function.buses:
            if isinstance(bus, GoogleTopic) and bus.project == target.project:
                grant = Grant("topic", bus.path.rpartition("/")[2], PUBLISHER, account_member(target, function.name))
                yield grant, f"{function.name} publishes there for a destination"


def _pubsub_bindings(
    target: gcp_names.Target, functions: Sequence[NeededFunction], agent: str
) -> Iterator[tuple[Grant, str]]:
    why = "Pub/Sub gives up on what was pushed too often"
    yield Grant("topic", target.name_of(DEAD_LETTERS), PUBLISHER, agent), why
    giving_up = {topic.name for topic in TOPICS if topic.gives_up}
    for needed in functions:
        for each in needed.function.subscriptions:
            if each.topic in giving_up:
                name = target.name_of(subscription_name(needed.function, each))
                yield Grant("subscription", name, SUBSCRIBER, agent), why
        for source in needed.sources:
            if brings_on_google(source):
                yield Grant("subscription", target.name_of(source.resource_name), SUBSCRIBER, agent), why
    yield (
        Grant("account", target.name_of("push"), TOKEN_MAKER, agent),
        "Pub/Sub makes the tokens of its pushes",
    )
