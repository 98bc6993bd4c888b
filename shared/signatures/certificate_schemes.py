"""The schemes whose requests name the certificate that verifies them: Amazon SNS and PayPal.

A stranger could name any URL, so only URLs on the provider's own hosts are fetched.

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
    """Return the certificate.

    Raises Rejected (`signature_mismatch`) if it has expired, and Temporary (`key_unavailable`) for bytes that are not a
    certificate.
    """
    loaded = _load_certificate(pem)
    if loaded.not_valid_after_utc < datetime.fromtimestamp(now, UTC):
        raise auth_scheme.mismatch("the provider's certificate has expired")
    return loaded


@lru_cache(maxsize=16)
def _load_certificate(pem: bytes) -> Certificate:
    # The package cryptography is imported in functions, because it takes 23 ms: no start waits for it.
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(pem)
    except (ValueError, InvalidVersion) as error:
        raise errors.Temporary("key_unavailable", "what was fetched as the provider's certificate is none") from error


def common_names(loaded: Certificate) -> list[str]:
    from cryptography.x509.oid import NameOID

    return [str(name.value) for name in loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


# A URL that all parsers read in the same way: without a user, with no port but that of https, and without white space
# and backslashes. Its groups are the host, and the path with the query.
_PLAIN_URL: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?(/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)"
)
_MAX_URL_CHARACTERS: Final = 2_048
# After `sns`, only a region is accepted: sns.s3-us-west-2.amazonaws.com is the bucket of whoever named a bucket sns.
AWS_SNS_HOST: Final = r"sns\.([a-z]{2,4}(?:-[a-z]+){1,2}-[0-9]{1,2})\.(amazonaws\.(?:com|com\.cn|eu))"
PAYPAL_HOST: Final = r"api(-m)?(\.sandbox)?\.paypal\.com"
# The paths of certificates, without a query. By other paths and queries, the same hosts answer API calls with content
# that strangers have put there.
AWS_SNS_CERTIFICATE: Final = r"/[A-Za-z0-9._-]+\.pem"
PAYPAL_CERTIFICATE: Final = r"/v1/notifications/certs/[A-Za-z0-9._-]+"


def allowed_url(text: str | None, host_pattern: str, code: errors.RejectedCode, path_pattern: str = r"/.*") -> str:
    """Return the URL if it is allowed. `path_pattern` matches its path and query. Raises Rejected (`code`)."""
    url = _PLAIN_URL.fullmatch(text or "") if len(text or "") <= _MAX_URL_CHARACTERS else None
    if url and re.fullmatch(host_pattern, url[1]) and re.fullmatch(path_pattern, url[2]):
        return url[0]
    is_certificate = code == "certificate_url_not_allowed"
    what = "the certificate's URL" if is_certificate else "the URL that confirms the subscription"
    raise errors.Rejected(code, f"{what} is not one of the provider's own")


_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
# Fields that must not have a line break. The signature covers lines of names and values. With a break in one of these,
# a message that SNS signed for a stranger's topic could be read as one of another topic.
_ONE_LINE: Final = frozenset(_NOTIFICATION + _CONFIRMATION) - {"Message"}
# The signed fields by the type of the message. AWS's own libraries disagree about the last type, so both are tried.
_SIGNED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "Notification": (_NOTIFICATION,),
    "SubscriptionConfirmation": (_CONFIRMATION,),
    "UnsubscribeConfirmation": (_CONFIRMATION, _NOTIFICATION),
}
_NAME_IT: Final = "give the topic's whole ARN in `topics`"
_ALGORITHM: Final = {"1": "sha1", "2": "sha256"}
"""The hash of each SignatureVersion."""
_ARN_REGION, _ARN_ACCOUNT = 3, 4
"""The positions of two parts of an ARN: `arn:partition:service:region:account:name`."""

# The regions in botocore's endpoints and partitions, by the end of the host. A newer region is accepted if an ARN in
# the operator's `topics` names it.
_REGIONS: Final = {
    "amazonaws.com": r"af-south-1|ap-(east|south)-[12]|ap-northeast-[1-3]|ap-southeast-[1-7]|ca-(central|west)-1"
    r"|eu-(central|south)-[12]|eu-north-1|eu-west-[1-3]|il-central-1|me-(central|south|west)-1|mx-central-1"
    r"|sa-(east|west)-1|us-(east|west)-[12]|us-gov-(east|west)-1",
    "amazonaws.com.cn": r"cn-(north|northwest)-1",
    "amazonaws.eu": r"eusc-de-east-1",
}


class UnprovenMessage(NamedTuple):
    """A message that passed every check that needs no certificate. `url` is the URL of its certificate.

    `contents` are the bytes that may be signed, of which any one will do.
    """

    url: str
    algorithm: str
    signature: bytes
    contents: tuple[bytes, ...]


@dataclass(eq=False, repr=False, kw_only=True)
class AwsSnsScheme(auth_scheme.TimedScheme):
    """The signature of Amazon SNS.

    `topics` are the ARNs of the topics, or the ids of the accounts, that may send. They matter, because anyone can
    create a topic, and SNS signs the messages of all topics.
    """

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
        """Return the message once all checks have passed that need no network: of both URLs, the topic and the time.

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
        account = _arn_part(topic, _ARN_ACCOUNT)
        if self.topics and topic not in self.topics and account not in self.topics:
            raise auth_scheme.mismatch("neither the topic nor its account is one that the source names")
        auth_scheme.verify_timestamp(_text(message, "Timestamp"), now, self.tolerance_seconds, "rfc3339")
        algorithm = _ALGORITHM.get(_text(message, "SignatureVersion") or "")
        if algorithm is None:
            raise auth_scheme.mismatch(f"SignatureVersion is none of {', '.join(_ALGORITHM)}")
        contents = tuple(_content(message, names) for names in _SIGNED[str(message["Type"])])
        return UnprovenMessage(url, algorithm, _signature(message), contents)

    def _verify_region(self, url: str, code: errors.RejectedCode) -> None:
        """Raise Rejected (`code`) if the URL's region is neither known nor that of a topic in `topics`."""
        host = re.match(f"https://{AWS_SNS_HOST}[:/]", url)
        region, suffix = host.groups() if host else ("", "")
        regions_of_topics = {_arn_part(topic, _ARN_REGION) for topic in self.topics if _is_arn(topic)}
        is_known = re.fullmatch(_REGIONS.get(suffix, ""), region)
        if region not in regions_of_topics and not is_known:
            raise errors.Rejected(code, f"the URL names an unknown AWS region; for a new one, {_NAME_IT}")

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        return auth_scheme.Coverage(body_fields=True)

    def signed_content(self, fields: locations.RequestFields) -> bytes:
        message = _message(fields)
        names = {name for choice in _SIGNED[str(message["Type"])] for name in choice}
        return canonical({name: text for name in sorted(names) if (text := _text(message, name)) is not None})


