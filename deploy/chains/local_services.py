"""What steps ask with on this machine, outside of any function: secrets from here, the network itself, no memory."""

import os
from collections.abc import Mapping
from pathlib import Path

from functions.transform.step import Services
from shared.cloud.platform import SystemClock, fetch
from shared.ports import Fetch
from shared.secrets import SecretStore, from_environment, from_folder


class FirstOwners:
    """Every event is the first of its key."""

    async def owner(self, _: str, event_id: str, __: float, ___: float) -> str:
        return event_id


def local_services(environ: Mapping[str, str], fetching: Fetch | None = None) -> Services:
    """Secrets as `hookchain dev` has them. `fetching` stands in for the network."""
    folder = Path(environ.get("SECRETS_DIR") or os.devnull)
    readers = (from_folder(folder), from_environment(environ))
    return Services(SecretStore(readers, SystemClock()), fetching or fetch(), FirstOwners(), None)
