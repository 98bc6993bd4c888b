"""The clock of retries: Cloud Scheduler calls notify's sweep each minute."""

from typing import Final

from deploy.gcp.resource import Resource, digest_of, key_of, one
from deploy.gcp.resources.project import API
from deploy.google import names
from deploy.google.target import Target

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
    create = one("scheduler", "jobs", "create", "http", name, *settings, f"--description={DESCRIPTION}{digest}")
    # An update would leave a job that somebody paused as it is: paused.
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
