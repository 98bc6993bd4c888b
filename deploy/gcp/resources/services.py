"""The functions on Cloud Run, and the jobs that call them by schedule."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.gcp.resource import Resource, digest_of, gcloud, key_of, label_text
from deploy.gcp.resources.project import API
from deploy.topology import topology
from deploy.topology.functions import Schedule
from shared.jsontext import Json, JsonObject

SERVICE: Final = "service"
BASE_IMAGE: Final = "python313"
MEMORY_MIB: Final = {"512Mi": 512, "1Gi": 1024, "2Gi": 2048, "4Gi": 4096}


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


def service_key(target: gcp_names.Target, function: str) -> str:
    return key_of(SERVICE, target.name_of(function))


def service_url(target: gcp_names.Target, function: str, project_number: str) -> str:
    """Return the URL that is known before the service exists. Cloud Run has two for each service."""
    return f"https://{target.name_of(function)}-{project_number}.{target.region}.run.app"


def service(
    target: gcp_names.Target,
    needed: topology.NeededFunction,
    bundle: Bundle,
    variables: Mapping[str, str],
    needs: tuple[str, ...],
) -> Resource:
    """Return a service. `variables` extend its environment."""
    name, region = needed.name, f"--region={target.region}"
    configured = needed.settings.get("google_cloud", {})
    memory, vpc = str(configured.get("memory", f"{topology.MEMORY_MIB}Mi")), configured.get("vpc")
    concurrency = _whole(configured.get("concurrency"), needed.concurrency(MEMORY_MIB[memory]))
    least = _whole(configured.get("min_instances"), 0)
    # This also limits the cost of a flood of requests.
    most = _whole(configured.get("max_instances"), max(topology.MAX_INSTANCES, least))
    # Pub/Sub and Cloud Scheduler count as internal.
    ingress = configured.get("ingress", "all" if needed.function.is_public else "internal")
    environment = {**gcp_names.environment(target, has_database=bool(needed.function.stores)), **variables}
    settings = (
        f"--function={name}",
        f"--base-image={BASE_IMAGE}",
        region,
        f"--service-account={gcp_names.account_email(target, name)}",
        f"--build-service-account=projects/{target.project}/serviceAccounts/{gcp_names.account_email(target, 'build')}",
        *_invoker_flags(needed.function.is_public),
        f"--ingress={ingress}",
        f"--timeout={needed.timeout_seconds}",
        f"--concurrency={concurrency}",
        f"--min-instances={least}",
        f"--max-instances={most}",
        "--cpu=1",
        f"--memory={memory}",
        "--cpu-boost",
        f"--set-env-vars={joined(environment)}",
        _secrets(target, needed.secrets if needed.function.mounts_secrets else ()),
        *_databases(needed),
        *(_network_flags(vpc) if isinstance(vpc, dict) else ()),
    )
    digest = digest_of(bundle.digest, settings)
    labels = f"--labels={label_text(target, digest)}"
    deploy = gcloud("run deploy", target.name_of(name), f"--source={bundle.folder}", settings, labels)
    # After a rollback, the older revision has the traffic, and a new one would get none.
    latest = gcloud("run services update-traffic", target.name_of(name), "--to-latest", region)
    why = needed.function.does if needed.function.is_public else "private: called by Pub/Sub as the account push"
    return Resource(
        SERVICE, target.name_of(name), why, create=deploy, update=(*deploy, *latest), digest=digest, needs=needs
    )


def _invoker_flags(is_public: bool) -> tuple[str, ...]:
    """Return the access flags. A public function checks its senders itself."""
    return ("--no-invoker-iam-check",) if is_public else ("--invoker-iam-check", "--no-allow-unauthenticated")


def _secrets(target: gcp_names.Target, mounted: Sequence[str]) -> str:
    """Mount each secret in a folder of its own, because the mount hides other files; `latest` needs no new revision."""
    if not mounted:
        return "--clear-secrets"
    return "--set-secrets=" + ",".join(f"/secrets/{name}/value={target.name_of(name)}:latest" for name in mounted)


def _databases(needed: topology.NeededFunction) -> tuple[str, ...]:
    """Return the flag that gives the function the sockets of its instances of Cloud SQL, if it may have any."""
    if needed.cloud_sql:
        return (f"--set-cloudsql-instances={','.join(needed.cloud_sql)}",)
    return () if needed.function.attempt_margin is None else ("--clear-cloudsql-instances",)


def joined(values: Mapping[str, str]) -> str:
    """Return a dictionary as gcloud expects it, with another separator if needed (`gcloud topic escaping`).

    Raises StopIteration if the values contain a comma and all of the other separators.
    """
    pairs = [f"{name}={value}" for name, value in values.items()]
    if not any("," in pair for pair in pairs):
        return ",".join(pairs)
    separator = next(mark for mark in ("@@", "##", "%%", "~~") if not any(mark in pair for pair in pairs))
    return f"^{separator}^{separator.join(pairs)}"


JOB: Final = "job"
_DESCRIPTION: Final = re.compile(r"Hookchain: .*\. Plan ([0-9a-f]+)")


def job(target: gcp_names.Target, schedule: Schedule, url: str, needs: tuple[str, ...]) -> Resource:
    """Return the job that calls the function at `url`. Jobs have no labels, so the last word of its description is the
    digest."""
    name = target.name_of(schedule.name)
    settings = (
        f"--location={target.region}",
        "--schedule=* * * * *",
        f"--uri={url}{schedule.path}",
        "--http-method=POST",
        f"--oidc-service-account-email={gcp_names.account_email(target, 'push')}",
        f"--oidc-token-audience={url}",
        f"--attempt-deadline={schedule.answer_seconds}s",
    )
    digest = digest_of(settings)
    description = f"--description=Hookchain: {schedule.does}. Plan {digest}"
    create = gcloud("scheduler jobs create http", name, settings, description)
    # An update would leave a paused job paused.
    update = gcloud("scheduler jobs delete", name, f"--location={target.region}") + create
    return Resource(
        JOB,
        name,
        schedule.why,
        create=create,
        update=update,
        digest=digest,
        needs=(key_of(API, "cloudscheduler.googleapis.com"), *needs),
    )


def job_digest(description: str) -> str:
    """Return the digest in a job's description; empty if the job is not one of ours."""
    found = _DESCRIPTION.fullmatch(description)
    return found[1] if found else ""
