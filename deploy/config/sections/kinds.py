"""The kinds of destinations: one module each in `functions/notify/destinations/`, and the operator's own."""

import importlib
import pkgutil
import re
from collections.abc import Iterable
from functools import cache

from pydantic import BaseModel

import functions.notify.destinations as kinds_package
from functions.notify import destination, own_kinds
from shared.did_you_mean import did_you_mean, nearest


@cache
def destination_kinds() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(kinds_package.__path__))


def settings_model(kind: str, own: own_kinds.OwnKinds = own_kinds.NO_OWN_KINDS) -> type[BaseModel]:
    """Return the model of the kind's settings. `own` are the operator's kinds."""
    module = own[kind] if kind in own else importlib.import_module(destination.kind_module(kind, "settings"))
    model: type[BaseModel] = module.Settings
    return model


def speaks_http(kind: str) -> bool:
    """Return whether the kind consists of a request and an outcome."""
    return not hasattr(importlib.import_module(destination.kind_module(kind)), "connect")


def kind_summary(kind: str, own: own_kinds.OwnKinds = own_kinds.NO_OWN_KINDS) -> str:
    """Return the first line about the kind."""
    return (settings_model(kind, own).__doc__ or "").strip().partition("\n")[0]


def suggested_kinds(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'sql'?` for `postgres`: a kind with a similar name, or one whose summary has the word.

    Without one, return the names that exist.
    """
    names = sorted(known)
    about: list[str] = []
    if nearest(name, names) is None:
        word = re.compile(rf"\b{re.escape(name)}", re.IGNORECASE)
        about = [kind for kind in destination_kinds() if word.search(kind_summary(kind))]
    return f"; did you mean {' or '.join(map(repr, about))}?" if about else did_you_mean(name, names)


def no_person_rule(kind: str) -> str:
    """Return the rule for a `to` that the kind does not have."""
    kinds = [each for each in destination_kinds() if getattr(settings_model(each), "person_address", "")]
    return f"{kind!r} cannot address a person. Kinds that can: {', '.join(kinds)}"
