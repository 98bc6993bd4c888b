"""The kinds of recovery, by the provider's key in the catalogue."""

from collections.abc import Mapping
from typing import Final

from functions.notify.recovery import airtable, github, gitlab, kind, square, stripe

KINDS: Final[Mapping[str, kind.RecoveryKind]] = {
    "airtable": airtable.KIND,
    "github": github.KIND,
    "gitlab": gitlab.KIND,
    "square": square.KIND,
    "stripe": stripe.KIND,
}
