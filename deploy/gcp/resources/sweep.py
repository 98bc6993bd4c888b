"""The clock of retries: Cloud Scheduler calls notify's sweep each minute."""

from typing import Final

from deploy.gcp import names
from deploy.gcp.resource import Resource, digest_of, key_of, one
from deploy.gcp.resources.apis import API
from deploy.gcp.target import Target

JOB: Final = "job"
DESCRIPTION: Final = "Hookchain: publishes the deliveries whose time has come. Plan "


def sweep(target: Target, notify_url: str, needs: tuple[str, ...]) -> Resource:
    """Jobs have no labels: the description's last word is the digest."""
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
    described = f"--description={DESCRIPTION}{digest}"
    return Resource(
        JOB,
        name,
        "retries whose time has come, each minute",
        one("scheduler", "jobs", "create", "http", name, *settings, described),
        one("scheduler", "jobs", "update", "http", name, *settings, described),
        digest,
        needs=(key_of(API, "cloudscheduler.googleapis.com"), *needs),
    )
