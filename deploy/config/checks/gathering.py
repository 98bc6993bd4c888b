"""Faults of `coalesce`, `digest` and `quiet_hours`, as far as their types do not show them."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from deploy.config.checks.model_faults import fault_at
from deploy.config.compiling.gathering import can_digest, event_recipients
from deploy.config.config_file import ConfigFile
from deploy.config.faults import DocumentPath, Fault
from deploy.config.models.destination import DestinationConfig
from shared.times import duration_text

FOR_PEOPLE = ("digest", "quiet_hours")


def gathering_faults(
    file: ConfigFile, destinations: Mapping[str, DestinationConfig], settings: Mapping[str, BaseModel]
) -> Iterator[Fault]:
    """Yield options that do not fit their destination. `settings` are those of each destination without faults."""
    for name in settings:
        yield from _misplaced(file, ("destinations", name), destinations[name], settings[name])


def _misplaced(
    file: ConfigFile, at: DocumentPath, destination: DestinationConfig, settings: BaseModel
) -> Iterator[Fault]:
    [kind] = destination.kinds
    options = [option for option in FOR_PEOPLE if getattr(destination, option) is not None]
    for option in options:
        if not can_digest(type(settings)):
            rule = f"needs a kind that can deliver a digest, such as `email` or `slack`; got `{kind}`"
            act = "Remove it" if kind == "subscribers" else "Remove it, or use `coalesce`"
            yield fault_at(file, (*at, option), f"{rule}. {act}")
        elif named := event_recipients(settings):
            rule = f"must not be combined with recipients that each event names; got a template in `{named[0]}`"
            act = "Write the recipients out, or name them by `people`"
            yield fault_at(file, (*at, option), f"{rule}: the events of a digest may name several. {act}")
    yield from _expired(file, at, destination)


def _expired(file: ConfigFile, at: DocumentPath, destination: DestinationConfig) -> Iterator[Fault]:
    expiry = destination.expires_after
    waits = {
        "digest.every": destination.digest.every if destination.digest else 0.0,
        "coalesce.max_wait": destination.coalesce.max_wait if destination.coalesce else 0.0,
    }
    for option, wait in waits.items():
        if expiry is not None and 0 < expiry <= wait:
            found = f"got expires_after {duration_text(expiry)} and {option} {duration_text(wait)}"
            rule = f"must be longer than {option}, or events expire while they wait; {found}"
            yield fault_at(file, (*at, "expires_after"), f"{rule}. Raise the first or lower the other")
