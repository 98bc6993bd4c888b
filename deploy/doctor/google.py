"""The checks of Google Cloud: gcloud and its user, the project, its billing, region, APIs and permissions.

Each public function is one check of `hookchain doctor` and changes nothing. An error that it raises makes its result
unknown.
"""

from typing import Final

from deploy.cloud_access.gcp import ApiError, GcloudMissing, GoogleApi, NotSignedIn, Runner, Token
from deploy.cloud_access.gcp_names import Target
from deploy.gcp.resources.project import APIS
from deploy.terminal.finding import Finding, ok, problem, unknown
from shared.jsontext import json_or_none, list_at, objects_at, value_at

_NEEDED_FLAGS: Final = ("--function", "--base-image", "invoker-iam-check")
"""Flags of `gcloud run deploy` that an old gcloud lacks, or has in a beta only."""
_TIMEOUT_SECONDS: Final = 30.0
_INSTALL: Final = "install it: https://cloud.google.com/sdk/docs/install, or use Cloud Shell, which has it"
PERMISSIONS: Final = (
    "artifactregistry.repositories.create",
    "cloudbuild.builds.create",
    "cloudscheduler.jobs.create",
    "datastore.databases.create",
    "iam.serviceAccounts.actAs",
    "iam.serviceAccounts.create",
    "logging.logMetrics.create",
    "monitoring.alertPolicies.create",
    "monitoring.dashboards.create",
    "pubsub.subscriptions.create",
    "pubsub.topics.create",
    "pubsub.topics.setIamPolicy",
    "resourcemanager.projects.setIamPolicy",
    "run.services.create",
    "run.services.setIamPolicy",
    "secretmanager.secrets.create",
    "secretmanager.secrets.setIamPolicy",
    "serviceusage.services.enable",
    "storage.buckets.create",
    "storage.buckets.update",
)
"""The permissions that a first deployment uses. roles/owner has all of them."""


def gcloud(runner: Runner) -> Finding:
    try:
        answer = runner.run(["version", "--format=json"], timeout_seconds=_TIMEOUT_SECONDS)
    except GcloudMissing:
        return problem("not on PATH", _INSTALL)
    if answer.code:
        return problem(f"does not run: {_first_line(answer.stderr)}", "run `gcloud version` to see why")
    return ok(_version(answer.stdout))


def gcloud_flags(runner: Runner) -> Finding:
    """Check that gcloud has the needed flags, by its help and not its version: no version must be kept up to date."""
    answer = runner.run(["run", "deploy", "--help"], timeout_seconds=_TIMEOUT_SECONDS)
    if answer.code or not answer.stdout:
        return unknown(f"`gcloud run deploy --help` does not answer: {_first_line(answer.stderr)}")
    lacking = [flag for flag in _NEEDED_FLAGS if flag not in answer.stdout]
    if lacking:
        return problem(f"too old: `gcloud run deploy` lacks {', '.join(lacking)}", "gcloud components update")
    return ok("can deploy functions to Cloud Run")


def signed_in(runner: Runner, token: Token) -> Finding:
    try:
        token()
    except NotSignedIn as fault:
        message, _, todo = str(fault).partition(": ")
        return problem(message, todo)
    answer = runner.run(["config", "get-value", "account"], timeout_seconds=_TIMEOUT_SECONDS)
    return ok(answer.stdout.strip() or "yes")


def project(target: Target, api: GoogleApi) -> Finding:
    try:
        answer = api.get("cloudresourcemanager", f"/v3/projects/{target.project}")
    except ApiError as fault:
        if fault.status not in {403, 404}:
            raise
        message = f"{target.project} does not exist, or you may not see it"
        return problem(message, f"gcloud projects list shows yours; gcloud projects create {target.project} makes it")
    if answer.get("state") != "ACTIVE":
        advice = f"gcloud projects undelete {target.project}, or use another project"
        return problem(f"{target.project} is being deleted ({answer.get('state')})", advice)
    return ok(f"{target.project} ({answer.get('displayName', 'no name')})")


def billing(target: Target, api: GoogleApi) -> Finding:
    answer = api.get("cloudbilling", f"/v1/projects/{target.project}/billingInfo")
    if answer.get("billingEnabled") is True:
        return ok("on")
    page = f"https://console.cloud.google.com/billing/linkedaccount?project={target.project}"
    return problem(f"off for {target.project}", f"link a billing account: {page}")


def apis(target: Target, api: GoogleApi) -> Finding:
    """List the APIs that are off. They are no problem, because a deployment enables them."""
    names = [f"projects/{target.project}/services/{name}" for name in APIS]
    answer = api.get("serviceusage", f"/v1/projects/{target.project}/services:batchGet", {"names": names})
    enabled = {
        str(service.get("name")).rpartition("/")[2]
        for service in objects_at(answer, "services")
        if service.get("state") == "ENABLED"
    }
    off = [name.removesuffix(".googleapis.com") for name in APIS if name not in enabled]
    return ok(f"{len(APIS)} enabled" if not off else f"the deployment enables these: {', '.join(off)}")


def region(target: Target, api: GoogleApi) -> Finding:
    try:
        answer = api.get("run", f"/v1/projects/{target.project}/locations", {"pageSize": "200"})
    except ApiError as fault:
        if fault.reason == "SERVICE_DISABLED":
            return unknown(f"{target.region}: Cloud Run lists its regions once its API is enabled")
        raise
    known = [each.get("locationId") for each in objects_at(answer, "locations")]
    if known and target.region not in known:
        return problem(f"Cloud Run has no region {target.region!r}", "gcloud run regions list shows them")
    return ok(target.region)


def permissions(target: Target, api: GoogleApi) -> Finding:
    path = f"/v3/projects/{target.project}:testIamPermissions"
    answer = api.post("cloudresourcemanager", path, {"permissions": list(PERMISSIONS)})
    granted = list_at(answer, "permissions")  # the field is left out if no permission is granted
    lacking = [each for each in PERMISSIONS if each not in granted]
    if not lacking:
        return ok("enough for a first deploy")
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    message = f"you lack {', '.join(lacking[:3])}{more}"
    return problem(message, f"ask an owner of {target.project} for roles/owner, or for roles with: {' '.join(lacking)}")


def _version(text: str) -> str:
    version = value_at(json_or_none(text.encode()), "Google Cloud SDK")
    return f"version {version}" if isinstance(version, str) else "there"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
