"""The tables and buckets that destinations write to.

A destination with a key of its own needs no rights of the deployment's account or role, so its place is left out where
rights are granted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from deploy.config.notify_destinations import destinations_of_kind
from functions.notify.destinations.bigquery import Settings as BigQuerySettings
from functions.notify.destinations.object.settings import Settings as ObjectSettings
from shared.jsontext import JsonObject

_PLAIN: Final = re.compile(r"[A-Za-z0-9/_.=-]*")
"""The characters of a prefix that mean nothing else in a condition of Google's or a policy of AWS."""


@dataclass(frozen=True, slots=True)
class TablePlace:
    """A table of BigQuery. `creates`: it is made if it is missing."""

    project: str
    dataset: str
    table: str
    creates: bool


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A bucket of Cloud Storage, or of S3. Its objects' keys begin with `prefix`. `reads`: an object may be read."""

    is_s3: bool
    bucket: str
    prefix: str
    reads: bool


Place: TypeAlias = TablePlace | BucketPlace


def written_places(notify: JsonObject) -> tuple[Place, ...]:
    """Return the places, each once; without those whose destination has a key of its own."""
    return tuple(dict.fromkeys(_places(notify)))


def _places(notify: JsonObject) -> Iterator[Place]:
    for _, settings in tables(notify):
        if settings.secret is None:
            yield TablePlace(settings.project, settings.dataset, settings.table, settings.create)
    for _, objects in buckets(notify):
        if objects.secret is None and objects.endpoint is None:
            found = _PLAIN.match(objects.prefix)
            prefix = found[0] if found else ""
            yield BucketPlace(objects.is_s3, objects.bucket_name, prefix, not objects.has_key_per_delivery)


def tables(notify: JsonObject) -> Iterator[tuple[str, BigQuerySettings]]:
    for name, settings in destinations_of_kind(notify, "bigquery").items():
        yield name, BigQuerySettings.model_validate(settings)


def buckets(notify: JsonObject) -> Iterator[tuple[str, ObjectSettings]]:
    for name, settings in destinations_of_kind(notify, "object").items():
        yield name, ObjectSettings.model_validate(settings)
