"""The destinations of the kind `sql` in notify's slice: where their databases are, and which platform reaches them."""

from collections.abc import Iterator, Mapping

from functions.notify.destinations.sql.settings import Settings
from shared.jsontext import JsonObject

KIND = "sql"


def sql_destinations(notify: JsonObject) -> Mapping[str, Settings]:
    """Return the settings by the destination's name."""
    destinations = notify.get("destinations")
    found = destinations.items() if isinstance(destinations, dict) else ()
    return {
        name: Settings.model_validate(each.get("settings"))
        for name, each in found
        if isinstance(each, dict) and each.get("kind") == KIND
    }


def untyped_columns(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name of each destination that leaves the conversion of values to the database, and a warning."""
    for name, settings in sql_destinations(notify).items():
        if columns := [column for column in settings.columns if settings.type_of(column) is None]:
            rule = "the database may convert a value without an error: 1.5 becomes 2 in an integer, 'yesterday' a date"
            advice = f"Write `{columns[0]}: {{value: …, type: …}}`"
            yield name, f"columns without `type`: {', '.join(columns)}; {rule}. {advice}"


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
