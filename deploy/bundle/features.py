"""What a function needs beyond its usual packages: the extras of pyproject.toml that its configuration uses."""

from collections.abc import Iterator
from typing import Final

from deploy.config.checks.kinds import settings_model
from functions.transform.read_routes import read_program
from shared.jsontext import Json, JsonObject

PUBLIC_KEYS: Final = frozenset({"ed25519", "ecdsa", "rsa", "aws-sns", "paypal", "standard-webhooks"})
"""Schemes that verify with a public key. Standard Webhooks does where its secret is one, which only the secret says."""


def features(function: str, compiled: JsonObject) -> tuple[str, ...]:
    """The names of extras, each once, in alphabetical order."""
    found = {"receive": _of_sources, "transform": _of_steps, "notify": _of_destinations}[function](compiled)
    return tuple(sorted(set(found)))


def _of_sources(compiled: JsonObject) -> Iterator[str]:
    sources = compiled["sources"]
    assert isinstance(sources, dict)
    for source in sources.values():
        assert isinstance(source, dict)
        if "schema" in source:
            yield "schema"
        auth = source["auth"]
        assert isinstance(auth, list)
        if any(isinstance(way, dict) and _has_public_key(way) for way in auth):
            yield "crypto"


def _has_public_key(way: JsonObject) -> bool:
    if way["scheme"] != "jwt":
        return way["scheme"] in PUBLIC_KEYS
    algorithms = way["algorithms"]
    assert isinstance(algorithms, list)
    return not all(str(algorithm).startswith("HS") for algorithm in algorithms)


def _of_steps(compiled: JsonObject) -> Iterator[str]:
    program = read_program(compiled)
    chains = [*(route.chain.steps for route in program.routes), *program.chains.values()]
    for steps in chains:
        for named in steps:
            yield from named.step.needs()


def _of_destinations(compiled: JsonObject) -> Iterator[str]:
    """A kind of destination says it in `extras`, as a step does."""
    destinations = compiled["destinations"]
    assert isinstance(destinations, dict)
    for kind in {_kind(destination) for destination in destinations.values()}:
        extras: tuple[str, ...] = getattr(settings_model(kind), "extras", ())
        yield from extras


def _kind(destination: Json) -> str:
    assert isinstance(destination, dict)
    return str(destination["kind"])
