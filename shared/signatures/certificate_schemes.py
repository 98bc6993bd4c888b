"""The schemes whose requests name the certificate that verifies them: Amazon SNS and PayPal.

A sender chooses the URL, so only the provider's own hosts are fetched.

SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
PayPal signs ids, the time and the body's CRC-32: https://developer.paypal.com/api/rest/webhooks/rest/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Self

from shared import errors, http
from shared.jsontext import JsonObject, canonical
from shared.signatures import auth_scheme, locations, signing
from shared.signatures.content import TemplateValues, filled_template, parse_content
from shared.signatures.keys import is_signed_by, public_key

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def certificate(pem: bytes, now: float) -> Certificate:
    """Raises Rejected (`signature_mismatch`) for an expired certificate, and Temporary for bytes that are not a
    certificate."""
    found = _loaded(pem)
    if found.not_valid_after_utc < datetime.fromtimestamp(now, UTC):
        raise auth_scheme.mismatch("the provider's certificate has expired")
    return found


@lru_cache(maxsize=16)
def _loaded(pem: bytes) -> Certificate:
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem)
    except (ValueError, InvalidVersion) as error:
        raise errors.Temporary("key_unavailable", "what was fetched as the provider's certificate is none") from error


def common_names(found: Certificate) -> list[str]:
    from cryptography.x509.oid import NameOID

    return [str(name.value) for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


# No user, no port but https's own, no white space or backslash, on which parsers disagree.
_PLAIN: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?(/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)"
)

# A region and nothing else: at sns.s3-us-west-2.amazonaws.com lies what the owner of a bucket named sns puts there.
AWS_SNS_HOST: Final = r"sns\.([a-z]{2,4}(?:-[a-z]+){1,2}-[0-9]{1,2})\.(amazonaws\.(?:com|com\.cn|eu))"
PAYPAL_HOST: Final = r"api(-m)?(\.sandbox)?\.paypal\.com"
# Where keys lie, and no query: the same hosts answer questions, with what strangers have put there.
AWS_SNS_CERTIFICATE: Final = r"/[A-Za-z0-9._-]+\.pem"
PAYPAL_CERTIFICATE: Final = r"/v1/notifications/certs/[A-Za-z0-9._-]+"


def allowed_url(text: str | None, host_pattern: str, code: errors.RejectedCode, path_pattern: str = r"/.*") -> str:
    """Return an allowed URL. `path_pattern` matches path and query. Raises Rejected."""
    found = _PLAIN.fullmatch(text or "") if len(text or "") <= 2048 else None
    if not found or not re.fullmatch(host_pattern, found[1]) or not re.fullmatch(path_pattern, found[2]):
        is_certificate = code == "certificate_url_not_allowed"
        what = "the certificate's URL" if is_certificate else "the URL that confirms the subscription"
        raise errors.Rejected(code, f"{what} is not one of the provider's own")
    return found[0]


_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
# The signature is over lines: with breaks in these, what SNS signed for a stranger's topic could be read as another's.
_ONE_LINE: Final = frozenset(_NOTIFICATION + _CONFIRMATION) - {"Message"}
# AWS's own libraries disagree about the last one.
_SIGNED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "Notification": (_NOTIFICATION,),
    "SubscriptionConfirmation": (_CONFIRMATION,),
    "UnsubscribeConfirmation": (_CONFIRMATION, _NOTIFICATION),
}
_NAME_IT: Final = "give the topic's whole ARN in `topics`"
_ALGORITHM: Final = {"1": "sha1", "2": "sha256"}

# botocore's endpoints and partitions. A region that is newer is taken where the operator's `topics` name it in an ARN.
_REGIONS: Final = {
    "amazonaws.com": r"af-south-1|ap-(east|south)-[12]|ap-northeast-[1-3]|ap-southeast-[1-7]|ca-(central|west)-1"
    r"|eu-(central|south)-[12]|eu-north-1|eu-west-[1-3]|il-central-1|me-(central|south|west)-1|mx-central-1"
    r"|sa-(east|west)-1|us-(east|west)-[12]|us-gov-(east|west)-1",
    "amazonaws.com.cn": r"cn-(north|northwest)-1",
    "amazonaws.eu": r"eusc-de-east-1",
}


class UnprovenMessage(NamedTuple):
    """A message that passed every check that needs no certificate. `url` is where its certificate is."""

    url: str
    algorithm: str
    signature: bytes
    contents: tuple[bytes, ...]


@dataclass(eq=False, repr=False, kw_only=True)
class AwsSnsScheme(auth_scheme.TimedScheme):
    """`topics`: the ARNs or account ids that may send, as anyone can create a topic whose messages SNS signs."""

    scheme = "aws-sns"
    topics: tuple[str, ...] = ()
    signs_content: bool = field(init=False, default=True)
    signs_fields: bool = field(init=False, default=True)
    needs_key: bool = field(init=False, default=True)

    @classmethod
    def read(cls, entry: auth_scheme.SchemeEntry) -> Self:
        return cls(
            topics=entry.texts("topics"),
            tolerance_seconds=entry.seconds("tolerance_seconds", auth_scheme.TOLERANCE_SECONDS),
            when=entry.when,
            **entry.strings(without={"topics"}),
        )

    def verify(
        self, fields: locations.RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float
    ) -> None:
        message = self._read_unproven(fields, now)
        pem = auth_scheme.fetched_key(keys, message.url)
        certificate(pem, now)
        key = public_key(pem.decode("ascii", "replace"))
        checks = [
            is_signed_by(key, "rsa", message.signature, content, algorithm=message.algorithm)
            for content in message.contents
        ]
        if True not in checks:
            raise auth_scheme.mismatch("the signature does not match the message and the certificate")

    def needed_key(self, fields: locations.RequestFields, now: float) -> auth_scheme.NeededKey:
        return auth_scheme.NeededKey(self._read_unproven(fields, now).url, is_configured=False)

    def _read_unproven(self, fields: locations.RequestFields, now: float) -> UnprovenMessage:
        """Check all that needs no network: both URLs and their regions, topic, timestamp.

        Raises Rejected: `signature_mismatch`, `timestamp_out_of_range`, `certificate_url_not_allowed`,
        `subscribe_url_not_allowed`.
        """
        message = _message(fields)
        url = allowed_url(
            _text(message, "SigningCertURL"), AWS_SNS_HOST, "certificate_url_not_allowed", AWS_SNS_CERTIFICATE
        )
        self._verify_region(url, "certificate_url_not_allowed")
        if message.get("Type") == "SubscriptionConfirmation":
            self._verify_region(
                allowed_url(_text(message, "SubscribeURL"), AWS_SNS_HOST, "subscribe_url_not_allowed"),
                "subscribe_url_not_allowed",
            )
        topic = _text(message, "TopicArn") or ""
        account = topic.split(":")[4] if topic.count(":") >= 5 else ""
        if self.topics and topic not in self.topics and account not in self.topics:
            raise auth_scheme.mismatch("neither the topic nor its account is one that the source names")
        auth_scheme.verify_timestamp(_text(message, "Timestamp"), now, self.tolerance_seconds, "rfc3339")
        algorithm = _ALGORITHM.get(_text(message, "SignatureVersion") or "")
        if algorithm is None:
            raise auth_scheme.mismatch(f"SignatureVersion is none of {', '.join(_ALGORITHM)}")
        contents = tuple(_content(message, names) for names in _SIGNED[str(message["Type"])])
        return UnprovenMessage(url, algorithm, _signature(message), contents)

    def _verify_region(self, url: str, code: errors.RejectedCode) -> None:
        found = re.match(f"https://{AWS_SNS_HOST}[:/]", url)
        region, suffix = found.groups() if found else ("", "")
        named = {topic.split(":")[3] for topic in self.topics if topic.count(":") >= 5}
        if region not in named and not re.fullmatch(_REGIONS.get(suffix, ""), region):
            raise errors.Rejected(code, f"the URL names an unknown AWS region; for a new one, {_NAME_IT}")

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        return auth_scheme.Coverage(body_fields=True)

    def signed_content(self, fields: locations.RequestFields) -> bytes:
        message = _message(fields)
        names = {name for choice in _SIGNED[str(message["Type"])] for name in choice}
        return canonical({name: text for name in sorted(names) if (text := _text(message, name)) is not None})


def _message(fields: locations.RequestFields) -> JsonObject:
    message = fields.data
    if not isinstance(message, dict) or not isinstance(message.get("Type"), str) or message["Type"] not in _SIGNED:
        raise auth_scheme.mismatch("the body is not from SNS; raw message delivery has no signature, so turn it off")
    if any("\n" in (_text(message, name) or "") for name in _ONE_LINE):
        raise auth_scheme.mismatch("a field other than the message has a line break, and could pass for several fields")
    return message


def _signature(message: JsonObject) -> bytes:
    try:
        signature = signing.decoded(_text(message, "Signature") or "", "base64")
    except ValueError:
        signature = b""
    if not signature:
        raise auth_scheme.mismatch("the message has no Signature in base64")
    return signature


def _content(message: JsonObject, names: tuple[str, ...]) -> bytes:
    lines = [(name, text) for name in names if (text := _text(message, name)) is not None]
    return "".join(f"{name}\n{text}\n" for name, text in lines).encode("utf-8", "replace")


def _text(message: JsonObject, name: str) -> str | None:
    value = message.get(name)
    return value if isinstance(value, str) else None


_CONTENT: Final = parse_content("{header.paypal-transmission-id}|{header.paypal-transmission-time}|{id}|{body.crc32}")
_LASTING: Final = parse_content("{header.paypal-transmission-id}|{body.crc32}")
_SUBJECTS: Final = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})


class UnprovenRequest(NamedTuple):
    """A request that passed every check that needs no certificate. `url` is where its certificate is."""

    url: str
    signature: bytes
    content: bytes


@dataclass(eq=False, repr=False, kw_only=True)
class PayPalScheme(auth_scheme.TimedScheme):
    scheme = "paypal"
    signature_headers: ClassVar[frozenset[str]] = frozenset({"paypal-transmission-sig"})
    webhook_id: str
    signs_content: bool = field(init=False, default=True)
    needs_key: bool = field(init=False, default=True)

    def verify(
        self, fields: locations.RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float
    ) -> None:
        request = self._read_unproven(fields, now)
        pem = auth_scheme.fetched_key(keys, request.url)
        if not _SUBJECTS.intersection(common_names(certificate(pem, now))):
            raise auth_scheme.mismatch("the certificate is not that of PayPal's webhook signatures")
        if not is_signed_by(public_key(pem.decode("ascii", "replace")), "rsa", request.signature, request.content):
            raise auth_scheme.mismatch("the signature does not match the ids, the time, the body and the certificate")

    def needed_key(self, fields: locations.RequestFields, now: float) -> auth_scheme.NeededKey:
        return auth_scheme.NeededKey(self._read_unproven(fields, now).url, is_configured=False)

    def _read_unproven(self, fields: locations.RequestFields, now: float) -> UnprovenRequest:
        """Check all that needs no network: algorithm, time, URL. Raises Rejected (`signature_mismatch`,
        `timestamp_out_of_range`, `certificate_url_not_allowed`)."""
        request = fields.request
        if not (signature_text := request.header("paypal-transmission-sig")):
            raise auth_scheme.NotAttempted(
                "the request has no signature: it is expected in the header paypal-transmission-sig"
            )
        url = allowed_url(
            request.header("paypal-cert-url"), PAYPAL_HOST, "certificate_url_not_allowed", PAYPAL_CERTIFICATE
        )
        if (request.header("paypal-auth-algo") or "").lower() != "sha256withrsa":
            raise auth_scheme.mismatch("the header paypal-auth-algo names another algorithm than SHA256withRSA")
        auth_scheme.verify_timestamp(request.header("paypal-transmission-time"), now, self.tolerance_seconds, "rfc3339")
        try:
            signature = signing.decoded(signature_text, "base64")
        except ValueError:
            raise auth_scheme.mismatch("the signature is not base64") from None
        return UnprovenRequest(url, signature, filled_template(_CONTENT, TemplateValues(fields, id=self.webhook_id)))

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        return auth_scheme.Coverage(body_fields=True)  # a checksum of the body is signed

    def signed_content(self, fields: locations.RequestFields) -> bytes:
        return filled_template(_LASTING, TemplateValues(fields))

    def signed_time(self, fields: locations.RequestFields) -> str:
        return fields.request.header("paypal-transmission-time") or ""


SCHEMES: Final = {"aws-sns": AwsSnsScheme, "paypal": PayPalScheme}
