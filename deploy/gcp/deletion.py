"""The order in which resources are deleted, and the commands that delete each kind."""

from typing import Final

from deploy.gcp.iam_bindings import GRANT, gcloud_name
from deploy.gcp.resource import Command, Existing, one
from deploy.gcp.resources.alerts import ALERT
from deploy.gcp.resources.log_metrics import METRIC
from deploy.gcp.resources.monitoring import DASHBOARD
from deploy.gcp.resources.project import ACCOUNT
from deploy.gcp.resources.services import JOB, SERVICE
from deploy.gcp.resources.stores import BUCKET, DATABASE, SECRET
from deploy.gcp.resources.topics import SUBSCRIPTION, TOPIC
from deploy.google.target import Target

ORDER: Final = (JOB, SUBSCRIPTION, SERVICE, ALERT, METRIC, DASHBOARD, GRANT, ACCOUNT, SECRET, BUCKET, DATABASE, TOPIC)
"""The order of deletion. Topics are last: their labels prove that the rest belongs to the deployment."""


def deletion(target: Target, key: str, found: Existing) -> tuple[Command, ...]:
    """Return the commands. Raises ValueError for a kind that none deletes."""
    kind, _, name = key.partition(" ")
    match kind:
        case "job":
            return one("scheduler", "jobs", "delete", name, f"--location={target.region}")
        case "subscription":
            return one("pubsub", "subscriptions", "delete", name)
        case "service":
            return one("run", "services", "delete", name, f"--region={target.region}")
        case "alert":
            return one("monitoring", "policies", "delete", found.address)
        case "metric":
            return one("logging", "metrics", "delete", name)
        case "dashboard":
            return one("monitoring", "dashboards", "delete", name)
        case "topic":
            return one("pubsub", "topics", "delete", name)
        case "account":
            return one("iam", "service-accounts", "delete", gcloud_name(ACCOUNT, name, target))
        case "secret":
            return one("secrets", "delete", name)
        case "bucket":
            return one("storage", "rm", "--recursive", gcloud_name(BUCKET, name, target))
        case "database":
            command = ("firestore", "databases")
            unprotected = one(*command, "update", f"--database={name}", "--no-delete-protection")
            return (*unprotected, *one(*command, "delete", f"--database={name}"))
        case _:
            raise ValueError(f"no command deletes a {kind}")
