"""The auth scheme and the secret that a request is verified with, or for each scheme the reason why it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from functions.receive.diagnosis.diagnose import attempted, rejection_cause
from functions.receive.diagnosis.guesses import Case, as_signed, holds
from functions.receive.diagnosis.times import time_description
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme, read_scheme, verify
from shared.signatures.digest_scheme import DigestScheme
from shared.signatures.key_schemes import EcdsaScheme, RsaScheme
from shared.signatures.links import EXPIRES, parameters
from shared.signatures.signature_scheme import HmacScheme
from shared.times import rfc3339

Secrets = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Verified:
    """A successful verification, in words. `time` is empty if the scheme signs no time."""

    signature: str
    time: str = ""


def auth_schemes(settings: JsonObject) -> list[AuthScheme]:
    auth = settings.get("auth")
    return [read_scheme(entry) for entry in auth] if isinstance(auth, list) else []


def verified_scheme(request: Request, settings: JsonObject, secrets: Secrets, now: float, url: str) -> Verified | None:
    """Return the first scheme that verifies the request; None if none does without a key from the network."""
    for auth in auth_schemes(settings):
        values = secrets.get(auth.secret, ())
        for number, value in enumerate(values or [""], 1):
            if _passes(request, auth, [value] if values else [], now, url):
                return Verified(
                    _description(auth, number, len(values)), _time_description(Case(request, auth, [value], url), now)
                )
    return None


def is_valid_except_time(request: Request, settings: JsonObject, secrets: Secrets, url: str) -> bool:
    schemes = [as_signed(Case(request, auth, secrets.get(auth.secret, ()), url)) for auth in auth_schemes(settings)]
    return any(holds(case) or _passes(request, case.auth, case.secrets, 0, url) for case in schemes)


def _time_description(case: Case, now: float) -> str:
    if case.auth.scheme != "link":
        return time_description(as_signed(case), now)
    expires = next((value for name, value in parameters(case.request.query) if name == EXPIRES), None)
    return f"valid until {rfc3339(int(expires))}" if expires else "valid without a time limit"


def _description(auth: AuthScheme, number: int, count: int) -> str:
    if auth.scheme == "none":
        return "the source requires no authentication: anyone who finds its URL may send"
    which = f", value {number} of {count}" if count > 1 else ""
    secret = f" with the secret {auth.secret!r}{which}" if auth.secret else ""
    return f"{scheme_label(auth)}{secret}"


def scheme_label(auth: AuthScheme) -> str:
    algorithm = ""
    if isinstance(auth, HmacScheme | DigestScheme | EcdsaScheme | RsaScheme):
        algorithm = f" {auth.algorithm}"
    where = "".join(f" in {each.name}" for each in auth.credentials if each.kind == "header")
    variant = f" ({auth.variant})" if auth.variant else ""
    return f"{auth.scheme}{algorithm}{where}{variant}"


def _passes(request: Request, auth: AuthScheme, secrets: Sequence[str], now: float, url: str) -> bool:
    try:
        verify(request, auth, secrets, {}, now, url)
    except HookchainError:
        return False
    return True


def rejection_reasons(
    request: Request, settings: JsonObject, secrets: Secrets, now: float, url: str, others: Secrets
) -> list[str]:
    """Return one line for each scheme that the request carries credentials for, or for all schemes if it has none."""
    schemes = attempted(request, auth_schemes(settings))
    causes: list[str] = []
    for auth in schemes:
        cause = rejection_cause(request, auth, secrets.get(auth.secret, ()), now, url, others)
        if cause:
            causes.append(cause if len(schemes) == 1 else f"{scheme_label(auth)}: {cause}")
    return causes


def secret_names(settings: Json) -> list[str]:
    auth = settings.get("auth") if isinstance(settings, dict) else None
    schemes = auth if isinstance(auth, list) else []
    return list(dict.fromkeys(str(each["secret"]) for each in schemes if isinstance(each, dict) and each.get("secret")))
