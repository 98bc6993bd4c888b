"""The scheme of a plain digest. Few senders have one: a start does not read it for the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.signatures.locations import RequestFields
from shared.signatures.signature_scheme import SignatureScheme
from shared.signatures.signing import COMPARABLE, digest_text, matches_any


@dataclass(eq=False, repr=False, kw_only=True)
class DigestScheme(SignatureScheme):
    """A plain digest of content that holds the secret."""

    scheme = "digest"
    algorithm: str = "sha256"

    def __post_init__(self) -> None:
        super().__post_init__()
        # A digest goes on from where it ended (length extension), unless the secret stands at the end.
        self.can_be_extended = self.algorithm != "sha384" and self.content[-1:] != ("secret",)

    def _is_signed(self, given: Sequence[str], fields: RequestFields, timestamp: str, secrets: Sequence[str]) -> bool:
        expected = [
            digest_text(content, self.algorithm, self.encoding)
            for secret in secrets
            for content in self.contents(fields, timestamp, secret.encode())
        ]
        return matches_any(list(map(COMPARABLE[self.encoding], given)), expected)
