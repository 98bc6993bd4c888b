"""An event as the parameters of a link."""

import base64
from collections.abc import Sequence
from typing import Final

from deploy.requests.send_data import fields_of
from functions.receive.links import BODY, OWN, Pairs, document_in
from shared.jsontext import to_json

_BODY: Final = BODY.decode()


def link_query(fields: Sequence[str], data: str | None) -> Pairs:
    """Plain fields where they are texts; else a document, in base64url where it is one. Raises ValueError."""
    if bool(fields) is (data is not None):
        raise ValueError("give the event as fields (name=text), or by --data; not both, and not neither")
    if data is not None:
        return [(_BODY, _encoded(data))]
    named = fields_of(fields)
    if taken := sorted(named.keys() & OWN):
        raise ValueError(f"the field {taken[0]!r} is the link's own; give the event by --data instead")
    if len(named) == len(fields) and _BODY not in named and all(isinstance(value, str) for value in named.values()):
        return [(name, str(value)) for name, value in named.items()]
    return [(_BODY, _encoded(to_json(named)))]


def _encoded(data: str) -> str:
    """So that it comes out of the query as it went in. Raises ValueError."""
    content = data.encode()
    short = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    for text in (short, data):
        if document_in(text.encode()).content == content:
            return text
    raise ValueError("this text would be taken for something else when it comes back: write it as JSON")
