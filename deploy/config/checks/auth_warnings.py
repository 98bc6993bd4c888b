"""What a signature that an operator writes out leaves open."""

from collections.abc import Iterator

from deploy.config.models.auth import Auth
from deploy.config.models.signed import DigestAuth, SignedAuth


def auth_warnings(way: Auth) -> Iterator[str]:
    if not isinstance(way, SignedAuth):
        return
    signed = way.content.lower()
    if isinstance(way, DigestAuth) and way.algorithm != "sha384" and not signed.endswith("{secret}"):
        yield (
            "a digest of the secret and what follows it can be lengthened: whoever has seen one signature can sign a"
            " longer body. Use `scheme: hmac` if the sender can, or a `content` that ends with {secret}"
        )
    if not _covers_the_body(way, signed):
        yield "`content` has nothing of the body: who has seen one signature can send any other body with it"
    if way.timestamp and not _covers_the_time(way.timestamp.lower(), signed):
        yield f"`content` has no {{timestamp}}: whoever repeats a request writes another time into {way.timestamp}"


def _covers_the_body(way: SignedAuth, signed: str) -> bool:
    return way.body_digest is not None or any(part in signed for part in ("{body", "{form", "{data."))


def _covers_the_time(place: str, signed: str) -> bool:
    """Where it stands in what is signed as a whole, or is a part of its own."""
    wholes = {"data": ("{body", "{form}"), "form": ("{body", "{form}"), "query": ("{url}",)}
    return any(part in signed for part in ("{timestamp}", f"{{{place}}}", *wholes.get(place.partition(".")[0], ())))
