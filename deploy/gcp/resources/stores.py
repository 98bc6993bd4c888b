"""Stores: the database of ledger and journal, the bucket of large bodies, the image repository, the secrets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.gcp.resource import Command, File, Resource, digest_of, gcloud, key_of, label_text
from deploy.gcp.resources.project import API
from deploy.gcp.resources.topics import topic_key
from deploy.topology.functions import Store
from shared.cloud.gcp.collections import DOCUMENTS, EXPIRE_AT, EXPIRING, UNINDEXED
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS

DATABASE: Final = "database"
EXPIRY: Final = "expiry"
EXEMPTION: Final = "exemption"
BUCKET: Final = "bucket"
REPOSITORY: Final = "repository"

IMAGES: Final = "cloud-run-source-deploy"
"""The repository that `gcloud run deploy --source` uses. It would create it for each function at the same time."""
SOURCES_DAYS: Final = 30
"""How long the uploaded source of a build is kept."""


def database_key(target: gcp_names.Target) -> str:
    return key_of(DATABASE, gcp_names.database(target))


def bucket_key(target: gcp_names.Target) -> str:
    return key_of(BUCKET, gcp_names.bucket(target))


def database(target: gcp_names.Target, needed: frozenset[Store]) -> tuple[Resource, ...]:
    """Return a database with a name of its own, because the project's `(default)` may be somebody else's, and the rules
    by which its documents expire: those of subscribers only where they are needed, because each takes its seconds."""
    name = gcp_names.database(target)
    where = (f"--database={name}", f"--location={target.region}", "--type=firestore-native")
    protected = "--delete-protection"  # a mistake would delete every claim and every record
    made = Resource(
        kind=DATABASE,
        name=name,
        why="the ledger and the journal",
        create=gcloud("firestore databases create", where, protected),
        update=gcloud("firestore databases update", f"--database={name}", protected),
        needs=(key_of(API, "firestore.googleapis.com"), topic_key(target, DEAD_LETTERS)),
    )
    unused = set() if "documents" in needed else {DOCUMENTS}
    unindexed = {collection: fields for collection, fields in UNINDEXED.items() if collection not in unused}
    exempt = [_exemption(target, collection, field) for collection, fields in unindexed.items() for field in fields]
    expiring = [_expiry(target, collection) for collection in EXPIRING if collection not in unused]
    return (made, *_in_sequence([*exempt, *expiring]))


def tap_database(target: gcp_names.Target) -> Resource:
    """Return the database of the leases. Developers write there, and a right is on a whole database."""
    name = gcp_names.tap_database(target)
    where = (f"--database={name}", f"--location={target.region}", "--type=firestore-native")
    return Resource(
        kind=DATABASE,
        name=name,
        why="the leases of developers who listen",
        create=gcloud("firestore databases create", where),
        needs=(key_of(API, "firestore.googleapis.com"), topic_key(target, DEAD_LETTERS)),
    )


def _in_sequence(changes: Sequence[Resource]) -> Iterator[Resource]:
    """Order the changes: Firestore rejects one during another ("Please retry, underlying data changed")."""
    before: tuple[str, ...] = ()
    for change in changes:
        yield replace(change, needs=(*change.needs, *before))
        before = (change.key,)


def _expiry(target: gcp_names.Target, collection: str) -> Resource:
    """Return the rule by which the collection's documents expire. `--async`: the plan does not wait for Firestore."""
    return Resource(
        kind=EXPIRY,
        name=collection,
        why=f"documents of {collection} go when their {EXPIRE_AT} has passed",
        create=gcloud("firestore fields ttls update", _field(target, collection, EXPIRE_AT), "--enable-ttl", "--async"),
        needs=(database_key(target),),
    )


def _exemption(target: gcp_names.Target, collection: str, field: str) -> Resource:
    return Resource(
        kind=EXEMPTION,
        name=f"{collection}.{field}",
        why="nothing asks for it: an index would make writing slower",
        create=gcloud(
            "firestore indexes fields update", _field(target, collection, field), "--disable-indexes", "--async"
        ),
        needs=(database_key(target),),
    )


def _field(target: gcp_names.Target, collection: str, field: str) -> tuple[str, ...]:
    return (field, f"--collection-group={collection}", f"--database={gcp_names.database(target)}")