def _is_arn(text: str) -> bool:
    return text.count(":") >= 5


def _arn_part(arn: str, position: int) -> str:
    """Return a part of an ARN; empty if the text is not an ARN."""
    return arn.split(":")[position] if _is_arn(arn) else ""


def _message(fields: locations.RequestFields) -> JsonObject:
    """Return the message in the body. Raises Rejected (`signature_mismatch`)."""
    message = fields.data
    if not isinstance(message, dict) or not isinstance(message.get("Type"), str) or message["Type"] not in _SIGNED:
        raise auth_scheme.mismatch("the body is not from SNS; raw message delivery has no signature, so turn it off")
    if any("\n" in (_text(message, name) or "") for name in _ONE_LINE):
        raise auth_scheme.mismatch("a field other than the message has a line break, and could pass for several fields")
    return message


def _signature(message: JsonObject) -> bytes:
    try:
        signature = signing.decode_bytes(_text(message, "Signature") or "", "base64")
    except ValueError:
        signature = b""
    if not signature:
        raise auth_scheme.mismatch("the message has no Signature in base64")
    return signature


def _content(message: JsonObject, names: tuple[str, ...]) -> bytes:
    """Return the bytes that are signed: a line with the name and a line with the text of each field that there is."""
    fields = [(name, text) for name in names if (text := _text(message, name)) is not None]
    return "".join(f"{name}\n{text}\n" for name, text in fields).encode("utf-8", "replace")


def _text(message: JsonObject, name: str) -> str | None:
    value = message.get(name)
    return value if isinstance(value, str) else None


_CONTENT: Final = parse_content("{header.paypal-transmission-id}|{header.paypal-transmission-time}|{id}|{body.crc32}")
"""The content that PayPal signs. The id is that of the webhook."""
_LASTING: Final = parse_content("{header.paypal-transmission-id}|{body.crc32}")
"""The part of it that is the same each time PayPal sends the event."""
_SUBJECTS: Final = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})
"""The common names of PayPal's certificates for webhooks."""


class UnprovenRequest(NamedTuple):
    """A request that passed every check that needs no certificate. `url` is the URL of its certificate."""

    url: str
    signature: bytes
    content: bytes


@dataclass(eq=False, repr=False, kw_only=True)
class PayPalScheme(auth_scheme.TimedScheme):
    """The signature of PayPal. `webhook_id` is the id that PayPal's settings show for the webhook."""

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
        names = common_names(certificate(pem, now))
        if _SUBJECTS.isdisjoint(names):
            raise auth_scheme.mismatch("the certificate is not that of PayPal's webhook signatures")
        key = public_key(pem.decode("ascii", "replace"))
        if not is_signed_by(key, "rsa", request.signature, request.content):
            raise auth_scheme.mismatch("the signature does not match the ids, the time, the body and the certificate")

    def needed_key(self, fields: locations.RequestFields, now: float) -> auth_scheme.NeededKey:
        return auth_scheme.NeededKey(self._read_unproven(fields, now).url, is_configured=False)

    def _read_unproven(self, fields: locations.RequestFields, now: float) -> UnprovenRequest:
        """Return the request once all checks have passed that need no network: of the URL, the algorithm and the time.

        Raises Rejected: `signature_mismatch`, `timestamp_out_of_range` or `certificate_url_not_allowed`.
        """
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
            signature = signing.decode_bytes(signature_text, "base64")
        except ValueError:
            raise auth_scheme.mismatch("the signature is not base64") from None
        content = filled_template(_CONTENT, TemplateValues(fields, id=self.webhook_id))
        return UnprovenRequest(url, signature, content)

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        return auth_scheme.Coverage(body_fields=True)  # a checksum of the body is signed

    def signed_content(self, fields: locations.RequestFields) -> bytes:
        return filled_template(_LASTING, TemplateValues(fields))

    def signed_time(self, fields: locations.RequestFields) -> str:
        return fields.request.header("paypal-transmission-time") or ""


SCHEMES: Final = {"aws-sns": AwsSnsScheme, "paypal": PayPalScheme}
