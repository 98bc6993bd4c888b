"""The topology of a configuration: what it needs on any platform, from which each platform's resources are rendered.

deploy/topology/functions.py says what a function needs in every configuration. `find_topology` adds what this one needs
besides, and leaves out what it does not use.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from deploy.config.databases import cloud_sql_instances
from deploy.config.kept_bodies import blobs_seconds
from deploy.secrets.needs import mail_transports, needs
from deploy.topology.buses import BusSource, bus_sources, published_buses
from deploy.topology.functions import FUNCTIONS, Function, Store
from deploy.topology.monitoring import ALARMS, LOG_METRICS, RECOVERED, REJECTED, SOURCE_ALARM, Alarm, LogMetric
from deploy.topology.places import Place, written_places
from functions.notify.destinations.bus import AwsBus, GoogleTopic
from shared import ports, retention
from shared.jsontext import Json, JsonObject, mappings_at, value_at

FIRST_WAIT_SECONDS: Final = 10
LONGEST_WAIT_SECONDS: Final = 600
MOST_TRIES: Final = 100
"""With these waits, about 16 hours: our own parts may fail for so long. Then a message is given up."""
MEMORY_MIB: Final = 512
MAX_INSTANCES: Final = 20
"""It limits the cost of a flood of requests."""
BODIES_SHARE: Final = 4
"""The bodies that an instance has at once may take a fourth of its memory."""
MIB: Final = 2**20
RECEIVE: Final = "receive"
NOTIFY: Final = "notify"
FURTHER_METRICS: Final = {"recover": RECOVERED, "telemetry": REJECTED}
"""By the part of notify's slice for which they are counted."""
PLATFORM_KEYS: Final = ("google_cloud", "aws")
"""The keys of a configuration with the sizes of functions on a platform."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic.

    does        what it carries
    gives_up    a message that was tried too often is handed to the topic of dead letters
    kept_days   how long a message waits for a function that cannot take it
    held_days   how long a second copy of each message is held, even if the functions cannot process it; 0: none is
    """

    name: str
    does: str
    gives_up: bool = True
    kept_days: int = 7
    held_days: int = 0


TOPICS: Final = (
    Topic(ports.EVENTS, "events from receive to transform"),
    Topic(ports.DELIVERIES, "deliveries from transform to notify"),
    Topic(ports.DEAD_LETTERS, "dead letters", gives_up=False, held_days=31),
)


@dataclass(frozen=True, slots=True)
class NeededFunction:
    """A function as one configuration needs it.

    body_bytes   the most memory that one call's body takes
    secrets      the names of the secrets that it reads
    variables    its variables that are set in the environment of the deployment
    settings     what the configuration says of its size on a platform, by the platform's key
    cloud_sql    the instances of Cloud SQL that it writes to
    places       the tables and buckets that it writes to as its own account or role
    sources      the sources whose messages a bus brings to it
    buses        the buses of other systems that it publishes to as its own account or role
    spans_to     the cloud to whose own endpoint it sends spans: google_cloud or aws; empty for none
    """

    function: Function
    timeout_seconds: int
    body_bytes: int
    secrets: tuple[str, ...]
    variables: Mapping[str, str]
    settings: Mapping[str, JsonObject]
    cloud_sql: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    sources: tuple[BusSource, ...] = ()
    buses: tuple[GoogleTopic | AwsBus, ...] = ()
    spans_to: str = ""

    @property
    def name(self) -> str:
        return self.function.name

    def concurrency(self, memory_mib: int) -> int:
        """Return the calls at once for a size. An instance without memory is killed, with all of its requests."""
        fitting = memory_mib * MIB // BODIES_SHARE // max(1, self.body_bytes)
        return max(1, min(self.function.concurrency, fitting))


@dataclass(frozen=True, slots=True)
class Topology:
    """The needs of one configuration.

    readers        the names of the functions that read a secret, by the secret's name
    mail           the ways that mail is sent: `auto`, `sendgrid`, `smtp` …
    blobs_seconds  how long a large body is kept
    has_tap        developers may have requests copied (`develop`)
    """

    functions: tuple[NeededFunction, ...]
    readers: Mapping[str, tuple[str, ...]]
    mail: frozenset[str]
    blobs_seconds: float
    topics: tuple[Topic, ...] = TOPICS
    alarms: tuple[Alarm, ...] = ALARMS
    log_metrics: tuple[LogMetric, ...] = LOG_METRICS
    has_tap: bool = False

    @property
    def blobs_days(self) -> int:
        """Return the days that a bucket keeps a body, as long as a replay, a retry or a dead letter may need it."""
        return max(1, math.ceil(self.blobs_seconds / retention.DAY_SECONDS))

    @property
    def stores(self) -> frozenset[Store]:
        return frozenset(store for needed in self.functions for store in needed.function.stores)

    def topic(self, name: str) -> Topic:
        return next(each for each in self.topics if each.name == name)


