"""Google's REST APIs as far as a test has canned them; each request must be one that Google's own description has."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

from shared.jsontext import Json, JsonObject
from tests.stand_ins.http_server import Said, Seen, http_stand_in

APIS: Final = {
    "bigquery": "v2",
    "cloudbilling": "v1",
    "cloudresourcemanager": "v3",
    "logging": "v2",
    "monitoring": "v3",
    "orgpolicy": "v2",
    "run": "v1 v2",
    "secretmanager": "v1",
    "serviceusage": "v1",
    "storage": "v1",
}


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class StandIn:
    """A path is `/<api>/v1/…`, as `environ` leads to it; `/sendgrid/…` and others are checked by no description."""

    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    canned: dict[tuple[str, str], list[tuple[int, Json]]] = field(default_factory=dict)

    def answers(self, path: str, document: Json, status: int = 200, method: str = "GET") -> None:
        """Given twice, the first request gets the first answer, and the last answer is repeated."""
        self.canned.setdefault((method, path), []).append((status, document))

    def refuses(self, path: str, status: int, reason: str, method: str = "GET") -> None:
        detail: JsonObject = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
        error: JsonObject = {"code": status, "message": f"refused: {reason}", "status": "X", "details": [detail]}
        self.answers(path, {"error": error}, status, method)

    @property
    def environ(self) -> dict[str, str]:
        return {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"{self.url}/{api}/" for api in APIS}

    def answer_to(self, asked: Asked) -> tuple[int, Json]:
        self.requests.append(asked)
        api, _, path = asked.path.removeprefix("/").partition("/")
        if api in APIS and not any(each.fullmatch(f"{asked.method} {path}") for each in known_paths(api)):
            self.strange.append(f"{asked.method} {asked.path}")
        queue = self.canned.get((asked.method, asked.path), [])
        if not queue:
            return 404, {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}
        return queue.pop(0) if len(queue) > 1 else queue[0]


@cache
def known_paths(api: str) -> tuple[re.Pattern[str], ...]:
    """`GET v1/projects/[^/]+…` of every method that the API has."""
    import googleapiclient  # type: ignore[import-untyped] # it has none

    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    files = [folder / f"{api}.{version}.json" for version in APIS[api].split()]
    documents: list[JsonObject] = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return tuple(path for each in documents for path in _paths(each, str(each["servicePath"])))


def _paths(document: Json, service_path: str) -> Iterator[re.Pattern[str]]:
    if isinstance(document, dict):
        if "path" in document and "httpMethod" in document:
            path = re.sub(
                r"\\\{[^}]*\\\}", "[^/:]+", re.escape(service_path + str(document.get("flatPath", document["path"])))
            )
            yield re.compile(f"{document['httpMethod']} {path}")
        for each in document.values():
            yield from _paths(each, service_path)


def _answer(stand_in: StandIn, seen: Seen) -> Said:
    parts = urlsplit(seen.path)
    asked = Asked(seen.method, unquote(parts.path), unquote_plus(parts.query), seen.lower_headers, seen.body)
    status, document = stand_in.answer_to(asked)
    return Said(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


@contextlib.contextmanager
def standing_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    with http_stand_in(partial(_answer, stand_in)) as stand_in.url:
        yield stand_in
    assert not stand_in.strange, "Google has no such method"
