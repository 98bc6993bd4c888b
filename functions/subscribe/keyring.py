"""The keys that are derived from the secret `subscribers-key`. Its values are several while it is rotated."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from functions.subscribe.credentials import PORTAL
from shared.ports import Secrets
from shared.subscribers.sealing import KEY_SECRET, derived_key

if TYPE_CHECKING:
    from shared.subscribers.sealing import Sealer

CURSOR: Final = "cursor"


class Keyring:
    """Each method raises Temporary where the secret is not there, or cannot be used."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def portal_keys(self) -> tuple[bytes, ...]:
        """Return the keys of portal tokens, newest first: the first signs, and all of them verify."""
        return _derived(await self._secrets.values(KEY_SECRET), PORTAL)

    async def cursor_keys(self) -> tuple[bytes, ...]:
        return _derived(await self._secrets.values(KEY_SECRET), CURSOR)

    async def sealer(self) -> "Sealer":
        return _sealer(await self._secrets.values(KEY_SECRET))


@lru_cache(maxsize=8)
def _derived(values: tuple[str, ...], purpose: str) -> tuple[bytes, ...]:
    return tuple([derived_key(value, purpose) for value in values])


@lru_cache(maxsize=2)
def _sealer(values: tuple[str, ...]) -> "Sealer":
    from shared.subscribers.sealing import sealer_of  # with cryptography, which few requests need

    return sealer_of(values)
