"""Digests: tell whether a document is still the same."""

import hashlib
import hmac
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal, get_args

from functions.transform import documents, paths, step
from shared import errors, jsontext
from shared.config.rules import LISTED, SecretName, limits, verified_by
from shared.event import Event

Algorithm = Literal[
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "blake2b",
    "blake2s",
    "crc32",
]
_HASHES: Final = {name: name.replace("-", "_") for name in get_args(Algorithm) if name != "crc32"}
"""The name that hashlib has for each algorithm."""
_BODY: Final = ["body"]
"""The value of `of` that stands for the received body."""


def _paths_or_body(of: Sequence[str]) -> Sequence[str]:
    """Return the value of `of`. Raises ValueError if it is neither `body` nor paths in the data."""
    return of if of == _BODY else [paths.verify_data_path(text) for text in of]


class Digest(step.Settings, step.AskingStep):
    """Compute a digest of the body or of fields.

    algorithm  md5, sha1, sha224 … sha512, sha3-224 … sha3-512, blake2b, blake2s or crc32
    of         `body`, as it was received, byte for byte; or a path (default: all of `data`), of which text is taken as
               UTF-8, bytes as they are, and any other value as JSON with sorted keys and no spaces; or several paths,
               as the JSON list of their values. Except for sha256, `body` requires that the source keeps the body
               (`body: text`, `body: bytes` or `keep_raw: true`)
    secret     the name of a key, for an HMAC
    as         hex (default) or base64
    into       where the digest goes (default: all of `data`)
    """

    summary: ClassVar[str] = "Digest the received body, or fields: MD5, SHA-1/2/3, BLAKE2, CRC-32; HMAC with a secret."
    example: ClassVar[step.Example] = step.Example(
        settings={"algorithm": "md5", "of": "data.email", "into": "data.avatar"},
        before={"email": "ada@example.com"},
        after={"email": "ada@example.com", "avatar": "3e3417d7ef77d5932a6734b916515ed5"},
    )
    algorithm: Algorithm
    of: Annotated[Sequence[str], LISTED, verified_by(_paths_or_body), limits(min_length=1)] = ("data",)
    secret: SecretName | None = None
    as_: Literal["hex", "base64"] = "hex"
    into: paths.SinglePath = "data"

    def prepare(self) -> None:
        if self.secret and self.algorithm == "crc32":
            raise ValueError("crc32 takes no secret: a text with a given CRC is easy to make")
        self._paths = [] if self.of == _BODY else [paths.parse_path(text) for text in self.of]
        self._into = paths.parse_path(self.into)

    async def ask(self, event: Event, context: step.StepContext, services: step.Services) -> Event:
        key: bytes | None = None
        if self.secret:
            newest, *_ = await services.secrets.values(self.secret)
            key = newest.encode()
        digest = self._digest(event, context.original, key)
        text = digest.hex() if self.as_ == "hex" else b64encode(digest).decode("ascii")
        return paths.put(event, self._into, text)

    def _digest(self, event: Event, original: Event, key: bytes | None) -> bytes:
        if self.of == _BODY and self.algorithm == "sha256" and key is None:
            return bytes.fromhex(original.payloadhash)  # the same digest, which every event has
        content = _body(original) if self.of == _BODY else self._content(event)
        return compute_digest(self.algorithm, content, key)

    def _content(self, event: Event) -> bytes:
        """Return the bytes that are digested: of a text or bytes themselves, and of any other value its JSON."""
        values = [value for path in self._paths for _, value in paths.iterate_values(event.data, path.parts)]
        names_several = len(self._paths) > 1 or self._paths[0].names_several
        value: jsontext.Json = values if names_several else values[0]
        content = documents.content_of(value)
        return jsontext.canonical(value) if content is None else content


def compute_digest(algorithm: Algorithm, content: bytes, key: bytes | None) -> bytes:
    """Return the digest of the content, or with a key its HMAC. crc32 ignores a key."""
    if algorithm == "crc32":
        return zlib.crc32(content).to_bytes(4, "big")
    name = _HASHES[algorithm]
    if key is not None:
        return hmac.digest(key, content, name)
    return hashlib.new(name, content, usedforsecurity=False).digest()


def _body(original: Event) -> bytes:
    """Return the body that the source kept, or the data if its hash is that of the body. Raises Permanent
    (`digest_failed`)."""
    if original.rawbody is not None:
        return original.rawbody.encode()
    if original.rawbase64 is not None:
        return jsontext.decode_base64(original.rawbase64, strict=False)
    content = documents.content_of(original.data)
    if content is None or hashlib.sha256(content).hexdigest() != original.payloadhash:
        how = "set `body: text`, `body: bytes` or `keep_raw: true` on the source"
        raise errors.Permanent("digest_failed", f"the received body is not kept: {how}")
    return content
