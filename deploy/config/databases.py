"""Facts about the databases of a configuration, from the slice of notify: where they can be used, and their columns."""

from collections.abc import Iterator, Mapping

from deploy.config.notify_destinations import destinations_of_kind
from functions.notify.destinations.sql.settings import Settings
from shared.jsontext import JsonObject


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
            yield name, "driver: `sqlite` is not for a cloud, whose disk is lost with the instance"
        elif settings.cloud_sql is not None and platform == "aws":
            yield name, "cloud_sql: only Cloud Run has its socket; name the `host`, or deploy to Google Cloud"


def database_warnings(notify: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the warnings about databases and their columns, each after the name of its destination."""
    yield from unreachable_databases(notify, "gcp")  # what cannot be used there cannot be used in any cloud
    yield from untyped_columns(notify)
    yield from texts_as_versions(notify)
