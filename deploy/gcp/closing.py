"""What a deployment ends with: each source's URL, and a line that posts to it."""

import shlex
from collections.abc import Iterator, Sequence

from deploy.gcp.first_values import where_to_read
from deploy.gcp.gcloud import shown
from deploy.gcp.graph import Deployment
from deploy.local.supervisor.sources import sources_of, ways_of
from shared.jsontext import JsonObject

BODY = "event=hello"


def closing(deployment: Deployment, made: Sequence[str], told: str) -> Iterator[str]:
    """`made` are the names of secrets that were made at random; `told` is what commands have to be told of where."""
    target = deployment.target
    for name in made:
        yield f"Secret {name} was made at random. To read it:"
        yield f"  {shown(where_to_read(name, deployment), target.project)}"
    yield "Senders post to:"
    is_signed = False
    for name, source in sources_of(deployment.slices["receive"]).items():
        yield f"  {deployment.url('receive')}/{name}"
        if line := next((line for way in ways_of(source) if (line := curl(deployment, name, way))), None):
            yield f"    {line}"
        is_signed = is_signed or not line
    if is_signed:
        yield "What to type in each sender's settings:"
        yield f"  .venv/bin/hookchain sources --platform gcp{told}"
    yield "Follow a test event to its end:"
    yield f"  .venv/bin/hookchain smoke --platform gcp{told}"


def target_options(deployment: Deployment) -> str:
    target = deployment.target
    return f" --project {target.project} --region {target.region} --prefix {target.prefix}"


def curl(deployment: Deployment, source: str, way: JsonObject) -> str | None:
    """The line reads the secret itself, so it can be pasted as it is; None for a signature."""
    url = f"{deployment.url('receive')}/{source}"
    name = str(way.get("secret", ""))
    value = f"$({shown(where_to_read(name, deployment), deployment.target.project)})"
    match way.get("scheme"):
        case "none":
            proof, where = "", url
        case "basic":
            proof, where = f'-u "{way.get("username") or "web"}:{value}" ', url
        case "header":
            proof, where = f'-H "{way.get("header")}: {value}" ', url
        case "bearer":
            proof, where = f'-H "Authorization: Bearer {value}" ', url
        case "path":
            return f'curl -d {shlex.quote(BODY)} "{url}/{value}"'
        case "query":
            return f'curl -d {shlex.quote(BODY)} "{url}?{way.get("parameter")}={value}"'
        case _:
            return None
    return f"curl {proof}-d {shlex.quote(BODY)} {where}"
