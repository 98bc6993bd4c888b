"""The kinds of hooks, by the provider's key in the catalogue."""

from collections.abc import Mapping
from typing import Final

from deploy.hooks import airtable, github, gitlab, linear, square, stripe, telegram, twilio
from deploy.hooks.kind import HookKind

KINDS: Final[Mapping[str, HookKind]] = {
    "airtable": airtable.KIND,
    "github": github.KIND,
    "gitlab": gitlab.KIND,
    "linear": linear.KIND,
    "square": square.KIND,
    "stripe": stripe.KIND,
    "telegram": telegram.KIND,
    "twilio": twilio.KIND,
}
