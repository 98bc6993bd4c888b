"""The three functions on Cloud Run, and the job that calls the sweep."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.gcp.resource import Resource, digest_of, key_of, label_text, one
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target
from shared.jsontext import Json, JsonObject

SERVICE: Final = "service"
BASE_IMAGE: Final = "python313"
NOTIFY_MARGIN_SECONDS: Final = 30
"""The time for claiming, recording and the mails of a list, besides the attempt itself."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of an instance, and the number of instances, which also limits the cost of a flood of requests."""

    timeout_seconds: int
    concurrency: int
    max_instances: int
    memory: str = "512Mi"
    min_instances: int = 0
    ingress: str = ""
    network: tuple[str, ...] = ()


MEMORY_BYTES: Final = {"512Mi": 2**29, "1Gi": 2**30, "2Gi": 2**31, "4Gi": 2**32}
BODIES_SHARE: Final = 4
"""The bodies of the requests that an instance has at once may take a fourth of its memory."""
INGRESS: Final = {"receive": "all", "transform": "internal", "notify": "internal"}
MAX_INSTANCES: Final = 20
PARSED: Final = 3
"""The memory of a body in transform and notify as a multiple of its size: they hold it parsed and as text."""


def sizes(
    longest_attempt_seconds: float, largest_body_bytes: int, configured: Mapping[str, JsonObject]
) -> Mapping[str, Size]:
    """Return the size of each function. `configured` is `google_cloud` of each function's slice.

    receive needs 10 s for the body and 4 s for the bus. In transform, a step may call another system. In notify, the
    slowest destination decides.
    """
    notify_seconds = max(60, math.ceil(longest_attempt_seconds) + NOTIFY_MARGIN_SECONDS)
    usual = {
        "receive": (30, 80, largest_body_bytes),
        "transform": (60, 40, largest_body_bytes * PARSED),
        "notify": (notify_seconds, 40, largest_body_bytes * PARSED),
    }
    return {name: _size(name, *each, configured.get(name, {})) for name, each in usual.items()}


def _size(function: str, timeout_seconds: int, most_at_once: int, bytes_each: int, configured: JsonObject) -> Size:
    memory, vpc = str(configured.get("memory", "512Mi")), configured.get("vpc")
    return Size(
        timeout_seconds,
        _whole(configured.get("concurrency"), _concurrency(most_at_once, bytes_each, MEMORY_BYTES[memory])),
        _whole(configured.get("max_instances"), max(MAX_INSTANCES, _whole(configured.get("min_instances"), 0))),
        memory,
        _whole(configured.get("min_instances"), 0),
        str(configured.get("ingress", INGRESS[function])),
        _network_flags(vpc) if isinstance(vpc, dict) else (),
    )


