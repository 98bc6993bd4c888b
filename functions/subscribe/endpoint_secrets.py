"""The secrets of an endpoint: made, sealed and opened. A sealed text opens for its own endpoint only."""

from base64 import b64encode, urlsafe_b64encode
from typing import Final

from functions.subscribe.service import Service
from shared.subscribers.model import AuthKind, EndpointSecret
from shared.subscribers.sealing import seal_context

NONCE_BYTES: Final = 12
SECRET_BYTES: Final = 32
PRIVATE_KEY: Final = "whsk_"
"""A Standard Webhooks secret that signs with Ed25519 begins so."""


def make_secret(service: Service, kind: AuthKind, before: str = "") -> str:
    """Return a new secret that nobody can guess, as the kind writes its secrets: after a private key another one."""
    raw = service.random_bytes(SECRET_BYTES)
    if kind == "standard" and before.startswith(PRIVATE_KEY):
        return f"{PRIVATE_KEY}{b64encode(raw + _public_bytes(raw)).decode()}"
    if kind == "standard":
        return f"whsec_{b64encode(raw).decode()}"
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _public_bytes(private: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


async def seal_secret(service: Service, tenant: str, endpoint: str, text: str, now: float) -> EndpointSecret:
    sealer = await service.keyring.sealer()
    sealed = sealer.seal(text, seal_context(tenant, endpoint), service.random_bytes(NONCE_BYTES))
    return EndpointSecret(sealed=sealed, created_at=now)


async def open_secret(service: Service, tenant: str, endpoint: str, secret: EndpointSecret) -> str:
    """Raises Temporary (`secret_unusable`)."""
    return (await service.keyring.sealer()).open(secret.sealed, seal_context(tenant, endpoint))
