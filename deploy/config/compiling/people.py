"""The part of notify's slice that lists the people."""

from collections.abc import Mapping

from pydantic import BaseModel

from deploy.config.checks.people import ListedPeople
from deploy.config.models.configuration import Configuration
from deploy.config.models.people import PeopleUrl
from shared.jsontext import JsonObject


def compiled_people(config: Configuration, people: ListedPeople, settings: Mapping[str, BaseModel]) -> JsonObject:
    """Return the list, or the URL of it; nothing where the `to` of no destination names a person."""
    if not any(getattr(model, "recipient", None) for model in settings.values()):
        return {}
    at_url = config.people.model_dump(exclude_none=True) if isinstance(config.people, PeopleUrl) else {}
    rows: JsonObject = {"rows": [_without_empty(row) for row in people.rows]}
    providers: JsonObject = {name: source.provider for name, source in config.sources.items() if source.provider}
    return {"people": {**(at_url or rows), "providers": providers}}


def _without_empty(row: JsonObject) -> JsonObject:
    return {key: value for key, value in row.items() if value not in (None, "", [])}