def _concurrency(most: int, bytes_each: int, memory_bytes: int) -> int:
    """Return the concurrency. An instance without memory is killed, with all of its requests."""
    return max(1, min(most, memory_bytes // BODIES_SHARE // max(1, bytes_each)))


def _whole(value: Json, default: int) -> int:
    return value if isinstance(value, int) else default


def _network_flags(vpc: JsonObject) -> tuple[str, ...]:
    named = [f"--{name}={vpc[name]}" for name in ("network", "subnet") if vpc.get(name)]
    return (*named, f"--vpc-egress={vpc.get('egress', 'private-ranges-only')}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A function's bundle: its folder, and a digest of all its files."""

    folder: Path
    digest: str


def service_key(target: Target, function: str) -> str:
    return key_of(SERVICE, names.service(target, function))


def service_url(target: Target, function: str, project_number: str) -> str:
    """Return the URL that is known before the service exists. Cloud Run has two for each service."""
    return f"https://{names.service(target, function)}-{project_number}.{target.region}.run.app"


def service(
    target: Target,
    function: str,
    bundle: Bundle,
    size: Size,
    mounted: Sequence[str],
    variables: Mapping[str, str],
    needs: tuple[str, ...],
) -> Resource:
    """Return a service. `mounted` are the names of secrets that become files; `variables` extend its environment."""
    region = f"--region={target.region}"
    settings = (
        f"--function={function}",
        f"--base-image={BASE_IMAGE}",
        region,
        f"--service-account={names.account_email(target, function)}",
        f"--build-service-account=projects/{target.project}/serviceAccounts/{names.account_email(target, 'build')}",
        *_who_may_call(function, size.ingress),
        f"--timeout={size.timeout_seconds}",
        f"--concurrency={size.concurrency}",
        f"--min-instances={size.min_instances}",
        f"--max-instances={size.max_instances}",
        "--cpu=1",
        f"--memory={size.memory}",
        "--cpu-boost",
        f"--set-env-vars={joined({**names.environment(target, function), **variables})}",
        _secrets(target, mounted),
        *size.network,
    )
    digest = digest_of(bundle.digest, settings)
    deploy = one(
        "run",
        "deploy",
        names.service(target, function),
        f"--source={bundle.folder}",
        *settings,
        f"--labels={label_text(target, digest)}",
    )
    # After a rollback, the older revision has the traffic, and a new one would get none.
    latest = one("run", "services", "update-traffic", names.service(target, function), "--to-latest", region)
    why = "receives webhooks" if function == "receive" else "private: called by Pub/Sub as the account push"
    return Resource(SERVICE, names.service(target, function), why, deploy, (*deploy, *latest), digest, needs)


def _who_may_call(function: str, ingress: str) -> tuple[str, ...]:
    """Return the access flags. receive checks its senders itself. Pub/Sub and Cloud Scheduler count as internal."""
    if function == "receive":
        return ("--no-invoker-iam-check", f"--ingress={ingress}")
    return ("--invoker-iam-check", "--no-allow-unauthenticated", f"--ingress={ingress}")


def _secrets(target: Target, mounted: Sequence[str]) -> str:
    """Mount each secret in a folder of its own, because the mount hides other files; `latest` needs no new revision."""
    if not mounted:
        return "--clear-secrets"
    return "--set-secrets=" + ",".join(
        f"/secrets/{name}/value={names.secret_id(target, name)}:latest" for name in mounted
    )


def joined(values: Mapping[str, str]) -> str:
    """Return a dictionary as gcloud expects it, with another separator if needed (`gcloud topic escaping`)."""
    pairs = [f"{name}={value}" for name, value in values.items()]
    if not any("," in pair for pair in pairs):
        return ",".join(pairs)
    separator = next(mark for mark in ("@@", "##", "%%", "~~") if not any(mark in pair for pair in pairs))
    return f"^{separator}^{separator.join(pairs)}"


JOB: Final = "job"
DESCRIPTION: Final = "Hookchain: publishes the deliveries whose time has come. Plan "


def sweep(target: Target, notify_url: str, needs: tuple[str, ...]) -> Resource:
    """Return the job. Jobs have no labels, so the last word of its description is the digest."""
    name = names.sweep_job(target)
    settings = (
        f"--location={target.region}",
        "--schedule=* * * * *",
        f"--uri={notify_url}/sweep",
        "--http-method=POST",
        f"--oidc-service-account-email={names.account_email(target, 'push')}",
        f"--oidc-token-audience={notify_url}",
        "--attempt-deadline=60s",
    )
    digest = digest_of(settings)
    create = one("scheduler", "jobs", "create", "http", name, *settings, f"--description={DESCRIPTION}{digest}")
    # An update would leave a paused job paused.
    update = (*one("scheduler", "jobs", "delete", name, f"--location={target.region}"), *create)
    return Resource(
        JOB,
        name,
        "retries whose time has come, each minute",
        create,
        update,
        digest,
        needs=(key_of(API, "cloudscheduler.googleapis.com"), *needs),
    )
