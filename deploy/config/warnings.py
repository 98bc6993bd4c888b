"""The warnings about a configuration: what it may say, and what is seldom intended."""

from collections.abc import Iterator, Mapping

from deploy.config.config_file import ConfigFile, Fault, misleading_values
from deploy.config.configuration import Configuration
from deploy.config.route_warnings import comparison_rules, number_warnings, route_warnings, schema_warnings
from deploy.config.sections.alerts import alert_destinations
from deploy.config.sections.auth import Auth, LinkAuth, PathAuth, QueryAuth
from deploy.config.sections.bus_source import BusSourceConfig
from deploy.config.sections.catalogue import chosen_schemes, load_catalogue, signs_url
from deploy.config.sections.source import SourceConfig
from deploy.config.sections.subscribers import subscribers_destinations, subscribers_warnings
from deploy.config.slices import retention_warning
from shared.config.signed import DigestAuth, SignedAuth
from shared.jsontext import JsonObject
from shared.retention import retention_of
from shared.signatures.auth_scheme import read_scheme


def configuration_warnings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> list[Fault]:
    """Return the warnings that the file and its slices alone give, by line."""
    receive, transform = slices["receive"], slices["transform"]
    found = {*misleading_values(file), *_source_warnings(file), *_unused_names(file), *route_warnings(file, transform)}
    found |= {*number_warnings(file, receive, transform), *schema_warnings(file, receive, transform)}
    found |= {*_success_warnings(file)}
    return sorted({*found, *subscribers_warnings(file), *_retention_warnings(file, slices["notify"])})


def _retention_warnings(file: ConfigFile, notify: JsonObject) -> Iterator[Fault]:
    """Yield a warning where `bodies` is set, and does not decide how long a large body is kept."""
    if "bodies" in file.mapping("retention") and (rule := retention_warning(retention_of(notify), notify)):
        yield Fault(file.line(("retention", "bodies")), "retention.bodies", rule)


def _success_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield the comparisons in `success_when` that the response's status can never meet."""
    config = Configuration.model_validate(file.document)
    for name, destination in config.destinations.items():
        for rule in comparison_rules(destination.success_when, ("status",)) if destination.success_when else ():
            place = ("destinations", name, "success_when")
            yield Fault(file.line(place), f"destination {name!r}", f"`success_when` {rule}")


def _source_warnings(file: ConfigFile) -> Iterator[Fault]:
    config = Configuration.model_validate(file.document)
    for name, source in config.sources.items():
        for rule in source_warnings(name, source, config):
            yield Fault(file.line(("sources", name)), f"source {name!r}", rule)


def _unused_names(file: ConfigFile) -> Iterator[Fault]:
    """Yield the sources and destinations that no route uses."""
    config = Configuration.model_validate(file.document)
    for name in config.sources:
        if not any(name in route.from_ or "all" in route.from_ for route in config.routes):
            rule = "no route matches its events: they are stored and not delivered"
            yield Fault(file.line(("sources", name)), f"source {name!r}", rule)
    used = {name for route in config.routes for name in route.to}
    used |= {each.otherwise for each in config.destinations.values() if each.otherwise is not None}
    used |= {*alert_destinations(config.alerts, config.sources, config.destinations)}
    used |= {*subscribers_destinations(config.subscribers)}
    for name in config.destinations:
        if name not in used:
            yield Fault(file.line(("destinations", name)), f"destination {name!r}", "no route leads to it")


def source_warnings(name: str, source: SourceConfig, config: Configuration) -> Iterator[str]:
    if source.bus:
        yield from bus_warnings(source.bus)
        return
    if not source.auth and (source.provider is None or "auth" in source.model_fields_set):
        yield "`auth: none` accepts events from anyone who finds its URL"
        if "GET" in source.methods:
            yield "it accepts GET from anyone, so any page that somebody opens can send it events; see `hookchain link`"
    for scheme in source.auth:
        if isinstance(scheme, PathAuth | QueryAuth):
            yield f"a token in the {scheme.scheme} ends up in logs and histories; use a header if the sender can"
        yield from auth_warnings(scheme)
    yield from _identity_warnings(source)
    yield from provider_warnings(source, config.public_url)
    if source.public_url and not source.public_url.endswith((f"/{name}", f"/{name}/")):
        ending = f"it ends with /{name} or /{name}/"
        yield f"`public_url` must be the whole URL that its sender calls: {ending}, unless a proxy changes it"
    if source.allow and source.trusted_proxies is None and "trusted_proxies" not in config.model_fields_set:
        yield "`allow` checks the address that connects; behind a proxy, as on Cloud Run, add `trusted_proxies: 1`"


