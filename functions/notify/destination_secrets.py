"""The secrets that a destination's settings name. One that is missing or rejected holds what is owed to it."""

import asyncio
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from functions.notify.http_kind import SecretValues, unusable_secret
from shared.delivery import Disabled, RetryLater
from shared.errors import Temporary
from shared.ports import Secrets
from shared.secrets import READ_SECONDS, SecretMissing

NO_SECRETS: Final[SecretValues] = MappingProxyType({})


class DestinationSecrets:
    def __init__(self, secrets: Secrets, names: Sequence[str]) -> None:
        self._secrets = secrets
        self._names = names

    async def read(self) -> SecretValues:
        """Raises Temporary: with the code `secret_unusable` where the operator has to set a secret."""
        return {name: await self._values(name) for name in self._names}

    async def _values(self, name: str) -> tuple[str, ...]:
        try:
            return await self._secrets.values(name)
        except SecretMissing as error:
            raise unusable_secret(name, "does not exist") from error
        except Temporary as error:
            if error.code != "secret_weak":
                raise
            raise unusable_secret(name, error.detail.removeprefix(f"secret {name!r} ")) from error

    async def unless_changed(self, disabled: Disabled, used: SecretValues) -> Disabled | RetryLater:
        """Return RetryLater where the operator has set another secret since: the values in use may be minutes old."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                is_same = all([await self._secrets.values(name, fresh=True) == values for name, values in used.items()])
        except (Temporary, TimeoutError):
            return disabled
        return disabled if is_same else RetryLater(f"{disabled.reason}; a secret was set since", 0.0, disabled.answer)
