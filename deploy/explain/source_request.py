"""A request to a source, verified as receive verifies it, and what is wrong with its credentials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.requests.sources import auth_entries
from functions.receive.diagnosis.cases import Case, as_signed, holds
from functions.receive.diagnosis.diagnose import attempted, handshake_cause, rejection_cause
from functions.receive.diagnosis.signatures import time_description
from functions.receive.source import Source
from shared.errors import HookchainError, ProblemCode
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures import key_schemes, links, signature_scheme
from shared.signatures.auth_scheme import AuthScheme, read_scheme, verify_request
from shared.times import rfc3339

FROM_THE_BUS: Final = "the platform brings the message, and nobody else can; assumed here"
_AUTHENTICATION_CODES: Final[frozenset[ProblemCode]] = frozenset(
    {"signature_mismatch", "timestamp_out_of_range", "invalid_delivery_id", "password_mismatch"}
)

Secrets = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Verified:
    """A successful verification, in words. `time` is empty if the scheme signs no time."""

    signature: str
    time: str = ""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A request to a configured source, with all that its checks compare it with.

    request   the request as the provider sent it
    settings  the source's settings, as the slice has them
    secrets   the values of the source's secrets that can be read, by name
    url       the URL that the sender called, as receive reconstructs it
    """

    request: Request
    source: Source
    settings: JsonObject
    secrets: Secrets
    url: str
    now: float

    def verified(self) -> Verified | None:
        """Return the first scheme that verifies the request; None if none does without a key from the network."""
        if "bus" in self.settings:
            return Verified(FROM_THE_BUS)
        for auth in auth_schemes(self.settings):
            values = self.secrets.get(auth.secret, ())
            tries = [[value] for value in values] or [[]]  # some schemes have no secret
            for number, tried in enumerate(tries, 1):
                if self._passes(auth, tried):
                    time = _time_description(Case(self.request, auth, tried, self.url), self.now)
                    return Verified(_description(auth, number, len(values)), time)
        return None

    def is_valid_except_time(self) -> bool:
        schemes = auth_schemes(self.settings)
        cases = [Case(self.request, auth, self.secrets.get(auth.secret, ()), self.url) for auth in schemes]
        return any(holds(as_signed(case)) for case in cases)

    def _passes(self, auth: AuthScheme, secrets: Sequence[str]) -> bool:
        try:
            verify_request(self.request, auth, secrets, {}, self.now, self.url)
        except HookchainError:
            return False
        return True

    def advice(self, code: ProblemCode | None, others: Secrets) -> list[str]:
        """Return the likely causes of a rejection with the code. `others` are the secrets of the other sources."""
        if code not in {*_AUTHENTICATION_CODES, "method_not_allowed"}:
            return []
        if cause := handshake_cause(self.request, self.source):
            return [cause]
        return self._rejection_causes(others) if code in _AUTHENTICATION_CODES else []

    def _rejection_causes(self, others: Secrets) -> list[str]:
        """Return one line for each scheme that the request carries credentials for, or for all if it has none."""
        schemes = attempted(self.request, auth_schemes(self.settings))
        is_of_provider = "formats" in self.settings
        causes: list[str] = []
        for auth in schemes:
            secrets = self.secrets.get(auth.secret, ())
            cause = rejection_cause(self.request, auth, secrets, self.now, self.url, others, is_of_provider)
            if cause:
                causes.append(cause if len(schemes) == 1 else f"{scheme_label(auth)}: {cause}")
        return causes


def auth_schemes(settings: JsonObject) -> list[AuthScheme]:
    return [read_scheme(entry) for entry in auth_entries(settings)]


def secret_names(settings: Json) -> list[str]:
    return list(dict.fromkeys(str(entry["secret"]) for entry in auth_entries(settings) if entry.get("secret")))


def _time_description(case: Case, now: float) -> str:
    if case.auth.scheme != "link":
        return time_description(as_signed(case), now)
    expires = next((value for name, value in links.parameters(case.request.query) if name == links.EXPIRES), None)
    return f"valid until {rfc3339(int(expires))}" if expires else "valid without a time limit"


def _description(auth: AuthScheme, number: int, count: int) -> str:
    if auth.scheme == "none":
        return "the source requires no authentication: anyone who finds its URL may send"
    which = f", value {number} of {count}" if count > 1 else ""
    secret = f" with the secret {auth.secret!r}{which}" if auth.secret else ""
    return f"{scheme_label(auth)}{secret}"


def scheme_label(auth: AuthScheme) -> str:
    algorithm = ""
    if isinstance(
        auth,
        signature_scheme.HmacScheme | signature_scheme.DigestScheme | key_schemes.EcdsaScheme | key_schemes.RsaScheme,
    ):
        algorithm = f" {auth.algorithm}"
    where = "".join(f" in {each.name}" for each in auth.credentials if each.kind == "header")
    variant = f" ({auth.variant})" if auth.variant else ""
    return f"{auth.scheme}{algorithm}{where}{variant}"
