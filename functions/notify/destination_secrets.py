"""The secrets that a destination's settings name.

missing, or not valid     Disabled: the destination is held until an operator sets the secret and resumes it. So it is
                          where the settings name none, and the platform has no account or role to use in its place
denied by the platform    RetryLater, with a pause: a grant takes effect by itself after minutes. Where an account may
                          read single secrets only, the platform answers the same for a secret that is missing
a store that is down      Temporary: the bus brings the delivery again
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from functions.notify.http_kind import SecretValues, unusable_secret
from shared import errors, ports
from shared.delivery import Disabled, Failed, Outcome, RetryLater
from shared.secrets import READ_SECONDS, SecretDenied, SecretMissing

DENIED_PAUSE_SECONDS: Final = 300.0
URL_CODES: Final = frozenset({"address_blocked", "invalid_url"})
NO_SECRETS: Final[SecretValues] = MappingProxyType({})


def outcome_of_fault(error: errors.Temporary) -> Disabled | RetryLater:
    """Return the outcome where the destination's secret, or a missing one, is at fault. Raises any other error."""
    if isinstance(error, SecretDenied):
        advice = "set it with `hookchain secrets set`, and deploy again, which grants the right to read it"
        return RetryLater(f"{error.detail}: {advice}", pause_destination_seconds=DENIED_PAUSE_SECONDS)
    if error.code not in {"secret_unusable", "identity_missing"}:
        raise error
    return Disabled(error.detail)


def outcome_of_url_fault(name: str, error: errors.Permanent) -> Disabled:
    """Return the outcome where the URL that a secret holds gets no requests. Raises the error of any other fault."""
    if error.code not in URL_CODES:
        raise error
    return Disabled(unusable_secret(name, f"holds a URL that gets no requests ({error.detail})").detail)


class DestinationSecrets:
    """The secrets with these names. A setting that names no secret is None."""

    def __init__(self, secrets: ports.Secrets, names: Sequence[str | None]) -> None:
        self._secrets = secrets
        self._names = [name for name in names if name is not None]

    async def read(self) -> SecretValues:
        """Raises Temporary: with the code `secret_unusable` where the operator has to set a secret."""
        return {name: await self._values(name) for name in self._names}

    def outcome_of_fault(self, error: errors.Temporary) -> Outcome:
        return outcome_of_fault(error)

    async def _values(self, name: str) -> tuple[str, ...]:
        try:
            return await self._secrets.values(name)
        except SecretMissing as error:
            raise unusable_secret(name, "does not exist") from error
        except errors.Temporary as error:
            if error.code != "secret_weak":
                raise
            raise unusable_secret(name, error.detail.removeprefix(f"secret {name!r} ")) from error

    async def unless_changed(self, outcome: Outcome, used: SecretValues) -> Outcome:
        """Return RetryLater for Disabled where the operator has set another secret since.

        The values in use may be minutes old.
        """
        several = [name for name, values in used.items() if len(values) > 1]
        if (
            several
            and isinstance(outcome, Disabled | Failed | RetryLater)
            and outcome.answer.startswith(("401", "403"))
        ):
            rule = (
                f"the secret {several[0]!r} has several values, of which the first line is sent: it must be the newest"
            )
            outcome = replace(outcome, reason=f"{outcome.reason}; {rule}")
        if not isinstance(outcome, Disabled):
            return outcome
        try:
            async with asyncio.timeout(READ_SECONDS):
                is_same = all([await self._secrets.values(name, fresh=True) == values for name, values in used.items()])
        except (errors.Temporary, TimeoutError):
            return outcome
        return outcome if is_same else RetryLater(f"{outcome.reason}; a secret was set since", 0.0, outcome.answer)
