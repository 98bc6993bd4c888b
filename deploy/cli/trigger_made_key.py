"""`hookchain trigger PROVIDER --make-key`: a key pair to sign with in a provider's place, on this machine only."""

import datetime
import os
from pathlib import Path

from deploy.cli.trigger_aim import Aim
from deploy.config.dotenv import read_dotenv
from deploy.requests.private_keys import keep_key, make_pair
from deploy.requests.signing import is_asymmetric
from deploy.secrets.dotenv_backend import DotenvBackend
from shared.secrets import variable_name


def made_key(aim: Aim, env_file: Path, state: Path) -> list[str]:
    """What was done, in lines. Its public half is the newest value of the secret, the others stay.

    Raises ValueError where the provider signs with no key pair, OSError, DotenvFault and PlaceFault.
    """
    way = next((way for way in aim.source.auth if way.secret and is_asymmetric(way)), None)
    if way is None:
        raise ValueError(f"{aim.entry.name} signs with no key pair that could be made here")
    pair = make_pair(way)
    others = read_dotenv(env_file).get(variable_name(way.secret), "").strip("\n")
    folder = Path(os.environ.get("SECRETS_DIR") or "/secrets")
    place = DotenvBackend(env_file, os.environ, folder, datetime.datetime.now(datetime.UTC).date())
    said = place.write(way.secret, "\n".join(filter(None, (pair.public, others))), forget=False)
    path = keep_key(state, way.secret, pair)
    return [f"public half: {line}" for line in said] + [f"private half: kept in {path}"]
