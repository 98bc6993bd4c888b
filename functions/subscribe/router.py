"""The route of a path. What matches nothing is 404, and another method than a route's is 405."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from functions.subscribe.path_parameters import PARAMS
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
        given, rule = [_decoded(segment) for segment in path.split("/")], ""
        for segments, routes in self._by_length.get(len(given), ()):
            params = _params(segments, given)
            if params is None:
                continue
            wrong = next((PARAMS[name] for name, text in params.items() if not PARAMS[name].is_valid(text)), None)
            if wrong is None:
                return Matched(routes, params)
            rule = f": {wrong.rule}"
        raise not_found(f"path{rule}")


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
    """Return None where the path is another one."""
    params: dict[str, str] = {}
    for segment, text in zip(segments, given, strict=True):
        if segment.startswith("{"):
            params[segment[1:-1]] = text
        elif segment != text:
            return None
    return params
