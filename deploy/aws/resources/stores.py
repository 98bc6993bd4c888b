"""The stores: DynamoDB's tables, and the bucket of large bodies.

A deployment has all tables, also that of subscribers' documents where its configuration has none. An empty table costs
nothing. One that came and went with the configuration would outlive its stack, which could not create it again.
"""

from collections.abc import Mapping
from typing import Final

from deploy.aws import template_names as names
from deploy.topology.functions import Store
from shared.cloud.aws import tables
from shared.jsontext import JsonObject

TABLES_OF: Final[Mapping[Store, tuple[str, ...]]] = {
    "ledger": (tables.DELIVERIES.name, tables.DESTINATIONS.name),
    "journal": (tables.EVENTS.name, tables.BODIES.name, tables.DEAD_LETTERS.name),
    "owners": (tables.OWNERS.name,),
    "grants": (tables.GRANTS.name,),
    "documents": (tables.DOCUMENTS.name,),
}
CREATE_REQUESTS: Final[Mapping[str, JsonObject]] = {
    each.name: tables.create_request(each, names.PREFIX) for each in tables.TABLES
}
"""By the table's name."""
