"""The token of the page of `hookchain dev`: a person who opens the page needs it, as with Jupyter.

It is kept in the state folder, so that a restart keeps it and other commands print the same URL.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from deploy.config.local_ports import HOST

FILE_NAME: Final = "page-token"
TOKEN_BYTES: Final = 24


def page_url(port: int, token: str) -> str:
    """Return the URL that opens the page. The page answers it with a cookie and removes the token from the URL."""
    return f"http://{HOST}:{port}/?token={token}"


def new_page_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def page_token(state: Path) -> str:
    """Return the state folder's token; generate it at first use. Raises OSError."""
    path = state / FILE_NAME
    if not path.exists():
        create_private(path, new_page_token().encode())
    return path.read_text(encoding="ascii")


def create_private(path: Path, content: bytes) -> None:
    """Create a file for its user alone; if two processes do it at once, the first that finishes wins. Raises OSError.

    The file is never there without its whole content.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
