"""The buses of other systems that a configuration is connected to: those it takes messages from, and publishes to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.requests.sources import compiled_sources
from deploy.topology.destination_places import buckets
from functions.notify.destinations.bus.settings import AwsBus, GoogleTopic, Settings
from shared.jsontext import Json, JsonObject
from shared.ports import TOPIC_NAMES

KIND: Final = "bus"
GOOGLE_KINDS: Final = frozenset({"pubsub", "bucket"})
AWS_KINDS: Final = frozenset({"sqs", "eventbridge", "bucket"})
"""The kinds of buses that bring messages on each platform. S3 reports its objects through EventBridge."""


@dataclass(frozen=True, slots=True)
class BusSource:
    """A source whose messages a bus brings.

    name      that of what a deployment makes for it, without the deployment's prefix
    settings  what the slice says of its bus
    """

    source: str
    kind: str
    name: str
    settings: JsonObject

    def text(self, key: str) -> str:
        value = self.settings.get(key)
        return value if isinstance(value, str) else ""

    @property
    def events(self) -> tuple[str, ...]:
        """Return the events that a bucket reports, such as `finalize`."""
        events = self.settings.get("events")
        return tuple(map(str, events)) if isinstance(events, list) else ()


def bus_sources(receive: JsonObject) -> tuple[BusSource, ...]:
    """Return the sources of receive's slice that have a bus."""
    return tuple(
        BusSource(name, str(bus["kind"]), str(bus["name"]), bus)
        for name, source in compiled_sources(receive).items()
        if isinstance(source, dict) and isinstance(bus := source.get("bus"), dict)
    )


def published_buses(notify: JsonObject) -> tuple[GoogleTopic | AwsBus, ...]:
    """Return the buses that notify publishes to as its own account or role, each once."""
    return tuple(dict.fromkeys(_published(notify.get("destinations"))))


def _published(destinations: Json) -> Iterator[GoogleTopic | AwsBus]:
    for each in destinations.values() if isinstance(destinations, dict) else ():
        if isinstance(each, dict) and each.get("kind") == KIND:
            settings = Settings.model_validate(each["settings"])
            if settings.secret is None and settings.api_url is None:
                yield settings.target


def fed_buckets(receive: JsonObject, notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield each source with each destination that may write objects into the source's bucket, which reports them."""
    for source in bus_sources(receive):
        if source.kind == "bucket" and "finalize" in source.events:
            prefix = source.text("prefix")
            for name, objects in buckets(notify):
                is_told = objects.prefix.startswith(prefix) or prefix.startswith(objects.prefix)
                if objects.bucket_name == source.text("bucket") and is_told:
                    yield source.source, name


def own_bus_fault(receive: JsonObject, prefix: str, project: str = "") -> str | None:
    """Return the fault of a source that names a topic or a queue of this deployment; None if none does.

    `prefix` is that of the deployment's names, `project` its project on Google Cloud.
    """
    own = {f"{prefix}{topic}{end}" for topic in TOPIC_NAMES for end in ("", "-undelivered")}
    for source in bus_sources(receive):
        place, _, name = (source.text("pubsub") or source.text("sqs").replace(":", "/")).rpartition("/")
        is_elsewhere = source.kind == "pubsub" and place not in ("", f"projects/{project}/topics")
        if name in own and not is_elsewhere:
            rule = f"must not name {name}, which is this deployment's own: each of its events would come back to it"
            return f"source {source.source!r}: bus: {rule}. For dead letters, set `alerts`"
    return None
