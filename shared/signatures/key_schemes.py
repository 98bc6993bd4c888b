"""The schemes whose signatures are verified with the sender's public key: Ed25519, ECDSA and RSA.

Imported for sources that have one: the first of them loads `cryptography`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shared.signatures import keys, locations, signature_scheme, signing


@dataclass(eq=False, repr=False, kw_only=True)
class PublicKeyScheme(signature_scheme.SignatureScheme):
    """A signature by the private key whose public half is the secret.

    `form` is the encoding of an ECDSA signature: der or raw. `padding` is RSA's: pkcs1 or pss.
    """

    form: str = "der"
    padding: str = "pkcs1"

    def _is_signed(
        self, sent: Sequence[str], fields: locations.RequestFields, timestamp: str, secrets: Sequence[str]
    ) -> bool:
        contents = self.contents(fields, timestamp)
        signatures = [raw for text in sent if (raw := _raw(text, self.encoding))]
        checks = [
            keys.is_signed_by(
                keys.public_key(secret),
                self.scheme,
                signature,
                content,
                algorithm=self.algorithm,
                form=self.form,
                padding=self.padding,
            )
            for secret in secrets
            for content in contents
            for signature in signatures
        ]
        return any(checks)


class Ed25519Scheme(PublicKeyScheme):
    scheme = "ed25519"


class EcdsaScheme(PublicKeyScheme):
    scheme = "ecdsa"


class RsaScheme(PublicKeyScheme):
    scheme = "rsa"


SCHEMES: Final[Mapping[str, type[PublicKeyScheme]]] = MappingProxyType(
    {each.scheme: each for each in (Ed25519Scheme, EcdsaScheme, RsaScheme)}
)


def _raw(text: str, encoding: str) -> bytes | None:
    try:
        return signing.decoded(text, encoding)
    except ValueError:
        return None
