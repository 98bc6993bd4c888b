"""The last lines of a deployment: each source's URL with a line that posts to it, and the commands that come next."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from deploy.requests.command_lines import CURL_SCHEMES, example_line
from deploy.requests.events import make_example_event, routed_type
from deploy.requests.fitting import fitting_data
from deploy.requests.sources import auth_entries, compiled_sources, routes_from
from shared.jsontext import Json, JsonObject


def closing_lines(
    slices: Mapping[str, JsonObject],
    url: str,
    random: Sequence[str],
    read: Callable[[str], str],
    where: str,
    portal: str = "",
) -> Iterator[str]:
    """Yield the lines.

    url      receive's URL
    random   the names of the secrets that have a random value
    read     returns the command that prints the secret of a name
    where    the options that find the deployment in commands
    portal   subscribe's URL; empty without subscribers
    """
    for name in random:
        yield f"Secret {name} has a random value. To read it:"
        yield f"  {read(name)}"
    yield "Senders post to:"
    is_signed = False
    for name, source in compiled_sources(slices["receive"]).items():
        yield f"  {url}/{name}"
        if line := _curl(slices, f"{url}/{name}", name, source, read):
            yield f"    {line}"
        is_signed = is_signed or not line
    if is_signed:
        yield "The settings for each sender:"
        yield f"  .venv/bin/hookchain sources {where}"
    if portal:
        url = _public_url(slices) or portal
        yield f"Your users manage their endpoints at {url}/portal. To link to it for a tenant:"
        yield f"  .venv/bin/hookchain portal-link TENANT {where}"
    yield "Send a test event and follow its delivery:"
    yield f"  .venv/bin/hookchain smoke {where}"


def _public_url(slices: Mapping[str, JsonObject]) -> str:
    section = slices["subscribe"]["subscribers"]
    return str(section.get("public_url") or "") if isinstance(section, dict) else ""


def _curl(slices: Mapping[str, JsonObject], url: str, name: str, source: Json, read: Callable[[str], str]) -> str:
    """Return a curl line as `hookchain sources` prints it, which reads the secret itself. Empty for a source that needs
    a signature or does not accept POST."""
    methods = source.get("methods") if isinstance(source, dict) else None
    if not (isinstance(source, dict) and isinstance(methods, list) and "POST" in methods):
        return ""
    event_type = routed_type(name, list(routes_from(slices["transform"], name)))
    event = make_example_event(source, event_type, fitting_data(slices, name, event_type))
    entries = [entry for entry in auth_entries(source) if entry["scheme"] in CURL_SCHEMES]
    return next(filter(None, (example_line(url, entry, event, read) for entry in entries)), "")
