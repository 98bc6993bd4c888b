"""Which of a source's ways a request was meant for."""

from collections.abc import Sequence

from functions.receive.diagnosis.guess import Case
from functions.receive.diagnosis.passwords import PASSWORDS, has_any
from shared.http import Request
from shared.signatures.verify import is_attempted
from shared.signatures.way import Way


def attempted(request: Request, ways: Sequence[Way]) -> list[Way]:
    """Those that it has anything for: a wrong token is no signature that is missing. Else all of them."""
    return [way for way in ways if _is_attempted(request, way)] or list(ways)


def _is_attempted(request: Request, way: Way) -> bool:
    return has_any(Case(request, way, ())) if way.scheme in PASSWORDS else is_attempted(request, way)
