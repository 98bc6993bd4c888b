"""The secrets that a destination's settings name, and the outcome if one of them cannot be used.

missing, or not valid     Disabled: the destination is held until an operator sets the secret and resumes it. The same
                          applies if no secret is named and the platform has no account or role to use instead
denied by the platform    RetryLater, with a pause, because a permission takes effect after some minutes. If the account
                          may read only certain secrets, the platform's answer is the same for a missing secret
the store is down         Temporary: the bus brings the delivery again
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from functions.notify.http_kind import SecretValues, unusable_secret
from shared import errors, fetch, ports
from shared.delivery import Disabled, Failed, Outcome, RetryLater
from shared.secrets import READ_SECONDS, SecretDenied, SecretMissing

DENIED_PAUSE_SECONDS: Final = 300.0
URL_CODES: Final = frozenset({"address_blocked", "invalid_url"})
NO_SECRETS: Final[SecretValues] = {}


def outcome_of_fault(error: errors.Temporary) -> Disabled | RetryLater:
    """Return the outcome for an error that a missing or unusable secret caused. Raise any other error."""
    if isinstance(error, SecretDenied):
        advice = "set it with `hookchain secrets set`, and deploy again, which grants the right to read it"
        return RetryLater(f"{error.detail}: {advice}", pause_destination_seconds=DENIED_PAUSE_SECONDS)
    if error.code not in {"secret_unusable", "identity_missing"}:
        raise error
    return Disabled(error.detail)


def outcome_of_url_fault(name: str, error: errors.Permanent) -> Disabled | RetryLater:
    """Return the outcome for an error about the URL in a secret, to which nothing may be sent. Raise any other."""
    if isinstance(error, fetch.NameBlocked):
        return RetryLater(f"{error.code}: {error.detail}")
    if error.code not in URL_CODES:
        raise error
    return Disabled(unusable_secret(name, f"holds a URL that gets no requests ({error.detail})").detail)


class DestinationSecrets:
    """The secrets of a destination. In `names`, None stands for a setting that names no secret."""

    def __init__(self, secrets: ports.Secrets, names: Sequence[str | None]) -> None:
        self._secrets = secrets
        self._names = [name for name in names if name is not None]

    async def read(self) -> SecretValues:
        """Return the values of the secrets. Raises Temporary, with `secret_unusable` if the operator must set one."""
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
        """Return the outcome of an attempt that used these values. If it is Disabled and a secret was changed since,
        return RetryLater instead: the values in use may be minutes old.

        After a 401 or 403, the reason also mentions a secret with several values.
        """
        names_with_several_values = [name for name, values in used.items() if len(values) > 1]
        if (
            names_with_several_values
            and isinstance(outcome, Disabled | Failed | RetryLater)
            and outcome.answer.startswith(("401", "403"))
        ):
            name = names_with_several_values[0]
            rule = f"the secret {name!r} has several values, of which the first line is sent: it must be the newest"
            outcome = replace(outcome, reason=f"{outcome.reason}; {rule}")
        if not isinstance(outcome, Disabled):
            return outcome
        try:
            async with asyncio.timeout(READ_SECONDS):
                is_same = all([await self._secrets.values(name, fresh=True) == values for name, values in used.items()])
        except (errors.Temporary, TimeoutError):
            return outcome
        return outcome if is_same else RetryLater(f"{outcome.reason}; a secret was set since", 0.0, outcome.answer)
