"""The DynamoDB tables of a deployment, as data: the SAM template, the local AWS and the tests create them from this."""

from dataclasses import dataclass
from typing import Final

EXPIRES_AT: Final = "expires_at"
"""The attribute by which DynamoDB deletes an item, in Unix seconds. It may take days, so conditions compare it too."""


@dataclass(frozen=True, slots=True)
class Index:
    """A sparse index: only items that have both attributes are in it. `sort` is a number."""

    name: str
    partition: str
    sort: str
    projects_all: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a text key. It is billed by request, encrypted, and restorable to any second of 35 days."""

    name: str
    key: str
    indexes: tuple[Index, ...] = ()
