"""The sources of receive's slice: where each is sent to, and how its senders prove themselves."""

from typing import Final

from deploy.config.ports import HOST, Ports
from shared.jsontext import Json, JsonObject
from shared.secrets import variable_name

SIGNED: Final = {"hmac": "a signature", "standard-webhooks": "a Standard Webhooks signature"}


def sources_of(receive: JsonObject) -> JsonObject:
    sources = receive.get("sources")
    return sources if isinstance(sources, dict) else {}


def standard_webhooks_secrets(receive: JsonObject) -> frozenset[str]:
    """The names of the secrets that must be `whsec_` and base64."""
    ways = [way for source in sources_of(receive).values() for way in ways_of(source)]
    return frozenset(str(way.get("secret")) for way in ways if way.get("scheme") == "standard-webhooks")


def source_url(name: str, ports: Ports) -> str:
    return f"http://{HOST}:{ports.receive}/{name}"


def source_lines(sources: JsonObject, ports: Ports) -> list[str]:
    """One a source: its URL and how a sender proves itself."""
    width = max((len(source_url(name, ports)) for name in sources), default=0)
    return [f"{source_url(name, ports).ljust(width)}  {_ways(source)}" for name, source in sources.items()]


def _ways(source: Json) -> str:
    return " or ".join(dict.fromkeys(_way(way) for way in ways_of(source)))


def ways_of(source: Json) -> list[JsonObject]:
    auth = source.get("auth") if isinstance(source, dict) else None
    return [way for way in auth if isinstance(way, dict)] if isinstance(auth, list) else []


def page_headers(source: Json) -> dict[str, str]:
    """What a browser says of the page that a form is on, for a source that takes forms: as a script of that page posts,
    which gets the answer itself and not the way to the thanks page."""
    form = source.get("form") if isinstance(source, dict) else None
    origins = form.get("origins") if isinstance(form, dict) else None
    return {"Origin": str(origins[0]), "Sec-Fetch-Mode": "cors"} if isinstance(origins, list) and origins else {}


def takes_post(source: Json) -> bool:
    methods = source.get("methods") if isinstance(source, dict) else None
    return not isinstance(methods, list) or "POST" in methods


def _way(way: JsonObject) -> str:
    variable = variable_name(str(way.get("secret", "")))
    match way.get("scheme"):
        case "none":
            return "anybody may send"
        case "basic":
            user = f"user {way['username']}" if way.get("username") else "any user"
            return f"basic auth, {user}, password {variable}"
        case "header":
            return f"header {way.get('header')}: {variable}"
        case "bearer":
            return f"bearer token {variable}"
        case "path":
            return f"/{variable} at the end of the URL"
        case "query":
            return f"?{way.get('parameter')}={variable}"
        case scheme if not way.get("secret"):
            return f"{scheme}, which takes no secret"
        case scheme:
            return f"{SIGNED.get(str(scheme), str(scheme))} made with {variable}"
