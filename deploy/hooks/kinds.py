"""The kinds of hooks, by the provider's key in the catalogue."""

from collections.abc import Mapping
from typing import Final

from deploy.hooks import github, stripe
from deploy.hooks.kind import HookKind

KINDS: Final[Mapping[str, HookKind]] = {
    "github": github.KIND,
    "stripe": stripe.KIND,
}
