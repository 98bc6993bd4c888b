"""The tables that make up each store, and what CreateTable is asked for, which CloudFormation takes too."""

from collections.abc import Mapping
from typing import Final

from deploy.aws.template_names import PREFIX
from deploy.aws.yaml_text import Fields
from deploy.topology.functions import Store
from shared.cloud.aws import tables

TABLES_OF: Final[Mapping[Store, tuple[str, ...]]] = {
    "ledger": (tables.DELIVERIES.name, tables.DESTINATIONS.name),
    "journal": (tables.EVENTS.name, tables.BODIES.name, tables.DEAD_LETTERS.name),
    "owners": (tables.OWNERS.name,),
    "grants": (tables.GRANTS.name,),
    "documents": (tables.DOCUMENTS.name,),
}
CREATE_REQUESTS: Final[Mapping[str, Fields]] = {
    each.name: tables.create_request(each, PREFIX) for each in tables.TABLES
}
"""By the table's name."""
