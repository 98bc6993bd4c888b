"""What the configuration says of a source: how whoever sends to it proves itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from deploy.config.checkout import chosen_config
from deploy.requests.auth import Auth, Basic, Bearer, Hmac, Password, StandardWebhooks
from shared.did_you_mean import did_you_mean
from shared.jsontext import JsonObject


@dataclass(frozen=True, slots=True)
class Source:
    """`ways` are those of receive's slice that take a secret."""

    name: str
    ways: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """`configuration` is its name as the operator knows it."""

    configuration: str
    all: JsonObject

    def find(self, name: str) -> Source | None:
        source = self.all.get(name)
        auth = source.get("auth") if isinstance(source, dict) else None
        if not isinstance(auth, list):
            return None
        return Source(name, tuple(way for way in auth if isinstance(way, dict) and "secret" in way))

    def named(self, name: str) -> Source:
        """Raises ValueError."""
        if source := self.find(name):
            return source
        raise ValueError(f"there is no source {name!r}{did_you_mean(name, self.all)}")


def known_sources(config: str | None, environ: Mapping[str, str]) -> Sources:
    """`config` counts before the environment, and may be `none`. Raises ConfigFaults."""
    from deploy.config.compiler import compile_config, read_config  # slow to import, and often not needed

    path = chosen_config(config, environ)
    file = read_config(path, environ)
    sources = compile_config(file)["receive"]["sources"]
    assert isinstance(sources, dict)
    return Sources(str(path or "the configuration without a file"), sources)


def way_of(source: Source, secret: str | None) -> JsonObject | None:
    """The way that goes with the secret of this name, else the first; None where the source asks for none."""
    return next((way for way in source.ways if way.get("secret") == secret), next(iter(source.ways), None))


def auth_of(way: JsonObject) -> Auth:
    """Raises ValueError for a way that no header alone can meet, such as a signature with a time in it."""
    match way["scheme"]:
        case "header":
            return Password(str(way["header"]))
        case "basic":
            return Basic(str(way.get("username", "hookchain")))
        case "bearer":
            return Bearer()
        case "hmac" if is_plain(way):
            return Hmac(str(way["header"]), str(way["algorithm"]), str(way["encoding"]), str(way["prefix"]))
        case "standard-webhooks":
            return StandardWebhooks()
        case "link":
            raise ValueError(
                "a link is its own proof: `hookchain link` makes one of this source, to be opened as it is"
            )
        case scheme:
            raise ValueError(f"`hookchain send` cannot sign as this source asks ({scheme}); `hookchain trigger` may")


def is_plain(way: JsonObject) -> bool:
    """An HMAC of the body alone, in a header of its own."""
    unusual = {"key", "each", "timestamp", "id", "body_digest"} & way.keys()
    is_alone = way.get("layout", "plain") == "plain" and way.get("content", "{body}") == "{body}"
    return is_alone and "header" in way and not unusual


def with_token(url: str, source: str, way: JsonObject, token: str) -> str:
    """The URL with the token where the way, `path` or `query`, has it; a URL that has one already stays as it is."""
    parts = urlsplit(url)
    if way["scheme"] == "path":
        path = parts.path.rstrip("/")
        has_token = source in map(unquote, path.split("/")[:-1])
        return url if has_token else parts._replace(path=f"{path}/{quote(token, safe='')}").geturl()
    parameter = str(way["parameter"])
    if parameter in dict(parse_qsl(parts.query, keep_blank_values=True)):
        return url
    pair = f"{quote(parameter, safe='')}={quote(token, safe='')}"
    return parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair).geturl()
