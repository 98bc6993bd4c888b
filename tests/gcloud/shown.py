"""What gcloud shows of a thing: as Google's APIs describe it."""

import json
from collections.abc import Callable, Mapping
from typing import Final

NUMBER: Final = "123456789012"

Thing = dict[str, object]


def named(name: str, thing: Thing) -> Thing:
    return {"name": f"projects/{NUMBER}/x/{name}", "labels": thing.get("labels", {})}


def _shown_field(kind: str) -> Callable[[str, Thing], Thing]:
    def show(name: str, _: Thing) -> Thing:
        database, collection, own = name.split("/")
        whole = f"projects/p/databases/{database}/collectionGroups/{collection}/fields/{own}"
        return {"name": whole, "ttlConfig" if kind == "expiry" else "indexConfig": {}}

    return show


ON_REVISIONS: Final = {
    "--set-cloudsql-instances": "run.googleapis.com/cloudsql-instances",
    "--min-instances": "autoscaling.knative.dev/minScale",
    "--vpc-connector": "run.googleapis.com/vpc-access-connector",
    "--vpc-egress": "run.googleapis.com/vpc-access-egress",
}


def _shown_service(name: str, thing: Thing) -> Thing:
    """As Cloud Run's API v1 describes a service: annotations hold what Knative has no field for."""
    secrets = [mounted.partition("=") for mounted in str(thing.get("--set-secrets", "")).split(",") if mounted]
    volumes = [
        {
            "name": f"v{number}",
            "secret": {
                "secretName": secret.partition(":")[0],
                "items": [{"key": secret.partition(":")[2], "path": path.rpartition("/")[2]}],
            },
        }
        for number, (path, _, secret) in enumerate(secrets)
    ]
    mounts = [{"name": f"v{number}", "mountPath": path.rpartition("/")[0]} for number, (path, *_) in enumerate(secrets)]
    variables = [pair.partition("=") for pair in str(thing.get("--set-env-vars", "")).split(",") if pair]
    container = {
        "image": "europe-west1-docker.pkg.dev/my-project/cloud-run-source-deploy/it",
        "env": [{"name": variable, "value": value} for variable, _, value in variables],
        "resources": {"limits": {"cpu": f"{thing['--cpu']}000m", "memory": thing["--memory"]}},
        "volumeMounts": mounts,
    }
    revision: Thing = {"autoscaling.knative.dev/maxScale": thing["--max-instances"]}
    for flag, annotation in ON_REVISIONS.items():
        if flag in thing:
            revision[annotation] = thing[flag]
    if "--network" in thing:
        interface = {"network": thing["--network"], "subnetwork": thing.get("--subnet", "")}
        revision["run.googleapis.com/network-interfaces"] = json.dumps([interface])
    if "--cpu-boost" in thing:
        revision["run.googleapis.com/startup-cpu-boost"] = "true"
    annotations: Thing = {"run.googleapis.com/ingress": thing["--ingress"]}
    if "--no-invoker-iam-check" in thing:
        annotations["run.googleapis.com/invoker-iam-disabled"] = "true"
    template = {
        "metadata": {"annotations": revision},
        "spec": {
            "serviceAccountName": thing["--service-account"],
            "timeoutSeconds": int(str(thing["--timeout"])),
            "containerConcurrency": int(str(thing["--concurrency"])),
            "containers": [container],
            "volumes": volumes,
        },
    }
    ready = {"type": "Ready", "status": str(thing.get("ready", "True"))}
    traffic = thing.get("traffic", [{"latestRevision": True, "percent": 100}])
    metadata = {"name": name, "labels": thing["labels"], "annotations": annotations}
    return {"metadata": metadata, "spec": {"template": template, "traffic": traffic}, "status": {"conditions": [ready]}}


def _shown_topic(name: str, thing: Thing) -> Thing:
    regions = str(thing.get("--message-storage-policy-allowed-regions", ""))
    policy = {"messageStoragePolicy": {"allowedPersistenceRegions": regions.split(",")}} if regions else {}
    return {"name": f"projects/my-project/topics/{name}", "labels": thing.get("labels", {}), **policy}


