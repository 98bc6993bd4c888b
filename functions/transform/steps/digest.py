"""Digest: what tells whether a document is still the same."""

from base64 import b64decode
from hashlib import sha256
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from functions.transform import digests
from functions.transform.documents import content_of
from functions.transform.fields import WritePath, put, readable, values_at
from functions.transform.paths import Every, Path, parse_path
from functions.transform.step import AskingStep, Example, Services, StepContext
from shared.config.values import SecretName, listed
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, canonical

_BODY = ["body"]


def _paths_or_body(of: list[str]) -> list[str]:
    return of if of == _BODY else [readable(text) for text in of]


class Digest(BaseModel, AskingStep):
    """The digest of what `of` says takes the place of `data`, or goes to `into`.

    algorithm  md5, sha1, sha224 … sha512, sha3-224 … sha3-512, blake2b, blake2s, crc32
    of         `body`: as it came, byte for byte, which the source must keep (`body: text` or `bytes`, or `keep_raw`),
               but for sha256; a path (default: `data`): text in UTF-8 and bytes as they are, any other value as JSON
               with sorted keys and no spaces; several paths: the JSON list of their values
    secret     the name of a key: the result is an HMAC
    as         hex (default) or base64
    into       where the digest goes; default: `data`
    """

    summary: ClassVar[str] = (
        "Digest the body as it came, or fields: MD5, SHA-1/2/3, BLAKE2, CRC-32; HMAC with a secret."
    )
    example: ClassVar[Example] = Example(
        settings={"algorithm": "md5", "of": "data.email", "into": "data.avatar"},
        before={"email": "ada@example.com"},
        after={"email": "ada@example.com", "avatar": "3e3417d7ef77d5932a6734b916515ed5"},
    )
    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: digests.Algorithm
    of: Annotated[list[str], BeforeValidator(listed), AfterValidator(_paths_or_body), Field(min_length=1)] = ["data"]
    secret: SecretName | None = None
    as_: digests.Writing = Field(default="hex", alias="as")
    into: WritePath = "data"

    _paths: list[Path] = PrivateAttr()
    _into: Path = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        if self.secret and self.algorithm == "crc32":
            raise ValueError("crc32 takes no secret: anyone can make a text that has a given one")
        self._paths = [] if self.of == _BODY else [parse_path(text) for text in self.of]
        self._into = parse_path(self.into)

    async def ask(self, event: Event, context: StepContext, services: Services) -> Event:
        key = (await services.secrets.values(self.secret))[0].encode() if self.secret else None
        return put(event, self._into, digests.written(self._digest(event, context.original, key), self.as_))

    def _digest(self, event: Event, original: Event, key: bytes | None) -> bytes:
        if self.of == _BODY and self.algorithm == "sha256" and key is None:
            return bytes.fromhex(original.payloadhash)
        content = _body(original) if self.of == _BODY else self._content(event)
        return digests.digest(self.algorithm, content, key)

    def _content(self, event: Event) -> bytes:
        values = [value for path in self._paths for _, value in values_at(event.data, path.parts)]
        several = len(self._paths) > 1 or any(isinstance(part, Every) for part in self._paths[0].parts)
        value: Json = values if several else values[0]
        content = content_of(value)
        return canonical(value) if content is None else content


def _body(original: Event) -> bytes:
    """What was sent: as it was kept, else of the data, if receive's own hash says that it is the same."""
    if original.rawbody is not None:
        return original.rawbody.encode()
    if original.rawbase64 is not None:
        return b64decode(original.rawbase64)
    content = content_of(original.data)
    if content is None or sha256(content).hexdigest() != original.payloadhash:
        how = "let its source say `body: text`, `body: bytes` or `keep_raw: true`"
        raise Permanent("digest", f"the body as it came is not kept: {how}")
    return content