def bus_warnings(bus: BusSourceConfig) -> Iterator[str]:
    """Yield on which clouds the source gets no messages, or not all."""
    if bus.kind == "pubsub":
        yield "`pubsub` brings messages on Google Cloud and with `make dev`: on AWS, this source gets none"
    elif bus.kind != "bucket":
        yield f"`{bus.kind}` brings messages on AWS: on Google Cloud, this source gets none"
    elif lacking := [each for each in bus.events if each not in ("finalize", "delete")]:
        yield f"S3 has no event for {' and '.join(lacking)}: on AWS, this source gets none of these"


def _identity_warnings(source: SourceConfig) -> Iterator[str]:
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


def _signs(source: SourceConfig) -> bool:
    schemes = list(source.auth)
    if source.provider and "auth" not in source.model_fields_set:
        schemes = [offered.scheme for offered in chosen_schemes(load_catalogue()[source.provider], source.variant)]
    return bool(schemes) and all(read_scheme(each.model_dump(exclude_none=True)).signs_content for each in schemes)


def _has_id(source: SourceConfig) -> bool:
    """A link that is valid once has an id of its own."""
    if source.id or source.dedupe or any(isinstance(scheme, LinkAuth) for scheme in source.auth):
        return True
    event = load_catalogue()[source.provider].event if source.provider else None
    return event is not None and bool(event.id or event.dedupe)


def provider_warnings(source: SourceConfig, default_url: str | None) -> Iterator[str]:
    """Yield warnings about what the source takes from the catalogue; none for an unknown provider."""
    entry = load_catalogue().get(source.provider or "")
    if entry is None or "auth" in source.model_fields_set:
        return
    for name, param in entry.params.items():
        if param.recommended and name not in source.params:
            yield f"no param {name}: {param.about}"
    schemes = [offered.scheme for offered in chosen_schemes(entry, source.variant)]
    if source.tolerance == 0 and any(map(_signs_time, schemes)):
        yield f"`tolerance: 0s` rejects all requests of {entry.name}: a request always arrives after its timestamp"
    if not (source.public_url or default_url) and any(map(signs_url, schemes)):
        yield f"{entry.name} signs the URL that you gave it: set `public_url` to it, unless no proxy changes it"


def _signs_time(scheme: Auth) -> bool:
    """Return whether the age of a request is compared with the tolerance."""
    has_age = scheme.scheme in {"standard-webhooks", "contentful", "aws-sns", "paypal"}
    return has_age or bool(getattr(scheme, "timestamp", None) or getattr(scheme, "max_age", None))


def auth_warnings(scheme: Auth) -> Iterator[str]:
    """Yield what a signature scheme leaves open to an attacker."""
    if not isinstance(scheme, SignedAuth):
        return
    content = scheme.content.lower()
    if isinstance(scheme, DigestAuth) and scheme.algorithm != "sha384" and not content.endswith("{secret}"):
        yield (
            "a digest of the secret and the text after it can be extended: whoever has seen one signature can sign a"
            " longer body. Use `scheme: hmac` if the sender can, or a `content` that ends with {secret}"
        )
    if not _covers_body(scheme, content):
        yield "`content` does not cover the body: whoever has seen one signature can send any other body with it"
    if scheme.timestamp and not _covers_time(scheme.timestamp.lower(), content):
        yield (
            f"`content` does not cover {{timestamp}}: whoever repeats a request can write another time into"
            f" {scheme.timestamp}"
        )


def _covers_body(scheme: SignedAuth, content: str) -> bool:
    return scheme.body_digest is not None or any(part in content for part in ("{body", "{form", "{data."))


def _covers_time(location: str, content: str) -> bool:
    """Return whether the time is signed, on its own or as a part of the body, the form or the URL."""
    wholes = {"data": ("{body", "{form}"), "form": ("{body", "{form}"), "query": ("{url}",)}
    around = wholes.get(location.partition(".")[0], ())
    return any(part in content for part in ("{timestamp}", f"{{{location}}}", *around))
