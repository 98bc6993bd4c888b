"""Amazon SNS over HTTP: the body names the certificate that its signature is checked with.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from shared.errors import Rejected, RejectedCode
from shared.http import Request
from shared.jsontext import JsonObject, canonical
from shared.signatures.auth_scheme import Coverage, NeededKey, TimedScheme, read_seconds, read_strings, read_texts
from shared.signatures.certificates import AWS_SNS_CERTIFICATE, AWS_SNS_HOST, allowed_url, certificate, fetched
from shared.signatures.keys import is_signed_by, public_key
from shared.signatures.locations import RequestFields, read_conditions
from shared.signatures.signing import decoded
from shared.signatures.timestamps import TOLERANCE_SECONDS, verify_timestamp

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


class Unproven(NamedTuple):
    """A message that passed every check that needs no certificate. `url` is where its certificate is."""

    url: str
    algorithm: str
    signature: bytes
    contents: tuple[bytes, ...]


@dataclass(eq=False, repr=False, kw_only=True)
class AwsSnsScheme(TimedScheme):
    """`topics`: the ARNs or account ids that may send, as anyone can create a topic whose messages SNS signs."""

    scheme = "aws-sns"
    topics: tuple[str, ...] = ()
    signs_content: bool = field(init=False, default=True)
    signs_fields: bool = field(init=False, default=True)
    needs_key: bool = field(init=False, default=True)

    @classmethod
    def read(cls, entry: JsonObject) -> Self:
        return cls(
            topics=read_texts(entry.get("topics")),
            tolerance_seconds=read_seconds(entry, "tolerance_seconds", TOLERANCE_SECONDS),
            when=read_conditions(entry.get("when")),
            **read_strings(entry, "topics"),
        )

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        message = self._read_unproven(fields, now)
        pem = fetched(keys, message.url)
        certificate(pem, now)
        key = public_key(pem.decode("ascii", "replace"))
        checks = [
            is_signed_by(key, "rsa", message.signature, content, algorithm=message.algorithm)
            for content in message.contents
        ]
        if True not in checks:
            raise Rejected("signature_mismatch", "the signature does not match the message and the certificate")

    def needed_key(self, fields: RequestFields, now: float) -> NeededKey:
        return NeededKey(self._read_unproven(fields, now).url, is_configured=False)

    def _read_unproven(self, fields: RequestFields, now: float) -> Unproven:
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
            raise Rejected("signature_mismatch", "neither the topic nor its account is one that the source names")
        verify_timestamp(_text(message, "Timestamp"), now, self.tolerance_seconds, "rfc3339")
        algorithm = _ALGORITHM.get(_text(message, "SignatureVersion") or "")
        if algorithm is None:
            raise Rejected("signature_mismatch", f"SignatureVersion is none of {', '.join(_ALGORITHM)}")
        contents = tuple(_content(message, names) for names in _SIGNED[str(message["Type"])])
        return Unproven(url, algorithm, _signature(message), contents)

    def _verify_region(self, url: str, code: RejectedCode) -> None:
        found = re.match(f"https://{AWS_SNS_HOST}[:/]", url)
        region, suffix = found.groups() if found else ("", "")
        named = {topic.split(":")[3] for topic in self.topics if topic.count(":") >= 5}
        if region not in named and not re.fullmatch(_REGIONS.get(suffix, ""), region):
            raise Rejected(code, f"the URL names an unknown AWS region; for a new one, {_NAME_IT}")

    def coverage(self, unpacked: str, request: Request) -> Coverage:
        return Coverage(body_fields=True)

    def signed_content(self, fields: RequestFields) -> bytes:
        message = _message(fields)
        names = {name for choice in _SIGNED[str(message["Type"])] for name in choice}
        return canonical({name: text for name in sorted(names) if (text := _text(message, name)) is not None})


def _message(fields: RequestFields) -> JsonObject:
    message = fields.data
    if not isinstance(message, dict) or not isinstance(message.get("Type"), str) or message["Type"] not in _SIGNED:
        raise Rejected(
            "signature_mismatch", "the body is not from SNS; raw message delivery has no signature, so turn it off"
        )
    if any("\n" in (_text(message, name) or "") for name in _ONE_LINE):
        raise Rejected(
            "signature_mismatch", "a field other than the message has a line break, and could pass for several fields"
        )
    return message


def _signature(message: JsonObject) -> bytes:
    try:
        signature = decoded(_text(message, "Signature") or "", "base64")
    except ValueError:
        signature = b""
    if not signature:
        raise Rejected("signature_mismatch", "the message has no Signature in base64")
    return signature


def _content(message: JsonObject, names: tuple[str, ...]) -> bytes:
    lines = [(name, text) for name in names if (text := _text(message, name)) is not None]
    return "".join(f"{name}\n{text}\n" for name, text in lines).encode("utf-8", "replace")


def _text(message: JsonObject, name: str) -> str | None:
    value = message.get(name)
    return value if isinstance(value, str) else None