def bucket(target: gcp_names.Target, kept_days: int, folder: Path) -> Resource:
    """Return the bucket. The file with its lifecycle rules goes into `folder`."""
    rules: JsonObject = {"rule": [{"action": {"type": "Delete"}, "condition": {"age": kept_days}}]}
    file = File(folder / "lifecycle.json", json.dumps(rules, indent=2) + "\n")
    # Deleted bodies cannot be restored: the operator decides how long the senders' data is kept.
    settings = ("--uniform-bucket-level-access", "--public-access-prevention", "--soft-delete-duration=0")
    url = f"gs://{gcp_names.bucket(target)}"
    lifecycle = f"--lifecycle-file={file.path}"
    digest = digest_of("bucket", settings, rules)
    update_labels = f"--update-labels={label_text(target, digest)}"
    update = gcloud("storage buckets update", url, settings, lifecycle, update_labels)
    create = gcloud("storage buckets create", url, f"--location={target.region}", settings, lifecycle)
    return Resource(
        kind=BUCKET,
        name=gcp_names.bucket(target),
        why="bodies that are too large for a bus",
        create=create + update,  # a bucket can get its labels only by an update
        update=update,
        digest=digest,
        needs=(key_of(API, "storage.googleapis.com"),),
        files=(file,),
    )


def sources_bucket(target: gcp_names.Target, services: Mapping[str, str], folder: Path) -> Resource:
    """Return the rules for the bucket of `gcloud run deploy --source`, where each uploaded archive would stay for ever.

    `services` are the names of the functions' services by the keys of their resources: a first deployment makes the
    bucket, so the rules wait for them. Other functions of the project may use the bucket too, so only the archives of
    these services expire.
    """
    # As gcloud names it, because the name of a bucket must not contain "google".
    name = f"run-sources-{target.project.replace('google', 'elgoog')}-{target.region}"
    condition: JsonObject = {"age": SOURCES_DAYS, "matchesPrefix": [f"services/{each}/" for each in services.values()]}
    rules: JsonObject = {"rule": [{"action": {"type": "Delete"}, "condition": condition}]}
    file = File(folder / "sources-lifecycle.json", json.dumps(rules, indent=2) + "\n")
    update = gcloud("storage buckets update", f"gs://{name}", f"--lifecycle-file={file.path}")
    return Resource(
        kind=BUCKET,
        name=name,
        why=f"the sources of a build go after {SOURCES_DAYS} days",
        create=update,
        update=update,
        needs=tuple(services.keys()),
        files=(file,),
        is_shared=True,
    )


def image_repository(target: gcp_names.Target) -> Resource:
    return Resource(
        kind=REPOSITORY,
        name=IMAGES,
        why="what was built; shared by all that is deployed from source in this region",
        create=gcloud(
            "artifacts repositories create", IMAGES, "--repository-format=docker", f"--location={target.region}"
        ),
        needs=(key_of(API, "artifactregistry.googleapis.com"),),
    )


SECRET: Final = "secret"  # noqa: S105 a kind of thing
VALUE: Final = "value"


def value_key(target: gcp_names.Target, name: str) -> str:
    return key_of(VALUE, target.name_of(name))


def replication(target: gcp_names.Target) -> tuple[str, ...]:
    """Return flags for the deployment's own region. A policy on data residency would reject `automatic`."""
    return "--replication-policy=user-managed", f"--locations={target.region}"


def secret(target: gcp_names.Target, name: str, readers: tuple[str, ...]) -> tuple[Resource, Resource]:
    """Return a secret and its first value. A plan never replaces a value; `hookchain secrets set` does."""
    secret_id = target.name_of(name)
    made = Resource(
        kind=SECRET,
        name=secret_id,
        why=f"read by {' and '.join(readers)}",
        create=gcloud("secrets create", secret_id, replication(target), f"--labels={label_text(target)}"),
        needs=(key_of(API, "secretmanager.googleapis.com"),),
    )
    add_version = Command(("secrets", "versions", "add", secret_id, "--data-file=-"), secret=name)
    first_value = Resource(kind=VALUE, name=secret_id, why="its first value", create=(add_version,), needs=(made.key,))
    return made, first_value
