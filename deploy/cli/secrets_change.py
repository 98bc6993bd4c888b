"""`hookchain secrets set` and `rotate`: a new value, in place of the old ones or before them."""

import argparse
import sys

from deploy.cli.ending import DONE, NOT_DONE
from deploy.cli.secrets_value import new_text
from deploy.config.configured import configured
from deploy.config.faults import ConfigFaults
from deploy.history.platform_options import same_platform
from deploy.secrets.backend import SecretBackend
from deploy.secrets.needs import Need, needs
from deploy.secrets.values import count_short, joined, rotated, validated_values
from deploy.terminal.command_error import CannotTell
from shared.did_you_mean import did_you_mean


def set_secret(options: argparse.Namespace, place: SecretBackend) -> int:
    need = _need(options)
    values = validated_values(new_text(options.random, need.ways), need.ways)
    before = place.find([need.name]).get(need.name)
    for line in place.write(need.name, joined(values), forget=False):
        print(f"{need.name}: {line}")
    if before and before.values and not set(before.values) & set(values):
        print(f"{need.name}: the value it had counts no more; `rotate` would have kept it for a while")
    _tell_more(options, place, need, values)
    return DONE


def rotate_secret(options: argparse.Namespace, place: SecretBackend) -> int:
    need = _need(options)
    before = place.find([need.name]).get(need.name)
    if before is None:
        raise CannotTell(f"{need.name} is not there yet: hookchain secrets set {need.name}{same_platform(options)}")
    if before.trouble:
        raise CannotTell(f"{need.name} {before.trouble}")
    if options.drop_old:
        return _drop_old(place, need, before.values)
    [new, *more] = validated_values(new_text(options.random, need.ways), need.ways)
    if more:
        raise CannotTell("rotate takes one new value; `set` takes several, one a line")
    values = rotated(new, before.values, options.keep)
    for line in place.write(need.name, joined(values), forget=False):
        print(f"{need.name}: {line}")
    print(
        f"{need.name}: {len(values)} values are taken now, the new one signs. Within 5 minutes every function knows it."
    )
    print(f"Give the sender the new one, then: hookchain secrets rotate {need.name} --drop-old{same_platform(options)}")
    _tell_more(options, place, need, values[:1])
    return DONE


def _drop_old(place: SecretBackend, need: Need, values: tuple[str, ...]) -> int:
    if len(values) < 2:
        print(f"{need.name}: there is no old value to drop", file=sys.stderr)
        return NOT_DONE
    for line in place.write(need.name, joined(values[:1]), forget=True):
        print(f"{need.name}: {line}")
    print(f"{need.name}: one value is taken now, the newest")
    return DONE


def _need(options: argparse.Namespace) -> Need:
    """What the configuration says of it; a name that it has not may be one that it will have."""
    name: str = options.name
    try:
        known = needs((have := configured(options)).slices, have.environ)
    except ConfigFaults as faults:
        print(f"warning: the configuration has faults, see `hookchain lint`: {faults.file}", file=sys.stderr)
        return Need(name, (), ())
    found = next((need for need in known if need.name == name), None)
    if found is None:
        hint = did_you_mean(name, [need.name for need in known])
        print(f"warning: the configuration needs no secret {name!r}{hint}", file=sys.stderr)
    return found or Need(name, (), ())


def _tell_more(options: argparse.Namespace, place: SecretBackend, need: Need, values: tuple[str, ...]) -> None:
    if count_short(values):
        print("warning: it has fewer than 16 characters: a long random one cannot be guessed", file=sys.stderr)
    if options.random:
        print(f"{need.name}: to see the value that was made: {place.how_to_read(need.name)}")
