"""What a source may say, but seldom means to."""

from collections.abc import Iterator

from deploy.config.catalogue import load_catalogue
from deploy.config.checks.sources import provider_warnings
from deploy.config.compiling.provider import chosen_ways
from deploy.config.models.auth import Auth, LinkAuth, PathAuth, QueryAuth
from deploy.config.models.configuration import BundleConfig
from deploy.config.models.provider import ProviderEntry
from deploy.config.models.signed import DigestAuth, SignedAuth
from deploy.config.models.source import SourceConfig
from functions.receive.signed_part import signs_content
from shared.signatures.way import read_way


def source_warnings(name: str, source: SourceConfig, config: BundleConfig) -> Iterator[str]:
    """Of a configuration without faults."""
    if not source.auth and (source.provider is None or "auth" in source.model_fields_set):
        yield "`auth: none` takes events from anyone who finds its URL"
        if "GET" in source.methods:
            yield "it takes GET from anyone: any page that somebody looks at can send it events; see `hookchain link`"
    for way in source.auth:
        if isinstance(way, PathAuth | QueryAuth):
            yield f"a token in the {way.scheme} ends up in logs and histories; use a header where the sender can"
        yield from auth_warnings(way)
    if _signs(source):
        if source.provider is None and not source.id and not source.dedupe:
            yield (
                "no `id`: two requests with the same signed bytes are one event. Name the sender's own id, or set"
                " `dedupe: delivery_id` if equal bodies are different events, or `dedupe: signed` if that is meant"
            )
    elif source.dedupe == "signed":
        yield "`dedupe: signed` has no effect: its sender signs nothing; set `id`, or `dedupe: body`"
    elif not _has_id(source):
        yield "no `id` and no `dedupe: body`: an event that its sender repeats after a 503 may be delivered twice"
    yield from provider_warnings(source, config.public_url)
    if source.public_url and not source.public_url.endswith((f"/{name}", f"/{name}/")):
        ends = f"it ends with /{name} or /{name}/"
        yield f"`public_url` is the whole URL that its sender calls: {ends}, unless a proxy changes it"
    if source.allow and source.trusted_proxies is None and "trusted_proxies" not in config.model_fields_set:
        yield "`allow` looks at who connects: behind a proxy, as on Cloud Run, say so with `trusted_proxies: 1`"


def _signs(source: SourceConfig) -> bool:
    ways = list(source.auth)
    if source.provider and "auth" not in source.model_fields_set:
        ways = [offered.way for offered in chosen_ways(load_catalogue()[source.provider], source.variant)]
    return bool(ways) and all(signs_content(read_way(way.model_dump(exclude_none=True))) for way in ways)


def _has_id(source: SourceConfig) -> bool:
    """A link for once has one of its own."""
    if source.id or source.dedupe or any(isinstance(way, LinkAuth) for way in source.auth):
        return True
    return source.provider is not None and _tells_apart(load_catalogue()[source.provider])


def _tells_apart(entry: ProviderEntry) -> bool:
    return bool(entry.event.id or entry.event.dedupe)


def auth_warnings(way: Auth) -> Iterator[str]:
    if not isinstance(way, SignedAuth):
        return
    signed = way.content.lower()
    if isinstance(way, DigestAuth) and way.algorithm != "sha384" and not signed.endswith("{secret}"):
        yield (
            "a digest of the secret and what follows it can be lengthened: whoever has seen one signature can sign a"
            " longer body. Use `scheme: hmac` if the sender can, or a `content` that ends with {secret}"
        )
    if not _covers_the_body(way, signed):
        yield "`content` has nothing of the body: who has seen one signature can send any other body with it"
    if way.timestamp and not _covers_the_time(way.timestamp.lower(), signed):
        yield f"`content` has no {{timestamp}}: whoever repeats a request writes another time into {way.timestamp}"


def _covers_the_body(way: SignedAuth, signed: str) -> bool:
    return way.body_digest is not None or any(part in signed for part in ("{body", "{form", "{data."))


def _covers_the_time(place: str, signed: str) -> bool:
    """Where it stands in what is signed as a whole, or is a part of its own."""
    wholes = {"data": ("{body", "{form}"), "form": ("{body", "{form}"), "query": ("{url}",)}
    return any(part in signed for part in ("{timestamp}", f"{{{place}}}", *wholes.get(place.partition(".")[0], ())))
