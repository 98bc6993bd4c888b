"""The schemes whose signatures are verified with the sender's public key: Ed25519, ECDSA and RSA.

This module is imported only if a source has such a scheme, and the package cryptography with the first key that is
read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shared.signatures import keys, locations, signature_scheme, signing


@dataclass(eq=False, repr=False, kw_only=True)
class PublicKeyScheme(signature_scheme.SignatureScheme):
    """A signature by the private key whose public half is the secret.

    `form` is how an ECDSA signature is written, der or raw. `padding` is how an RSA signature is padded, pkcs1 or pss.
    """

    form: str = "der"
    padding: str = "pkcs1"

    def _is_signed(
        self, sent: Sequence[str], fields: locations.RequestFields, timestamp: str, secrets: Sequence[str]
    ) -> bool:
        contents = self.contents(fields, timestamp)
        decoded_signatures = [_decode(text, self.encoding) for text in sent]
        signatures = [signature for signature in decoded_signatures if signature]
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


def _decode(text: str, encoding: str) -> bytes | None:
    """Return the bytes of a signature; None for a text that is not in the encoding."""
    try:
        return signing.decode_bytes(text, encoding)
    except ValueError:
        return None