def find_topology(slices: Mapping[str, JsonObject], environ: Mapping[str, str]) -> Topology:
    """Return the topology of compiled slices: of the functions that have one.

    `environ` is the environment of the deployment.
    """
    notify = slices["notify"]
    readers = {need.name: need.readers for need in needs(slices, environ)}
    longest_attempt = _largest(notify["destinations"], "timeout_seconds")
    largest_body = int(_largest(slices["receive"]["sources"], "max_body_bytes"))

    def needed_function(function: Function) -> NeededFunction:
        slice_, margin = slices[function.name], function.attempt_margin
        attempt_seconds = 0 if margin is None else math.ceil(longest_attempt) + margin
        with_stores = _with_stores(function, slice_, may_wait="waiting_routes" in notify)
        return NeededFunction(
            _with_topics(with_stores, slice_),
            timeout_seconds=max(function.timeout_seconds, attempt_seconds),
            body_bytes=largest_body * function.copies,
            secrets=tuple(name for name, who in readers.items() if function.name in who),
            variables={name: environ[name] for name in function.variables if environ.get(name)},
            settings={key: found for key in PLATFORM_KEYS if isinstance(found := slice_.get(key), dict)},
            cloud_sql=cloud_sql_instances(slice_),
            places=written_places(slice_),
            sources=bus_sources(slice_) if function.name == RECEIVE else (),
            buses=published_buses(slice_) if function.name == NOTIFY else (),
            spans_to=str(value_at(slice_, "telemetry", "cloud") or ""),
        )

    return Topology(
        functions=tuple(needed_function(each) for each in FUNCTIONS if each.name in slices),
        readers=readers,
        mail=frozenset(mail_transports(notify).values()),
        blobs_seconds=blobs_seconds(retention.retention_of(notify), notify),
        alarms=(*ALARMS, SOURCE_ALARM) if bus_sources(slices["receive"]) else ALARMS,
        log_metrics=(*LOG_METRICS, *(metric for part, metric in FURTHER_METRICS.items() if part in notify)),
        has_tap="develop" in slices["transform"],
    )


def _with_stores(function: Function, slice_: JsonObject, *, may_wait: bool) -> Function:
    """Return the function with the stores that only some configurations need.

    They note when sources were last seen, and keep subscribers and the webhooks that `hookchain hooks` registers. With
    `develop`, transform reads the leases of developers. `may_wait`: routes may wait, because their steps ask other
    systems.
    """
    if "develop" in slice_:
        function = replace(function, reads=(*function.reads, "documents"))
    store_by_key: dict[str, Store] = {"seen": "grants", "subscribers": "documents", "hooks": "documents"}
    used = [store for key, store in store_by_key.items() if key in slice_]
    used += function.asking_stores if may_wait else ()
    return replace(function, stores=tuple(dict.fromkeys((*function.stores, *used))))


def _with_topics(function: Function, slice_: JsonObject) -> Function:
    """Return the function with the topics that it publishes to in this configuration.

    It sends events back only if a route may wait, and recovered ones only if a source has `recover`. If a bus brings
    messages to it, it publishes those that it cannot process as dead letters, because no sender repeats them.
    """
    key_by_topic = {ports.EVENTS: "waiting_routes", ports.RECOVERED: "recover"}
    sends_back = tuple(topic for topic in function.sends_back if key_by_topic[topic] in slice_)
    takes_from_bus = function.name == RECEIVE and bool(bus_sources(slice_))
    publishes = (*function.publishes, ports.DEAD_LETTERS) if takes_from_bus else function.publishes
    return replace(function, sends_back=sends_back, publishes=publishes)


def _largest(entries: Json, setting: str) -> float:
    """Return the largest value of a setting in the entries of a slice's mapping."""
    values = [each[setting] for each in mappings_at(entries).values()]
    return max((float(value) for value in values if isinstance(value, int | float)), default=0.0)
