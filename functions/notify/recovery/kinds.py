"""The kinds of recovery, by the provider's key in the catalogue."""

from collections.abc import Mapping
from typing import Final

from functions.notify.recovery import airtable, github, gitlab, square, stripe
from functions.notify.recovery.kind import RecoveryKind

KINDS: Final[Mapping[str, RecoveryKind]] = {
    "airtable": airtable.KIND,
    "github": github.KIND,
    "gitlab": gitlab.KIND,
    "square": square.KIND,
    "stripe": stripe.KIND,
}
