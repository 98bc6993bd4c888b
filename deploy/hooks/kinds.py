"""The kinds of hooks, by the provider's key in the catalogue."""

from collections.abc import Iterable, Mapping
from typing import Final

from deploy.hooks import airtable, github, gitlab, kind, linear, square, stripe, telegram, twilio

KINDS: Final[Mapping[str, kind.HookKind]] = {
    "airtable": airtable.KIND,
    "github": github.KIND,
    "gitlab": gitlab.KIND,
    "linear": linear.KIND,
    "square": square.KIND,
    "stripe": stripe.KIND,
    "telegram": telegram.KIND,
    "twilio": twilio.KIND,
}
APP_KINDS: Final[Mapping[str, kind.HookKind]] = {"github": github.APP_KIND}
"""The hooks of a provider's applications, which another part of its API manages."""


def kind_at(provider: str, places: Iterable[str]) -> kind.HookKind:
    """Return the kind of the hooks at these places. A source has hooks of one kind only."""
    app_kind = APP_KINDS.get(provider)
    if app_kind and any(app_kind.path_of(each) for each in places):
        return app_kind
    return KINDS[provider]