def _shown_subscription(name: str, thing: Thing) -> Thing:
    shown: Thing = {
        "name": f"projects/my-project/subscriptions/{name}",
        "topic": f"projects/my-project/topics/{str(thing['--topic']).rpartition('/')[2]}",
        "labels": thing["labels"],
        "ackDeadlineSeconds": int(str(thing.get("--ack-deadline", 10))),
        "messageRetentionDuration": f"{int(str(thing['--message-retention-duration']).removesuffix('d')) * 86_400}s",
        "expirationPolicy": {} if thing["--expiration-period"] == "never" else {"ttl": "2678400s"},
        "pushConfig": {},
        "state": "ACTIVE",
    }
    if "--push-endpoint" in thing:
        account, audience = thing.get("--push-auth-service-account"), thing.get("--push-auth-token-audience")
        token = {"oidcToken": {"serviceAccountEmail": account, "audience": audience}} if account else {}
        shown["pushConfig"] = {"pushEndpoint": thing["--push-endpoint"], **token}
        shown["retryPolicy"] = {
            "minimumBackoff": thing["--min-retry-delay"],
            "maximumBackoff": thing["--max-retry-delay"],
        }
    if "--dead-letter-topic" in thing:
        topic = f"projects/my-project/topics/{thing['--dead-letter-topic']}"
        shown["deadLetterPolicy"] = {
            "deadLetterTopic": topic,
            "maxDeliveryAttempts": int(str(thing["--max-delivery-attempts"])),
        }
    return shown


def _shown_bucket(name: str, thing: Thing) -> Thing:
    """gcloud's own words for it, as `gcloud storage buckets list --format=json` has them."""
    shown: Thing = {"name": name, "location": str(thing["--location"]).upper(), "storage_url": f"gs://{name}/"}
    shown |= {"labels": thing["labels"]} if "labels" in thing else {}
    shown |= {"lifecycle_config": thing["--lifecycle-file"]} if "--lifecycle-file" in thing else {}
    return {
        **shown,
        "uniform_bucket_level_access": "--uniform-bucket-level-access" in thing,
        "public_access_prevention": "enforced" if "--public-access-prevention" in thing else "inherited",
        "soft_delete_policy": {"retentionDurationSeconds": str(thing.get("--soft-delete-duration", 604_800))},
    }


def _shown_job(name: str, thing: Thing) -> Thing:
    account, audience = thing["--oidc-service-account-email"], thing["--oidc-token-audience"]
    return {
        "name": f"projects/p/locations/r/jobs/{name}",
        "description": thing["--description"],
        "state": thing.get("state", "ENABLED"),
        "schedule": thing["--schedule"],
        "timeZone": "Etc/UTC",
        "attemptDeadline": thing["--attempt-deadline"],
        "httpTarget": {
            "uri": thing["--uri"],
            "httpMethod": thing["--http-method"],
            "oidcToken": {"serviceAccountEmail": account, "audience": audience},
        },
    }


def _shown_notification(_: str, thing: Thing) -> Thing:
    """As Cloud Storage's API describes it."""
    prefix = {"object_name_prefix": thing["--object-prefix"]} if "--object-prefix" in thing else {}
    return {
        "kind": "storage#notification",
        "id": thing["id"],
        "topic": f"//pubsub.googleapis.com/projects/my-project/topics/{thing['--topic']}",
        "payload_format": "JSON_API_V1",
        "event_types": str(thing["--event-types"]).split(","),
        **prefix,
    }


def _shown_database(name: str, thing: Thing) -> Thing:
    state = "ENABLED" if "--delete-protection" in thing else "DISABLED"
    return {
        "name": f"projects/p/databases/{name}",
        "locationId": thing["--location"],
        "type": "FIRESTORE_NATIVE",
        "deleteProtectionState": f"DELETE_PROTECTION_{state}",
    }


def _shown_account(name: str, thing: Thing) -> Thing:
    disabled = {"disabled": True} if "disabled" in thing else {}
    return {
        "email": f"{name}@my-project.iam.gserviceaccount.com",
        "displayName": thing.get("--display-name", ""),
        **disabled,
    }


SHOWN: Final[Mapping[str, Callable[[str, Thing], Thing]]] = {
    "account": _shown_account,
    "topic": _shown_topic,
    "subscription": _shown_subscription,
    "bucket": _shown_bucket,
    "database": _shown_database,
    "notification": _shown_notification,
    "expiry": _shown_field("expiry"),
    "exemption": _shown_field("exemption"),
    "service": _shown_service,
    "job": _shown_job,
    "dashboard": lambda name, thing: {"name": f"projects/{NUMBER}/dashboards/{name}", "labels": thing["labels"]},
    "metric": lambda name, thing: {"name": name, **thing},
    "alert": lambda name, thing: {"name": f"projects/my-project/alertPolicies/{name}", **thing},
}
