"""The line that does what was only tried: the same selection, its times made fixed."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.history.replay import DEFAULT_RATE
from shared.settings import DEFAULT_STATE
from shared.times import rfc3339

TIMES: Final = frozenset({"since", "until"})
PLACE: Final = ("state", "platform", "project", "region", "prefix")
_DEFAULTS: Final = {"rate": DEFAULT_RATE, "state": Path(DEFAULT_STATE), "platform": "local"}


def line_to_do_it(command: str, options: argparse.Namespace, filters: Sequence[str], now: float) -> str:
    """`filters` are the options that chose. What arrives after `now` is another matter, so it is left out."""
    given = vars(options)
    words = ["hookchain", *command.split(), *given.get("ids", [])]
    if not given.get("ids") and "until" in given and given["until"] is None:
        given = {**given, "until": now}
    for name in (*filters, "only", "force", "rate", *PLACE):
        value = given.get(name)
        if value is None or value is False or value == _DEFAULTS.get(name):
            continue
        words.append(f"--{name}")
        if value is not True:
            words.append(rfc3339(value) if name in TIMES else f"{value:g}" if isinstance(value, float) else str(value))
    return shlex.join([*words, "--yes"])
