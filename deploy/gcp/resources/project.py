"""Google's APIs that a bundle uses: enabled where they are not, and left enabled, for others may use them too."""

from typing import Final

from deploy.gcp.resource import Resource, key_of, one

API: Final = "api"

APIS: Final = {
    "run.googleapis.com": "the functions run here",
    "cloudbuild.googleapis.com": "builds them",
    "artifactregistry.googleapis.com": "keeps what was built",
    "pubsub.googleapis.com": "carries events between them",
    "firestore.googleapis.com": "keeps the ledger and the journal",
    "storage.googleapis.com": "keeps bodies that are too large for a bus",
    "secretmanager.googleapis.com": "keeps the secrets",
    "cloudscheduler.googleapis.com": "calls the sweep each minute",
    "logging.googleapis.com": "keeps what the functions log, and counts the sweeps",
    "monitoring.googleapis.com": "the dashboard and the alerts",
    "iam.googleapis.com": "the accounts they run as",
    "iamcredentials.googleapis.com": "the tokens of pushes",
}


AGENT: Final = "agent"


def pubsub_service_agent() -> Resource:
    """Pub/Sub's own account in the project. Google creates it some time after the API is enabled, or at once when
    asked; asking again changes nothing."""
    api = "pubsub.googleapis.com"
    create = one("beta", "services", "identity", "create", f"--service={api}")
    return Resource(AGENT, api, "the account that Pub/Sub acts as", create, needs=(key_of(API, api),))


def apis() -> tuple[Resource, ...]:
    return tuple(Resource(API, name, why, one("services", "enable", name)) for name, why in APIS.items())
