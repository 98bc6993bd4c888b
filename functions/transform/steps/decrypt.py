"""Decrypt: what was encrypted, readable again."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from functions.transform.crypto.jwe import ALGORITHMS, Algorithm, Opened, decrypt_jwe
from functions.transform.crypto.jwe_keys import parse_jwe_keys
from functions.transform.crypto.keys import parse_keys
from functions.transform.crypto.sealed import Binding, unseal
from functions.transform.crypto.settings import Sealing
from functions.transform.documents import document
from functions.transform.step import AskingStep, Example, Services, StepContext
from shared.config.values import listed
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats.parse import parse_as
from shared.jsontext import Json


class Decrypt(Sealing, AskingStep):
    """Each text at `paths` (default: all of `data`) becomes the value that it was. What a path names and is not there
    is no fault; text that is not encrypted, or was changed or moved, is.

    secret      the name of the keys, one a line: every one decrypts, so a new one goes on top and the old ones stay
    format      aes-gcm (default) or jwe
    context     aes-gcm: the one that encrypt had
    algorithms  jwe: those that are taken; default: key wrapping by AES and AES-GCM, dir, RSA-OAEP, ECDH-ES
    """

    summary: ClassVar[str] = "Decrypt what encrypt, or any sender of JWE, encrypted under one of a secret's keys."
    example: ClassVar[Example] = Example(
        settings={"secret": "field-keys", "paths": ["data.iban"]},
        before={
            "name": "Ada",
            "iban": "hc1.2026-03.AAECAwQFBgcICQoL.ZUWUKPanl1DPc6e5gdhNWLbjsgHFTmpeoFZ-KkhRXDeE0lEMzXKObg",
        },
        after={"name": "Ada", "iban": "GB33BUKB20201555555555"},
        secrets={"field-keys": "2026-03:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
    )
    extras: ClassVar[tuple[str, ...]] = ("crypto", "jwe")

    algorithms: Annotated[list[Algorithm], BeforeValidator(listed), Field(min_length=1)] | None = None

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        if self.algorithms is not None and self.format != "jwe":
            raise ValueError("`algorithms` goes with `format: jwe`")

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event:
        values = await services.secrets.values(self.secret)
        if self.format == "jwe":
            jwe_keys = parse_jwe_keys(self.secret, values)
            taken = self.algorithms or ALGORITHMS
            return self.at_each_path(
                event, lambda value, place: _value(decrypt_jwe(_text(value, place), jwe_keys, place, taken), place)
            )
        keys = parse_keys(self.secret, values)

        def unsealed(value: Json, place: str) -> Json:
            return _value(Opened(unseal(_text(value, place), keys, Binding(self.context, place)), True), place)

        return self.at_each_path(event, unsealed)


def _text(value: Json, place: str) -> str:
    if not isinstance(value, str):
        raise Permanent("crypto", f"{place} is not encrypted: it is no text")
    return value


def _value(opened: Opened, place: str) -> Json:
    if not opened.is_json:
        return document(opened.plaintext)
    try:
        return parse_as("json", opened.plaintext, None).data
    except Rejected as error:
        raise Permanent("crypto", f"{place} holds what is not JSON: {error.detail}") from None
