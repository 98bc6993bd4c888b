"""The sources of the compiled slice, as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass

from functions.receive.locations import Location, parse_location
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Auth:
    """One way in. Which of the fields count depends on `scheme`: see functions/receive/authentication.py."""

    scheme: str
    secret: str = ""
    username: str | None = None
    header: str = ""
    parameter: str = ""
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    tolerance_seconds: int = 300


@dataclass(frozen=True, slots=True)
class Source:
    """`auth` passes if any of its ways does. `keep_raw` is `no`, `body` or `all`; `dedupe` is `no` or `body`.

    `unwrap`: what an XML document's one element holds is the data.
    """

    name: str
    auth: tuple[Auth, ...]
    methods: tuple[str, ...] = ("POST",)
    max_body_bytes: int = 1_048_576
    unwrap: bool = False
    keep_raw: str = "no"
    dedupe: str = "no"
    type: Location | None = None
    id: Location | None = None
    subject: Location | None = None
    actor: Location | None = None
    time: Location | None = None


def read_sources(document: JsonObject) -> Mapping[str, Source]:
    """From receive's slice, whose shape the compiler has checked."""
    sources = document["sources"]
    assert isinstance(sources, dict)
    return {name: _source(name, settings) for name, settings in sources.items()}


def _source(name: str, settings: Json) -> Source:
    assert isinstance(settings, dict)
    auth, methods, size = settings["auth"], settings["methods"], settings["max_body_bytes"]
    assert isinstance(auth, list)
    assert isinstance(methods, list)
    assert isinstance(size, int)
    return Source(
        name=name,
        auth=tuple(_auth(entry) for entry in auth),
        methods=tuple(str(method) for method in methods),
        max_body_bytes=size,
        unwrap=settings.get("unwrap") is True,
        keep_raw=str(settings.get("keep_raw", "no")),
        dedupe=str(settings.get("dedupe", "no")),
        type=_location(settings.get("type")),
        id=_location(settings.get("id")),
        subject=_location(settings.get("subject")),
        actor=_location(settings.get("actor")),
        time=_location(settings.get("time")),
    )


def _auth(entry: Json) -> Auth:
    assert isinstance(entry, dict)
    tolerance = entry.get("tolerance_seconds", 300)
    assert isinstance(tolerance, int)
    username = entry.get("username")
    return Auth(
        scheme=str(entry["scheme"]),
        secret=str(entry.get("secret", "")),
        username=None if username is None else str(username),
        header=str(entry.get("header", "")),
        parameter=str(entry.get("parameter", "")),
        algorithm=str(entry.get("algorithm", "sha256")),
        encoding=str(entry.get("encoding", "hex")),
        prefix=str(entry.get("prefix", "")),
        tolerance_seconds=tolerance,
    )


def _location(text: Json) -> Location | None:
    return parse_location(text) if isinstance(text, str) else None
