"""The signature of Amazon SNS, whose messages name the certificate that verifies them.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from shared import errors, http
from shared.jsontext import JsonObject, canonical
from shared.signatures import auth_scheme, locations, signed_times, signing
from shared.signatures.certificates import allowed_url, certificate
from shared.signatures.keys import is_signed_by, public_key

# After `sns`, only a region is accepted: sns.s3-us-west-2.amazonaws.com is the bucket of whoever named a bucket sns.
AWS_SNS_HOST: Final = r"sns\.([a-z]{2,4}(?:-[a-z]+){1,2}-[0-9]{1,2})\.(amazonaws\.(?:com|com\.cn|eu))"
CERTIFICATE_PATH: Final = r"/[A-Za-z0-9._-]+\.pem"
"""The paths of certificates, without a query."""
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
            tolerance_seconds=entry.seconds("tolerance_seconds", signed_times.TOLERANCE_SECONDS),
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
            _text(message, "SigningCertURL"), AWS_SNS_HOST, "certificate_url_not_allowed", CERTIFICATE_PATH
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
        signed_times.verify_timestamp(_text(message, "Timestamp"), now, self.tolerance_seconds, "rfc3339")
        algorithm = _ALGORITHM.get(_text(message, "SignatureVersion") or "")
        if algorithm is None:
            raise auth_scheme.mismatch(f"SignatureVersion is none of {', '.join(_ALGORITHM)}")
        contents = tuple(_content(message, names) for names in _SIGNED[str(message["Type"])])
        return UnprovenMessage(url, algorithm, _signature(message), contents)

    def _verify_region(self, url: str, code: errors.RejectedCode) -> None:
        """Raise Rejected (`code`) if the URL's region is neither known nor that of a topic in `topics`."""
        host = re.match(f"https://{AWS_SNS_HOST}(?:[:/?]|$)", url)
        region, suffix = host.groups() if host else ("", "")
        regions_of_topics = {_arn_part(topic, _ARN_REGION) for topic in self.topics if _is_arn(topic)}
        is_known = suffix in _REGIONS and re.fullmatch(_REGIONS[suffix], region)
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


SCHEMES: Final = {"aws-sns": AwsSnsScheme}
