"""Who may do what to which thing: one role for one account on one resource, on the whole project only where no smaller
thing can be named."""

from dataclasses import dataclass
from typing import Final

from deploy.gcp.resource import Command, Resource, key_of
from deploy.google import names
from deploy.google.target import Target

GRANT: Final = "grant"
PROJECT: Final = "project"
CONDITION_TITLE: Final = "hookchain"

_GROUPS: Final = {
    PROJECT: ("projects",),
    "account": ("iam", "service-accounts"),
    "topic": ("pubsub", "topics"),
    "subscription": ("pubsub", "subscriptions"),
    "bucket": ("storage", "buckets"),
    "service": ("run", "services"),
    "secret": ("secrets",),
}
_TAKES_CONDITION: Final = {PROJECT, "account", "service", "secret"}


@dataclass(frozen=True, slots=True)
class Grant:
    """`on` is the kind of the thing and `name` its name; `member` as IAM writes it. `condition` is an expression."""

    on: str
    name: str
    role: str
    member: str
    condition: str = ""

    @property
    def text(self) -> str:
        whom = f"{self.role} on {self.on} {self.name} to {self.member}"
        return f"{whom} if {self.condition}" if self.condition else whom

    @property
    def key(self) -> str:
        return key_of(GRANT, self.text)


def account_member(target: Target, account: str) -> str:
    return f"serviceAccount:{names.account_email(target, account)}"


def pubsub_agent(project_number: str) -> str:
    """Pub/Sub itself: it forwards what was pushed too often, and makes the tokens of its pushes."""
    return f"serviceAccount:service-{project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"


def is_pubsub_agent(member: str) -> bool:
    """Whether it is the Pub/Sub service agent of a project."""
    return member.endswith("@gcp-sa-pubsub.iam.gserviceaccount.com")


def granted(grant: Grant, target: Target, why: str, needs: tuple[str, ...]) -> Resource:
    return Resource(GRANT, grant.text, why, (adding(grant, target),), needs=needs)


def adding(grant: Grant, target: Target) -> Command:
    return Command((*_on(grant.on, grant.name, "add-iam-policy-binding", target), *_whom(grant)))


def removing(grant: Grant, target: Target) -> Command:
    return Command((*_on(grant.on, grant.name, "remove-iam-policy-binding", target), *_whom(grant)))


def reading(kind: str, name: str, target: Target) -> tuple[str, ...]:
    """The arguments that ask for the thing's policy."""
    return _on(kind, name, "get-iam-policy", target)


def _on(kind: str, name: str, verb: str, target: Target) -> tuple[str, ...]:
    region = (f"--region={target.region}",) if kind == "service" else ()
    return (*_GROUPS[kind], verb, addressed(kind, name, target), *region)


def addressed(kind: str, name: str, target: Target) -> str:
    """As gcloud wants the thing named."""
    if kind == "bucket":
        return f"gs://{name}"
    return f"{name}@{target.project}.iam.gserviceaccount.com" if kind == "account" else name


def _whom(grant: Grant) -> tuple[str, ...]:
    condition: tuple[str, ...] = ()
    if grant.condition:
        condition = (f"--condition=title={CONDITION_TITLE},expression={grant.condition}",)
    elif grant.on in _TAKES_CONDITION:
        condition = ("--condition=None",)  # else gcloud asks which, where the policy has any condition
    return (f"--member={grant.member}", f"--role={grant.role}", *condition)
