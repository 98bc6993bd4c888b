"""The prerequisites in a project: enabled APIs, Pub/Sub's service agent, and service accounts.

APIs stay enabled when a deployment is deleted, because others may use them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.gcp.resource import Resource, gcloud, key_of
from deploy.topology.functions import FUNCTIONS, Function
from deploy.topology.topology import Topology
from shared.jsontext import JsonObject, mappings_at, value_at

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

CLOUD_SQL_API: Final = {"sqladmin.googleapis.com": "connects notify to your databases"}
TELEMETRY_API: Final = {"telemetry.googleapis.com": "takes the spans of the functions"}

DESTINATION_APIS: Final[Mapping[str, Mapping[str, str]]] = {
    "bigquery": {"bigquery.googleapis.com": "takes rows of BigQuery"},
    "sheet": {"sheets.googleapis.com": "writes rows of Google Sheets"},
    "document": {"docs.googleapis.com": "writes Google Docs", "drive.googleapis.com": "makes Google Docs"},
}
"""By kind of destination: the APIs that notify calls by its own account."""


AGENT: Final = "agent"
"""The kind of a service agent in a plan: an account that Google owns."""


def pubsub_service_agent() -> Resource:
    """Return Pub/Sub's own account in the project. Google creates it at once on this command, which can be repeated,
    and otherwise some time after the API is enabled."""
    api = "pubsub.googleapis.com"
    create = gcloud("beta services identity create", f"--service={api}")
    return Resource(AGENT, api, "the account that Pub/Sub acts as", create, needs=(key_of(API, api),))


def apis(topology: Topology, notify: JsonObject) -> tuple[Resource, ...]:
    """Return the APIs that the topology's functions need, and the destinations of notify's slice without a key."""
    entries = mappings_at(notify, "destinations").values()
    kinds = sorted({str(each.get("kind")) for each in entries if value_at(each, "settings", "secret") is None})
    needed = {
        **APIS,
        **(CLOUD_SQL_API if any(each.cloud_sql for each in topology.functions) else {}),
        **(TELEMETRY_API if any(each.spans_to == "google_cloud" for each in topology.functions) else {}),
        **{name: why for kind in kinds for name, why in DESTINATION_APIS.get(kind, {}).items()},
    }
    return tuple(Resource(API, name, why, gcloud("services enable", name)) for name, why in needed.items())


ACCOUNT: Final = "account"


DEVELOPER: Final = "developer"
"""The account as which developers run `hookchain listen`."""


def accounts(functions: Sequence[Function] = FUNCTIONS, *, has_tap: bool = True) -> Mapping[str, str]:
    """Return the names of the accounts, each with its purpose: one for each function, `push`, `build` and, for a tap,
    `developer`."""
    called = " and ".join(each.name for each in functions if not each.is_public)
    return {
        **{each.name: f"runs {each.name}" for each in functions},
        "push": f"calls {called} for Pub/Sub and Cloud Scheduler",
        "build": "builds the functions for Cloud Build",
        **({DEVELOPER: "may have requests copied, for developers who act as this account"} if has_tap else {}),
    }


def account_key(target: gcp_names.Target, name: str) -> str:
    return key_of(ACCOUNT, target.name_of(name))


def service_accounts(
    target: gcp_names.Target, functions: Sequence[Function], before: tuple[str, ...], *, has_tap: bool
) -> tuple[Resource, ...]:
    """Return the service accounts. `before` are the keys of resources that must exist before."""
    wanted = accounts(functions, has_tap=has_tap)
    return tuple(_account(target, name, why, before) for name, why in wanted.items())


def _account(target: gcp_names.Target, name: str, why: str, before: tuple[str, ...]) -> Resource:
    """Return the account. An update enables it too, in case somebody has disabled it."""
    email = gcp_names.account_email(target, name)
    shown = f"--display-name=Hookchain {target.bundle} {name}"
    return Resource(
        ACCOUNT,
        target.name_of(name),
        why,
        create=gcloud("iam service-accounts create", target.name_of(name), shown),
        update=gcloud("iam service-accounts update", email, shown) + gcloud("iam service-accounts enable", email),
        needs=(key_of(API, "iam.googleapis.com"), *before),
    )
