"""The limits of a body that a source accepts. A body past a limit is rejected; none is cut short."""

from typing import Final, NamedTuple

MIB: Final = 1024 * 1024


MAX_SIGNATURES: Final = 10
"""Of one request: as many are sent, and as many are tried."""


class Limits(NamedTuple):
    """
    max_body_bytes           as it came over the wire
    max_decoded_bytes        after gzip or deflate
    max_depth                objects and lists (or XML elements) inside one another
    max_nodes                values, in all; XML's attributes and YAML's keys are among them, and an alias in YAML
                             counts as all that it stands for
    max_keys                 of one object
    max_key_characters       of one key
    max_number_digits        of one integer; Python's own default limit, past which it converts no text to an integer
    max_fields               of one form
    max_parts                of one multipart body
    max_expanded_characters  of `data` where a format lets a few bytes stand for many: YAML's aliases, CSV's header,
                             references in a binary plist
    """

    max_body_bytes: int = MIB
    max_decoded_bytes: int = 5 * MIB
    max_depth: int = 64
    max_nodes: int = 250_000
    max_keys: int = 10_000
    max_key_characters: int = 65_536
    max_number_digits: int = 4_300
    max_fields: int = 1_000
    max_parts: int = 100
    max_expanded_characters: int = 16 * MIB


DEFAULT: Final = Limits()
