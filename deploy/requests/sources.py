"""The sources and routes of the compiled configuration, as whoever sends to them needs them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploy.config.checkout import chosen_config
from deploy.config.configured import Configured
from deploy.config.dev_ports import HOST, Ports
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Source:
    """A source's name, and the entries of its `auth` that take a secret."""

    name: str
    auth: tuple[JsonObject, ...]

    def auth_entry(self, secret: str | None) -> JsonObject | None:
        """Return the entry with the secret of this name, else the first; None where no entry takes a secret."""
        return next((entry for entry in self.auth if entry.get("secret") == secret), next(iter(self.auth), None))


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of a configuration; `configuration` is its name as the operator knows it."""

    configuration: str
    all: JsonObject

    def find(self, name: str) -> Source | None:
        source = self.all.get(name)
        if not isinstance(source, dict) or not isinstance(source.get("auth"), list):
            return None
        return Source(name, tuple(entry for entry in auth_entries(source) if "secret" in entry))

    def named(self, name: str) -> Source:
        """Return the source of this name. Raises ValueError where there is none."""
        if source := self.find(name):
            return source
        raise ValueError(f"there is no source {name!r}{did_you_mean(name, self.all)}")


def load_sources(config: str | None, environ: Mapping[str, str]) -> Sources:
    """Compile the sources of `config`, which may be `none`, else of the environment's. Raises ConfigFaults."""
    from deploy.config.compiler import compile_config, read_config  # slow to import, and often not needed

    path = chosen_config(config, environ)
    file = read_config(path, environ)
    return Sources(str(path or "the configuration without a file"), compiled_sources(compile_config(file)["receive"]))


def compiled_sources(receive: JsonObject) -> JsonObject:
    """Return the sources of receive's slice by name."""
    sources = receive.get("sources")
    return sources if isinstance(sources, dict) else {}


def auth_entries(source: Json) -> list[JsonObject]:
    auth = source.get("auth") if isinstance(source, dict) else None
    return [entry for entry in auth if isinstance(entry, dict)] if isinstance(auth, list) else []


def dev_topic(source: Json) -> str:
    """Return the emulated topic that stands for the source's bus in `hookchain dev`; empty for a source without one."""
    bus = source.get("bus") if isinstance(source, dict) else None
    if not isinstance(bus, dict):
        return ""
    return str(bus.get("pubsub", "")).rpartition("/")[2] or str(bus["name"])


def is_plain_hmac(entry: JsonObject) -> bool:
    """Tell whether the entry is an HMAC of the body alone in a header of its own, which any client can make."""
    unusual = {"each", "timestamp", "id", "body_digest"} & entry.keys()
    is_alone = entry.get("layout", "plain") == "plain" and entry.get("content", "{body}") == "{body}"
    is_text = entry.get("key", "utf8") == "utf8" and "header" in entry
    return entry.get("scheme") == "hmac" and is_alone and is_text and not unusual


def accepts_post(source: Json) -> bool:
    methods = source.get("methods") if isinstance(source, dict) else None
    return not isinstance(methods, list) or "POST" in methods


def page_headers(source: Json) -> dict[str, str]:
    """Return a browser's headers for a source that accepts forms; none for others.

    They are those of a script on the form's page, which gets the response itself and not a redirect to a thanks page.
    """
    form = source.get("form") if isinstance(source, dict) else None
    origins = form.get("origins") if isinstance(form, dict) else None
    return {"Origin": str(origins[0]), "Sec-Fetch-Mode": "cors"} if isinstance(origins, list) and origins else {}


def source_url(name: str, ports: Ports) -> str:
    return f"http://{HOST}:{ports.receive}/{name}"


def standard_webhooks_secrets(receive: JsonObject) -> frozenset[str]:
    """Return the names of the secrets that must be `whsec_` and base64."""
    entries = [entry for source in compiled_sources(receive).values() for entry in auth_entries(source)]
    return frozenset(str(entry.get("secret")) for entry in entries if entry.get("scheme") == "standard-webhooks")


def provider_key(have: Configured, name: str) -> str:
    """Return the key of the source's provider in the catalogue; empty where it names none."""
    document = have.document if isinstance(have.document, dict) else {}
    written = document.get("sources")
    settings: Json = written.get(name) if isinstance(written, dict) else None
    return str(settings.get("provider") or "") if isinstance(settings, dict) else ""


def routes_from(transform: JsonObject, source: str) -> Iterator[JsonObject]:
    routes = transform.get("routes")
    for route in routes if isinstance(routes, list) else []:
        if isinstance(route, dict) and (route.get("from") is None or source in text_list(route.get("from"))):
            yield route


def route_types(routes: Sequence[Json]) -> list[str]:
    """Return the event types that the routes name."""
    return [each for route in routes if isinstance(route, dict) for each in text_list(route.get("types"))]


def text_list(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
