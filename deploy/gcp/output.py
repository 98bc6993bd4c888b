"""What a deployment ends with: each source's URL, and a line that posts to it."""

from collections.abc import Iterator, Sequence

from deploy.gcp.first_values import where_to_read
from deploy.gcp.graph import Deployment
from deploy.google.gcloud import shown
from deploy.requests.smoke_event import example_event
from deploy.requests.source_entries import routes_from
from deploy.requests.source_example import example_line
from deploy.requests.source_lines import SIGNED, sources_of, ways_of
from deploy.requests.trial import trial_type
from shared.jsontext import Json


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
        if line := curl(deployment, name, source):
            yield f"    {line}"
        is_signed = is_signed or not line
    if is_signed:
        yield "What to type in each sender's settings:"
        yield f"  .venv/bin/hookchain sources --platform gcp{told}"
    yield "Follow a test event to its end:"
    yield f"  .venv/bin/hookchain smoke --platform gcp{told}"


def curl(deployment: Deployment, name: str, source: Json) -> str:
    """As `hookchain sources` has it: it reads the secret itself, so it can be pasted as it is. Empty where a signature
    is wanted, or no POST."""
    methods = source.get("methods") if isinstance(source, dict) else None
    if not (isinstance(source, dict) and isinstance(methods, list) and "POST" in methods):
        return ""
    event = example_event(source, trial_type(name, list(routes_from(deployment.slices["transform"], name))))
    url, ways = f"{deployment.url('receive')}/{name}", [way for way in ways_of(source) if way["scheme"] not in SIGNED]
    return next(filter(None, (example_line(url, way, event, deployment.target) for way in ways)), "")
