"""What a topic is, from its JSON."""

from dataclasses import dataclass
from typing import Final

from deploy.dev.pubsub.durations import duration_text
from deploy.dev.pubsub.errors import not_emulated
from deploy.dev.pubsub.fields import Fields
from deploy.dev.pubsub.names import checked_name
from shared.jsontext import JsonObject

MINUTE_SECONDS: Final = 60
DAY_SECONDS: Final = 86_400

_SETTINGS: Final = frozenset({"labels", "messageRetentionDuration"})
# Kept and given back, without any effect here.
_KEPT: Final = frozenset({"kmsKeyName", "messageStoragePolicy"})
NOT_EMULATED: Final = ("schemaSettings", "ingestionDataSourceSettings", "messageTransforms")
_IGNORED: Final = frozenset({"name", "state", "satisfiesPzs", "tags"})
_KNOWN: Final = _SETTINGS | _KEPT | _IGNORED | frozenset(NOT_EMULATED)

UPDATABLE: Final = _SETTINGS | _KEPT


@dataclass(frozen=True, slots=True)
class Topic:
    """`retention_seconds` is 0 where the topic itself keeps nothing. `resource` is its JSON as a GET answers it."""

    name: str
    retention_seconds: float
    resource: JsonObject


def topic_from(name: str, body: JsonObject) -> Topic:
    checked_name(name, "topics")
    fields = Fields(body, "topic", _KNOWN)
    for member in NOT_EMULATED:
        if fields.asks_for(member):
            raise not_emulated(f"a topic's {member}")
    retention = fields.seconds("messageRetentionDuration", 0, 10 * MINUTE_SECONDS, 31 * DAY_SECONDS)
    resource: JsonObject = {"name": name}
    if labels := fields.texts("labels"):
        resource["labels"] = dict(labels)
    if retention:
        resource["messageRetentionDuration"] = duration_text(retention)
    if key := fields.text("kmsKeyName"):
        resource["kmsKeyName"] = key
    if policy := fields.message("messageStoragePolicy"):
        resource["messageStoragePolicy"] = policy
    return Topic(name, retention, resource)
