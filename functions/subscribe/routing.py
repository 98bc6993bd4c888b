"""The routes of the API by path and method."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from functions.subscribe.problems import MethodRejected, not_found
from functions.subscribe.route import PARAMS, Route


class Matched(NamedTuple):
    """The routes of a path by method, and the parameters in it."""

    routes: Mapping[str, Route]
    params: Mapping[str, str]

    @property
    def allowed(self) -> str:
        """Return the value of `Allow`."""
        methods = {*self.routes, "OPTIONS"} | ({"HEAD"} if "GET" in self.routes else set())
        return ", ".join(sorted(methods))

    def route_for(self, method: str) -> Route:
        """Return the route of a method. Raises MethodRejected if the path has none."""
        route = self.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodRejected(self.allowed)
        return route


class Router:
    """The routes by path. A literal segment is preferred to a parameter: `export` to `{type}`."""

    def __init__(self, routes: Sequence[Route]) -> None:
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for path in by_path:
            segments = tuple(path.split("/"))
            self._by_length.setdefault(len(segments), []).append((segments, by_path[path]))
        for paths in self._by_length.values():
            paths.sort(key=lambda each: [_is_parameter(segment) for segment in each[0]])  # literals come first

    def find(self, path: str) -> Matched:
        """Return the routes of a path. Raises ApiProblem (`not_found`)."""
        texts = [_decoded(segment) for segment in path.split("/")]
        rule = ""
        for segments, routes in self._by_length.get(len(texts), ()):
            params = _params(segments, texts)
            if params is None:
                continue
            invalid = next((PARAMS[name] for name, text in params.items() if not PARAMS[name].is_valid(text)), None)
            if invalid is None:
                return Matched(routes, params)
            rule = f": {invalid.rule}"
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


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _params(segments: Sequence[str], texts: Sequence[str]) -> dict[str, str] | None:
    """Return the parameters in a path's segments; None if it is another path."""
    params: dict[str, str] = {}
    for segment, text in zip(segments, texts, strict=True):
        if _is_parameter(segment):
            params[segment[1:-1]] = text
        elif segment != text:
            return None
    return params
