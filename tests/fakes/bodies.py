from shared.errors import Rejected
from shared.http import ReadBody


def reading(body: bytes) -> ReadBody:
    """The body as a server hands it on, which takes no larger one than it is told to."""

    async def read_body(max_bytes: int) -> bytes:
        if len(body) > max_bytes:
            raise Rejected("body_too_large", "too large")
        return body

    return read_body
