"""Facts about the places where a configuration can run, and about the data that it stores there, from compiled slices.

They are about databases and accounts that only some clouds have, addresses of this machine, the deliveries that
`hookchain dev` catches, and the time for which large bodies are kept.
"""

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.config.config_file import DocumentPath
from functions.notify.destinations.sql.settings import Settings
from functions.notify.waiting.routes import LEAST_WAIT_SECONDS, MAX_WAIT_FACTOR
from functions.notify.waiting.schedule import JITTER, MAX_ASKED_SECONDS
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at, value_at, values_in
from shared.retention import DAY_SECONDS, Retention


def destinations_of_kind(notify: JsonObject, kind: str) -> dict[str, JsonObject]:
    """Return the settings of the destinations of one kind in notify's slice, by name."""
    destinations = mappings_at(notify, "destinations").items()
    return {name: mapping_at(each, "settings") for name, each in destinations if each.get("kind") == kind}


def sql_destinations(notify: JsonObject) -> Mapping[str, Settings]:
    """Return the settings by the destination's name."""
    return {name: Settings.model_validate(each) for name, each in destinations_of_kind(notify, "sql").items()}


def untyped_columns(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name of each destination that leaves the conversion of values to the database, and a warning."""
    for name, settings in sql_destinations(notify).items():
        if columns := [column for column in settings.columns if settings.type_of(column) is None]:
            rule = "the database may convert a value without an error: 1.5 becomes 2 in an integer, 'yesterday' a date"
            advice = f"Write `{columns[0]}: {{value: …, type: …}}`"
            yield name, f"columns without `type`: {', '.join(columns)}; {rule}. {advice}"


def texts_as_versions(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name of each destination whose `newer_by` is a column of text, and a warning."""
    for name, settings in sql_destinations(notify).items():
        if (column := settings.newer_by) is not None and settings.type_of(column) == "text":
            advice = f"Write `{column}: {{value: …, type: …}}` with the type integer, number, date or time"
            yield name, f"newer_by: {column!r} is a column of text, in which 9 is newer than 10. {advice}"


def cloud_sql_instances(notify: JsonObject) -> tuple[str, ...]:
    """Return the instances of Cloud SQL as project:region:instance, each once, in alphabetical order."""
    return tuple(sorted({each.cloud_sql for each in sql_destinations(notify).values() if each.cloud_sql is not None}))


def unreachable_databases(notify: JsonObject, platform: str) -> Iterator[tuple[str, str]]:
    """Yield each destination whose database a deployment on the platform (`gcp`, `aws`) cannot use, and the rule."""
    for name, settings in sql_destinations(notify).items():
        if settings.driver == "sqlite":
            yield name, "driver: `sqlite` is for `make dev` only: a cloud's disk is lost with the instance"
        elif settings.cloud_sql is not None and platform == "aws":
            yield name, "cloud_sql: only Cloud Run has its socket; name the `host`, or deploy to Google Cloud"


def database_warnings(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the warnings about databases and their columns, each after the name of its destination."""
    yield from unreachable_databases(notify, "gcp")
    yield from untyped_columns(notify)
    yield from texts_as_versions(notify)


def is_caught(destination: Json) -> bool:
    """Return whether the destination, as notify's slice has it, is caught: mails, and rows of sheets without a key."""
    kind = value_at(destination, "kind")
    return kind == "email" or (kind == "sheet" and value_at(destination, "settings", "secret") is None)


def caught_sheets(notify: JsonObject | None) -> Iterator[tuple[str, str]]:
    """Yield the spreadsheet's id and the title of each caught sheet. `notify` is its slice."""
    for each in mappings_at(notify or {}, "destinations").values():
        settings = mapping_at(each, "settings")
        if each.get("kind") == "sheet" and is_caught(each):
            yield str(settings["spreadsheet"]), str(settings["sheet"])


GOOGLE_KINDS: Final = frozenset({"bigquery", "document", "push", "sheet"})
"""The kinds of destinations that can send to Google only. Their `secret` is the key of a service account."""


def without_google_account(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each destination that names no key of an account. `notify` is its slice."""
    for name, each in mappings_at(notify, "destinations").items():
        if _lacks_key(each.get("kind"), mapping_at(each, "settings")):
            yield name, str(each["kind"])


def _lacks_key(kind: Json, settings: JsonObject) -> bool:
    if settings.get("secret") is not None or settings.get("api_url") is not None:
        return False
    match kind:
        case "cloud_build":
            return settings.get("webhook_secret") is None
        case "object":
            return str(settings.get("bucket")).startswith("gs://") and settings.get("endpoint") is None
        case "bus":
            return settings.get("pubsub") is not None
    return kind in GOOGLE_KINDS


_SHARED_FILES: Final = frozenset({"document", "sheet"})
"""The kinds of destinations that write to a file, which its owner has to share with the account."""
_ADDRESS_KEY: Final = re.compile(r"(\w+_)?(url|host|endpoint|server)|otlp")
_HOST: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#@]*@)?(?:\[([^\]]+)\]|([^/:?#]+))", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_only(slices: Mapping[str, JsonObject]) -> Iterator[tuple[DocumentPath, str, str]]:
    """Yield the place, the name and the rule of each part that a deployment cannot use as `make dev` does."""
    notify = slices["notify"]
    transform = slices["transform"]
    for part, word, slice_ in (("destinations", "destination", notify), ("chains", "chain", transform)):
        for name, entry in mapping_at(slice_, part).items():
            yield from _loopbacks((part, name), f"{word} {name!r}", entry)
    for name, source in mapping_at(slices.get("receive"), "sources").items():
        yield from _loopbacks(("sources", name), f"source {name!r}", source)
    for number, route in enumerate(objects_at(transform, "routes")):
        yield from _loopbacks(("routes", number), f"route {route.get('name')!r}", route)
    yield from _loopbacks(("people",), "people", notify.get("people"))
    yield from _loopbacks(("telemetry",), "telemetry", notify.get("telemetry"))
    for name, kind in without_google_account(notify):
        if kind in _SHARED_FILES:
            rule = "on Google Cloud it writes with the account of `notify`, with which you share the file"
            yield ("destinations", name), f"destination {name!r}", f"has no `secret`: {rule}. AWS has no such account"


def google_only(notify: JsonObject) -> Iterator[tuple[DocumentPath, str, str]]:
    """Yield, as local_only does, each part that only a deployment on Google Cloud can use. `notify` is its slice."""
    yield from _telemetry_of(notify, "google_cloud", "Google Cloud", "aws", "AWS")
    for name, entry in mappings_at(notify, "destinations").items():
        if any(auth.get("scheme") == "google" for auth in objects_at(entry, "settings", "auth")):
            rule = "`auth: {scheme: google}` needs the account of a function on Google Cloud, which AWS does not have"
            yield ("destinations", name), f"destination {name!r}", rule


def aws_only(notify: JsonObject) -> Iterator[tuple[DocumentPath, str, str]]:
    """Yield, as local_only does, each part that only a deployment on AWS can use. `notify` is the slice of notify."""
    yield from _telemetry_of(notify, "aws", "AWS", "google_cloud", "Google Cloud")
    for name, entry in mappings_at(notify, "destinations").items():
        if _needs_role(entry.get("kind"), mapping_at(entry, "settings")):
            rule = "has no access key: it needs the role of a function on AWS, which Google Cloud does not have"
            yield ("destinations", name), f"destination {name!r}", f"{rule}. Set `access_key_id` and `secret`"


def _telemetry_of(
    notify: JsonObject, own: str, own_name: str, other: str, other_name: str
) -> Iterator[tuple[DocumentPath, str, str]]:
    if value_at(notify, "telemetry", "cloud") == own:
        rule = f"{own_name} takes spans from its own functions only. On {other_name}, set `telemetry: {other}`"
        yield ("telemetry",), "telemetry", rule


def _needs_role(kind: Json, settings: JsonObject) -> bool:
    if any(auth.get("scheme") == "aws" and auth.get("access_key_id") is None for auth in objects_at(settings, "auth")):
        return True
    if settings.get("access_key_id") is not None:
        return False
    match kind:
        case "object":
            return str(settings.get("bucket")).startswith("s3://")
        case "bus":
            return settings.get("pubsub") is None
    return False


def _loopbacks(place: DocumentPath, where: str, value: Json) -> Iterator[tuple[DocumentPath, str, str]]:
    for key, host in dict.fromkeys(_hosts(value)):
        if is_loopback(host) or host.endswith(".localhost"):
            yield place, where, f"`{key}` is at {host}, which is this machine only: a deployment cannot reach it"


def _hosts(value: Json) -> Iterator[tuple[str, str]]:
    """Yield the host of each address in settings, with its key."""
    for path, item in values_in(value):
        key = str(path[-1]) if path else ""
        if isinstance(item, str) and _ADDRESS_KEY.fullmatch(key) and (found := _HOST.match(item)):
            yield key, (found[1] or found[2]).lower()


LONG_SECONDS: Final = 30 * DAY_SECONDS
"""A schedule of retries that takes longer keeps large bodies for a time that few operators expect."""


def longest_retries(notify: JsonObject) -> tuple[str, float]:
    """Return the destination with the longest schedule of retries in notify's slice, and the seconds that it may take.

    The receiver may ask for a longer wait before each attempt, with `Retry-After`. A day is added for the last attempt.
    """
    waits = {name: each.get("retry_seconds") for name, each in mappings_at(notify, "destinations").items()}
    seconds = {
        name: sum(max(wait, MAX_ASKED_SECONDS) for wait in schedule if isinstance(wait, int | float))
        for name, schedule in waits.items()
        if isinstance(schedule, list)
    }
    name = max(seconds, key=lambda each: seconds[each], default="")
    return name, seconds[name] * (1 + JITTER) + DAY_SECONDS if seconds else 0.0


def waits_seconds(notify: JsonObject) -> float:
    """Return the seconds that a route may wait for a system that its steps ask, with a day for the last attempt."""
    longest = value_at(notify, "waiting_routes", "longest_seconds")
    if not isinstance(longest, int | float):
        return 0.0
    return max(longest * MAX_WAIT_FACTOR, LEAST_WAIT_SECONDS) + DAY_SECONDS


def blobs_seconds(retention: Retention, notify: JsonObject) -> float:
    """Return the seconds for which a body that is too large for a bus is kept.

    A retry, a replay of the event or a replay of its dead letter may need it until then.
    """
    retries = waits_seconds(notify) + longest_retries(notify)[1]
    return retention.bodies_seconds + retries + retention.dead_letters_seconds


def retention_warning(retention: Retention, notify: JsonObject) -> str | None:
    """Return the warning that a schedule of retries keeps large bodies for much longer than `bodies`; None if none."""
    name, seconds = longest_retries(notify)
    if seconds <= max(LONG_SECONDS, retention.bodies_seconds):
        return None
    retry_days = math.ceil(seconds / DAY_SECONDS)
    kept_days = math.ceil(blobs_seconds(retention, notify) / DAY_SECONDS)
    why = f"the retries of {name!r} take up to {retry_days} days, if its receiver asks for a day before each attempt"
    return f"in a cloud, bodies over 200 KiB are kept for {kept_days} days: {why}. Set `retry` there, with fewer waits"
