"""What each account may do, which is what its function does and no more."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from deploy.config.compiler import FUNCTIONS
from deploy.gcp.resource import Resource, key_of
from deploy.gcp.resources.access import PROJECT, Grant, account_member, granted, pubsub_agent
from deploy.gcp.resources.accounts import ACCOUNTS, account_key
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target

INVOKER: Final = "roles/run.invoker"
PUBLISHER: Final = "roles/pubsub.publisher"
SUBSCRIBER: Final = "roles/pubsub.subscriber"
SECRET_READER: Final = "roles/secretmanager.secretAccessor"  # noqa: S105 a role's name
DATABASE_USER: Final = "roles/datastore.user"
BUILDER: Final = "roles/run.builder"
TOKEN_MAKER: Final = "roles/iam.serviceAccountOpenIdTokenCreator"  # noqa: S105 a role's name
BLOB_ROLES: Final = {
    "receive": "roles/storage.objectCreator",  # it creates objects, and cannot list, read or delete them
    "transform": "roles/storage.objectUser",
    "notify": "roles/storage.objectUser",
}
PUBLISHES: Final = {
    "receive": ("events",),
    "transform": ("deliveries", "dead-letters"),
    "notify": ("deliveries", "dead-letters"),  # the sweep publishes deliveries again
}


def permissions(target: Target, project_number: str, secrets: Mapping[str, Sequence[str]]) -> tuple[Resource, ...]:
    """`secrets` are names by function."""
    wanted = [
        *_of_accounts(target),
        *_of_secrets(target, secrets),
        *_of_pubsub(target, pubsub_agent(project_number)),
    ]
    last: dict[tuple[str, str], str] = {}
    made: list[Resource] = []
    for grant, why in wanted:
        # One after the other on the same thing: each reads its whole policy and writes it back.
        before = (last[grant.on, grant.name],) if (grant.on, grant.name) in last else ()
        made.append(granted(grant, target, why, (*needs_of(grant, target), *before)))
        last[grant.on, grant.name] = grant.key
    return tuple(made)


def needs_of(grant: Grant, target: Target) -> tuple[str, ...]:
    """The thing itself, and whom it is given to where that is an account of ours."""
    own = {account_member(target, account): account_key(target, account) for account in ACCOUNTS}
    whom = own.get(grant.member, key_of(API, "pubsub.googleapis.com"))
    return (whom,) if grant.on == PROJECT else (key_of(grant.on, grant.name), whom)


def _of_accounts(target: Target) -> Iterator[tuple[Grant, str]]:
    own_database = f'resource.name == "projects/{target.project}/databases/{names.database(target)}"'
    yield Grant(PROJECT, target.project, BUILDER, account_member(target, "build")), "builds the functions"
    for function in ("transform", "notify"):
        member = account_member(target, function)
        own = Grant(PROJECT, target.project, DATABASE_USER, member, own_database)
        yield own, f"{function} keeps the ledger and the journal, in this database only"
        service = names.service(target, function)
        yield (
            Grant("service", service, INVOKER, account_member(target, "push")),
            f"calls {function}, and nobody else may",
        )
    for function in FUNCTIONS:
        member = account_member(target, function)
        for topic in PUBLISHES[function]:
            yield Grant("topic", names.topic(target, topic), PUBLISHER, member), f"{function} publishes {topic}"
        role = BLOB_ROLES[function]
        yield Grant("bucket", names.bucket(target), role, member), f"{function} keeps large bodies there"


def _of_secrets(target: Target, secrets: Mapping[str, Sequence[str]]) -> Iterator[tuple[Grant, str]]:
    for function in FUNCTIONS:
        member = account_member(target, function)
        for name in secrets[function]:
            yield Grant("secret", names.secret_id(target, name), SECRET_READER, member), f"{function} reads it"


def _of_pubsub(target: Target, agent: str) -> Iterator[tuple[Grant, str]]:
    why = "Pub/Sub gives up on what was pushed too often"
    yield Grant("topic", names.topic(target, "dead-letters"), PUBLISHER, agent), why
    for name in (names.TRANSFORM_SUBSCRIPTION, names.NOTIFY_SUBSCRIPTION):
        yield Grant("subscription", names.subscription(target, name), SUBSCRIBER, agent), why
    yield Grant("account", names.account(target, "push"), TOKEN_MAKER, agent), "Pub/Sub makes the tokens of its pushes"
