"""Encryption: encrypt data and decrypt it, as sealed text or as JWE (functions/transform/encryption.py).

Both steps read the keys, make a function that changes one value, and apply it to each value at `paths`.
"""

import os
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from functions.transform import encryption
from functions.transform.documents import text_or_bytes
from functions.transform.paths import Change, DataPath, MaybeJson, Missing, MissingPaths, Path, parse_path, update_value
from functions.transform.step import AskingStep, Example, Noted, Services, Settings, StepContext
from shared.config.rules import LISTED, SecretName, limits
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats.parse import parse_as
from shared.jsontext import Json, to_json

JWE_TYPE = "application/jose"
_PLAIN: Json = {"name": "Ada", "iban": "GB33BUKB20201555555555"}
_ENCRYPTED: Json = {
    "name": "Ada",
    "iban": "hc1.2026-03.AAECAwQFBgcICQoL.ZUWUKPanl1DPc6e5gdhNWLbjsgHFTmpeoFZ-KkhRXDeE0lEMzXKObg",
}
_SECRETS = {"field-keys": "2026-03:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}


class EncryptionSettings(Settings):
    """
    secret   the name of the keys, one per line, newest first. The newest encrypts; all of them decrypt. An AES key is
             16, 24 or 32 bytes in hex or base64, with an optional `key id:` before it; JWE also takes PEM blocks and
             JWKs
    paths    one path, or a list (default: all of `data`). A path without a value is skipped
    format   aes-gcm (default), or jwe for exchange with other systems
    context  aes-gcm: any text. A value can only be decrypted with the same context and in the same place, so that it
             cannot be moved to where it means something else
    """

    untouched_note: ClassVar[str]
    """What the step does about a path without a value."""

    secret: SecretName
    paths: Annotated[Sequence[DataPath], LISTED, limits(min_length=1)] = ("data",)
    format: Literal["aes-gcm", "jwe"] = "aes-gcm"
    context: Annotated[str, limits(max_length=1_000)] = ""

    def prepare(self) -> None:
        if self.format == "jwe" and self.context:
            raise ValueError("`context` requires `format: aes-gcm`: a JWE has no standard place for it")
        self._paths = [parse_path(text) for text in self.paths]
        self._missing = MissingPaths()

    def change_each(self, event: Event, change: Change, datatype_of_all: str | None = None) -> Event | Noted:
        """Return the event with each value at `paths` changed, and a note about the paths without a value.

        `datatype_of_all` is the content type of the data if a path is all of it. Other changed data has none.
        """
        before = event
        untouched: list[Path] = []

        def change_present(value: MaybeJson, place: str) -> MaybeJson:
            return value if isinstance(value, Missing) else change(value, place)

        for path in self._paths:
            data = update_value(event.data, path.parts, change_present)
            if data is event.data:
                untouched.append(path)
            is_all = not path.parts
            event = event.with_data(data, datatype_of_all if is_all else None)
        return self._missing.noted(event, before, untouched, self.untouched_note) if untouched else event

    def needs(self) -> tuple[str, ...]:
        return ("jwe",) if self.format == "jwe" else ("crypto",)


class Encrypt(EncryptionSettings, AskingStep):
    """Encrypt each value at `paths`, as JSON. The event's type, subject and actor stay readable.

    algorithm  jwe: an algorithm (default, by the kind of key: A256KW or as long as the key, RSA-OAEP-256, or
               ECDH-ES+A256KW)
    """

    summary: ClassVar[str] = "Encrypt all data or named fields with AES-GCM or JWE, with the newest key of a secret."
    example: ClassVar[Example] = Example(
        settings={"secret": "field-keys", "paths": ["data.iban"]},
        before=_PLAIN,
        after=_ENCRYPTED,
        secrets=_SECRETS,
        varies=True,
    )
    extras: ClassVar[tuple[str, ...]] = ("crypto", "jwe")
    untouched_note: ClassVar[str] = "nothing is encrypted there"

    algorithm: encryption.Algorithm | None = None

    def prepare(self) -> None:
        super().prepare()
        if self.algorithm is not None and self.format != "jwe":
            raise ValueError("`algorithm` requires `format: jwe`")

    def removes(self) -> tuple[str, ...]:
        return tuple(self.paths)

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event | Noted:
        values = await services.secrets.values(self.secret)
        if self.format == "jwe":
            newest_jwe_key = encryption.parse_jwe_keys(self.secret, values)[0]

            def encrypt_as_jwe(value: Json, _: str) -> Json:
                return encryption.encrypt_jwe(to_json(value).encode(), newest_jwe_key, self.algorithm)

            return self.change_each(event, encrypt_as_jwe, JWE_TYPE)
        newest_key = encryption.parse_keys(self.secret, values)[0]

        def seal(value: Json, place: str) -> Json:
            binding = encryption.Binding(self.context, place)
            return encryption.seal(to_json(value).encode(), newest_key, binding, new_nonce())

        return self.change_each(event, seal)


def new_nonce() -> bytes:
    """Return a nonce from the kernel's random numbers.

    A counter could give the same nonce twice, after a process is forked, or is frozen and started twice. Of 2^32 random
    nonces, which are more than a key should ever have, two are equal with a probability of 2^-33, as NIST SP 800-38D,
    8.3, allows.
    """
    return os.urandom(encryption.NONCE_BYTES)


class Decrypt(EncryptionSettings, AskingStep):
    """Decrypt each text at `paths`. Text that is not encrypted, or was changed or moved, fails the step.

    algorithms  jwe: the accepted ones (default: AES key wrapping, AES-GCM key wrapping, dir, RSA-OAEP, ECDH-ES)
    """

    summary: ClassVar[str] = "Decrypt values that `encrypt`, or any sender of JWE, encrypted with a key of a secret."
    example: ClassVar[Example] = Example(
        settings={"secret": "field-keys", "paths": ["data.iban"]}, before=_ENCRYPTED, after=_PLAIN, secrets=_SECRETS
    )
    extras: ClassVar[tuple[str, ...]] = ("crypto", "jwe")
    untouched_note: ClassVar[str] = "nothing is decrypted there"

    algorithms: Annotated[list[encryption.Algorithm], LISTED, limits(min_length=1)] | None = None

    def prepare(self) -> None:
        super().prepare()
        if self.algorithms is not None and self.format != "jwe":
            raise ValueError("`algorithms` requires `format: jwe`")

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event | Noted:
        values = await services.secrets.values(self.secret)
        if self.format == "jwe":
            jwe_keys = encryption.parse_jwe_keys(self.secret, values)
            accepted = self.algorithms or encryption.ALGORITHMS

            def decrypt_jwe(value: Json, place: str) -> Json:
                decrypted = encryption.decrypt_jwe(_encrypted_text(value, place), jwe_keys, place, accepted)
                return _decrypted_value(decrypted, place)

            return self.change_each(event, decrypt_jwe)
        keys = encryption.parse_keys(self.secret, values)

        def unseal(value: Json, place: str) -> Json:
            binding = encryption.Binding(self.context, place)
            plaintext = encryption.unseal(_encrypted_text(value, place), keys, binding)
            return _decrypted_value(encryption.Decrypted(plaintext, is_json=True), place)

        return self.change_each(event, unseal)


def _encrypted_text(value: Json, place: str) -> str:
    """Return the value, which must be text. Raises Permanent (`cryptography_failed`)."""
    if not isinstance(value, str):
        raise Permanent("cryptography_failed", f"{place} is not encrypted: it is not text")
    return value


def _decrypted_value(decrypted: encryption.Decrypted, place: str) -> Json:
    """Return the value of a decrypted text; the text itself, or bytes, if it is not meant to be JSON.

    Raises Permanent (`cryptography_failed`).
    """
    if not decrypted.is_json:
        return text_or_bytes(decrypted.plaintext)
    try:
        return parse_as("json", decrypted.plaintext, None).data
    except Rejected as error:
        raise Permanent("cryptography_failed", f"{place} holds a value that is not JSON: {error.detail}") from None
