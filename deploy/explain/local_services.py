"""What steps ask with on this machine, outside of any function: secrets from here, the network itself, no memory."""

from collections.abc import Mapping
from pathlib import Path

from functions.transform.step import Services
from shared.cloud.platform import SystemClock, fetch
from shared.ports import Clock, Fetch
from shared.secrets import SecretStore, from_environment, from_folder


class FirstOwners:
    """Every event is the first of its key."""

    async def owner(self, _: str, event_id: str, __: float, ___: float) -> str:
        return event_id


def local_services(environ: Mapping[str, str], fetching: Fetch | None = None) -> Services:
    """`fetching` stands in for the network."""
    return Services(secrets_here(environ), fetching or fetch(), FirstOwners(), None)


def secrets_here(environ: Mapping[str, str], clock: Clock | None = None) -> SecretStore:
    """As `hookchain dev` has them: a mounted file, else the environment, of which .env may be a part."""
    folder = Path(environ.get("SECRETS_DIR") or "/secrets")
    return SecretStore((from_folder(folder), from_environment(environ)), clock or SystemClock())
