"""The tables of a deployment as CloudFormation's properties, and the tables that make up each store."""

from collections.abc import Mapping
from typing import Final

from deploy.aws.yaml_text import Fields
from deploy.topology.functions import Store
from shared.cloud.aws.tables import EXPIRES_AT as EXPIRES_AT

TABLES_OF: Final[Mapping[Store, tuple[str, ...]]] = {
    "ledger": ("deliveries", "destinations"),
    "journal": ("events", "bodies", "dead-letters"),
    "owners": ("owners",),
}
_NAMES: Final = ("deliveries", "events", "bodies", "dead-letters", "destinations", "owners")


def _request() -> Fields:
    return {
        "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


CREATE_REQUESTS: Final[Mapping[str, Fields]] = {name: _request() for name in _NAMES}
"""What CreateTable is asked for, by the table's name."""
