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


def kind_at(provider: str, places: Iterable[str]) -> kind.HookKind:
    """Return the kind of the hooks at these places. A source has hooks of one kind only.

    The hook of a GitHub App is of another kind than those of repositories and organizations.
    """
    if provider == "github" and any(github.APP_KIND.path_of(each) for each in places):
        return github.APP_KIND
    return KINDS[provider]
