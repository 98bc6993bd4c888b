"""The buses of other systems that a configuration is connected to: those it takes messages from, and publishes to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.config import config_file, configuration
from deploy.config.notify_destinations import destinations_of_kind
from deploy.requests.sources import compiled_sources
from deploy.topology.places import buckets
from functions.notify.destinations.bus import AwsBus, GoogleTopic, Settings
from functions.receive.source import RECOVERED_KIND, RECOVERED_NAME
from shared import ports
from shared.jsontext import JsonObject, mapping_at, texts_at

GOOGLE_BUS_KINDS: Final = frozenset({"pubsub", "bucket", RECOVERED_KIND})
"""The kinds of buses that bring messages on Google Cloud."""


@dataclass(frozen=True, slots=True)
class BusSource:
    """A source whose messages a bus brings.

    source         the source's name
    kind           the kind of its bus; RECOVERED_KIND for the deployment's own topic or queue of recovered events
    resource_name  the name of what a deployment makes for it, without the deployment's prefix
    settings       what the slice says of its bus
    """

    source: str
    kind: str
    resource_name: str
    settings: JsonObject

    def text(self, key: str) -> str:
        value = self.settings.get(key)
        return value if isinstance(value, str) else ""

    @property
    def events(self) -> tuple[str, ...]:
        """Return the events that a bucket reports, such as `finalize`."""
        return tuple(texts_at(self.settings, "events"))


def bus_sources(receive: JsonObject) -> tuple[BusSource, ...]:
    """Return the sources of receive's slice that have a bus.

    Recovered events have a bus of their own, which counts as one more source, the last, if a source has `recover`.
    """
    sources = {**compiled_sources(receive), RECOVERED_NAME: mapping_at(receive, "recovered")}
    return tuple(
        BusSource(name, str(bus["kind"]), str(bus["name"]), bus)
        for name, source in sources.items()
        if isinstance(bus := source.get("bus"), dict)
    )


def brings_on_google(source: BusSource) -> bool:
    return source.kind in GOOGLE_BUS_KINDS


def silent_sources(receive: JsonObject, brings: Callable[[BusSource], bool], cloud: str) -> Iterator[str]:
    """Yield a text for each source whose bus brings no messages on this cloud.

    `brings` says of a source whether its bus does, and `cloud` is the name of the cloud in the text.
    """
    for source in bus_sources(receive):
        if not brings(source):
            yield f"source {source.source!r} gets no messages on {cloud} from its `{source.kind}`"


def published_buses(notify: JsonObject) -> tuple[GoogleTopic | AwsBus, ...]:
    """Return the buses that notify publishes to as its own account or role, each once."""
    read = map(Settings.model_validate, destinations_of_kind(notify, "bus").values())
    return tuple(dict.fromkeys(each.target for each in read if each.secret is None and each.api_url is None))


def fed_buckets(receive: JsonObject, notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield each source with each destination that may write objects into the source's bucket, which reports them."""
    for source in bus_sources(receive):
        if source.kind == "bucket" and "finalize" in source.events:
            prefix = source.text("prefix")
            for name, objects in buckets(notify):
                prefixes_overlap = objects.prefix.startswith(prefix) or prefix.startswith(objects.prefix)
                if objects.bucket_name == source.text("bucket") and prefixes_overlap:
                    yield source.source, name


def own_bus_fault(receive: JsonObject, prefix: str, project: str = "") -> str | None:
    """Return the fault of a source that names a topic or a queue of this deployment; None if none does.

    `prefix` is that of the deployment's names, `project` its project on Google Cloud.
    """
    topics = (*ports.TOPIC_NAMES, ports.RECOVERED, ports.TAP)
    own = {f"{prefix}{topic}{end}" for topic in topics for end in ("", ports.UNDELIVERED)}
    for source in bus_sources(receive):
        topic_parent, _, topic_name = source.text("pubsub").rpartition("/")
        queue_name = source.text("sqs").rpartition(":")[2]  # an ARN ends with it
        name = topic_name or queue_name
        # A queue of another account is not told from an own one: the own account is not known before a deployment.
        is_of_other_project = source.kind == "pubsub" and topic_parent not in ("", f"projects/{project}/topics")
        if name in own and not is_of_other_project:
            rule = f"must not name {name}, which is this deployment's own: each of its events would come back to it"
            return f"source {source.source!r}: bus: {rule}. For dead letters, set `alerts`"
    return None


def loop_warnings(file: config_file.ConfigFile, slices: Mapping[str, JsonObject]) -> Iterator[config_file.Fault]:
    """Yield a warning for each source of a bucket into which one of its routes writes objects."""
    routes = configuration.Configuration.model_validate(file.document).routes
    for source, destination in fed_buckets(slices["receive"], slices["notify"]):
        takes_source = [route for route in routes if source in route.from_ or "all" in route.from_]
        if any(destination in route.to for route in takes_source):
            rule = f"{destination!r} writes into its bucket, and each object there is its next event: a loop"
            advice = "give both a `prefix` and a `key` that differ at the beginning"
            yield config_file.Fault(file.line(("sources", source)), f"source {source!r}", f"{rule}; {advice}")
