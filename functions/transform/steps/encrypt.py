"""Encrypt: data made unreadable to whoever lacks a key."""

import os
from typing import ClassVar

from functions.transform.crypto.jwe import Algorithm, encrypt_jwe
from functions.transform.crypto.jwe_keys import parse_jwe_keys
from functions.transform.crypto.keys import parse_keys
from functions.transform.crypto.sealed import NONCE_BYTES, Binding, seal
from functions.transform.crypto.settings import JWE_TYPE, Sealing
from functions.transform.step import AskingStep, Example, Services, StepContext
from shared.event import Event
from shared.jsontext import Json, to_json


class Encrypt(Sealing, AskingStep):
    """Each value at `paths` (default: all of `data`), as JSON, becomes text that only a key opens. What a path names
    and is not there is no fault; the event's type, subject and actor stay readable.

    secret     the name of the keys, one a line, newest first: 16, 24 or 32 bytes in hex or base64, `key id:` before it
               if you like; for JWE also PEM blocks and JWKs. The newest encrypts
    format     aes-gcm (default), or jwe, for systems that are not ours
    context    aes-gcm: whatever you like. It, and the value's place, must be the same to decrypt, so that no sealed
               value can be moved to where it means something else
    algorithm  jwe: default by the key: A256KW (or as long as the key), RSA-OAEP-256, ECDH-ES+A256KW
    """

    summary: ClassVar[str] = "Encrypt all data or named fields by AES-GCM or JWE, under the newest of a secret's keys."
    example: ClassVar[Example] = Example(
        settings={"secret": "field-keys", "paths": ["data.iban"]},
        before={"name": "Ada", "iban": "GB33BUKB20201555555555"},
        after={
            "name": "Ada",
            "iban": "hc1.2026-03.AAECAwQFBgcICQoL.ZUWUKPanl1DPc6e5gdhNWLbjsgHFTmpeoFZ-KkhRXDeE0lEMzXKObg",
        },
        secrets={"field-keys": "2026-03:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
        varies=True,
    )
    extras: ClassVar[tuple[str, ...]] = ("crypto", "jwe")

    algorithm: Algorithm | None = None

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        if self.algorithm is not None and self.format != "jwe":
            raise ValueError("`algorithm` goes with `format: jwe`")

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event:
        values = await services.secrets.values(self.secret)
        if self.format == "jwe":
            newest = parse_jwe_keys(self.secret, values)[0]
            return self.at_each_path(
                event, lambda value, _: encrypt_jwe(_plaintext(value), newest, self.algorithm), JWE_TYPE
            )
        key = parse_keys(self.secret, values)[0]
        return self.at_each_path(
            event, lambda value, place: seal(_plaintext(value), key, Binding(self.context, place), new_nonce())
        )


def new_nonce() -> bytes:
    """Of the kernel's randomness, each one anew: a process that is forked, or frozen and started twice, would count on
    from one state in two places. Two of 2^32 nonces, more than a key should see, are the same once in 2^33 keys (NIST
    SP 800-38D, 8.3, allows as much); that is also why what the event holds is no part of it."""
    return os.urandom(NONCE_BYTES)


def _plaintext(value: Json) -> bytes:
    return to_json(value).encode("utf-8")
