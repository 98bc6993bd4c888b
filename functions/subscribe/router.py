"""The route of a path. What matches nothing is 404, and another method than a route's is 405."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from functions.subscribe.params import PARAMS
from functions.subscribe.problems import not_found
from functions.subscribe.route import Route


class Matched(NamedTuple):
    """The routes of a path by method, and the parameters in it."""

    routes: Mapping[str, Route]
    params: Mapping[str, str]

    @property
    def allowed(self) -> str:
        """Return the value of `Allow`."""
        methods = {*self.routes, "OPTIONS"} | ({"HEAD"} if "GET" in self.routes else set())
        return ", ".join(sorted(methods))


class Router:
    """Literal segments of a path win over parameters."""

    def __init__(self, routes: Sequence[Route]) -> None:
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for path in sorted(by_path, key=lambda path: path.replace("{", "~")):
            segments = tuple(path.split("/"))
            self._by_length.setdefault(len(segments), []).append((segments, by_path[path]))

    def find(self, path: str) -> Matched:
        """Raises ApiProblem (`not_found`)."""
        given = [_decoded(segment) for segment in path.split("/")]
        for segments, routes in self._by_length.get(len(given), ()):
            params = _params(segments, given)
            if params is not None:
                return Matched(routes, params)
        raise not_found("path")


@cache
def router() -> Router:
    """Return the router of the API, made at the first request."""
    from functions.subscribe.routes import ROUTES

    return Router(ROUTES)


def _decoded(segment: str) -> str:
    if segment.isascii() and "%" not in segment:
        return segment
    return unquote_to_bytes(segment.encode("latin-1", "replace")).decode("utf-8", "replace")


def _params(segments: Sequence[str], given: Sequence[str]) -> dict[str, str] | None:
    """Return None where the path is another one, or where a parameter is not written as such are."""
    params: dict[str, str] = {}
    for segment, text in zip(segments, given, strict=True):
        if segment.startswith("{"):
            name = segment[1:-1]
            if not PARAMS[name].is_valid(text):
                return None
            params[name] = text
        elif segment != text:
            return None
    return params
