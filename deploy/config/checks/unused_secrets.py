"""Warnings about variables in .env that nothing reads, such as a renamed or mistyped secret."""

import re
from collections.abc import Collection, Iterator
from inspect import getdoc
from typing import Final

from deploy.config.faults import Fault
from shared.did_you_mean import did_you_mean
from shared.secrets import variable_name
from shared.settings import Settings

_NAME: Final = re.compile(r"\b[A-Z][A-Z0-9_]{2,}\b")
_OTHERS: Final = ("EMAIL_", "HOOKCHAIN_", "PORT", "GOOGLE_", "GCE_", "SENDGRID_", "SMTP_", "CLOUDSDK_", "PUBSUB_")
"""Variables that commands, other programs or some destinations read."""


def unused_secrets(env_file: str, variables: Collection[str], secrets: Collection[str]) -> Iterator[Fault]:
    """Yield the warnings. `variables` are those of the file, `secrets` the names of the needed secrets."""
    needed = {variable_name(name) for name in secrets}
    known = needed | set(_NAME.findall(getdoc(Settings) or ""))
    for variable in sorted(variables):
        if variable not in known and not variable.startswith(_OTHERS):
            hint = did_you_mean(variable, needed)
            near = hint if hint.startswith("; did") else ""
            yield Fault(0, f"{env_file}: {variable}", f"no needed secret and no setting has this name{near}")
