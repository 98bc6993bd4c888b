"""The bad inputs of receive, by their line in the list, and what becomes of each."""

import base64
import hmac
import json
from collections.abc import Sequence
from typing import Final

from shared.jsontext import Json
from tests.fakes.clock import FakeClock

STAGES: Final = frozenset({"auth", "transport", "json", "xml", "yaml", "form"})
NOW: Final = int(FakeClock().now())
OLD_KEY, NEW_KEY = (base64.b64encode(text).decode() for text in (b"the older of the keys", b"the newer of the keys"))
SECRETS: Final = {
    "std": f"whsec_{NEW_KEY}\nwhsec_{OLD_KEY}",
    "hub": "a secret, long enough",
    "empty": "",
    "bare": "whsec_",
    "placeholder": "changeme",
}
SOURCES: Final = """
open: {auth: none}
std: {provider: standard_webhooks, secret: std}
hub: {provider: github, secret: hub}
sns: {provider: aws_sns, params: {topics: '123456789012'}}
empty: {provider: standard_webhooks, secret: empty}
bare: {provider: standard_webhooks, secret: bare}
placeholder: {provider: github, secret: placeholder}
"""
BODY: Final = b'{"type": "a.b", "n": 1}'
JSON_TYPE, XML_TYPE, YAML_TYPE = "application/json", "application/xml", "application/yaml"
FORM_TYPE, PARTS_TYPE = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"

Header = tuple[str, str]
Case = tuple[bytes, str | None, Json]
"""Body, content type, and the status and code of its rejection (empty where it is taken), or the data of its event."""

DOCTYPES: Final = (
    b"<!DOCTYPE a><a/>",
    b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "' + b"&b;" * 10 + b'">]><a>&c;</a>',
    b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 50_000 + b'">]><a>' + b"&b;" * 1_000 + b"</a>",
    b'<!DOCTYPE a [<!ENTITY b "&c;"><!ENTITY c "&b;">]><a>&b;</a>',
    b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/">%b;]><a/>',
)
EXTERNAL: Final = tuple(
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "' + url + b'">]><a>&b;</a>'
    for url in (b"file:///etc/passwd", b"http://127.0.0.1/")
)
ALIASES: Final = b"a0: &a0 [" + b"x," * 9 + b"x]\n" + b"".join(
    b"a%d: &a%d [" % (level, level) + b"*a%d," % (level - 1) * 9 + b"]\n" for level in range(1, 10)
)  # fmt: skip
FEW_ALIASES: Final = b"a: &a [" + b"x," * 3_000 + b"]\nb: [" + b"*a," * 99 + b"]\n"
MERGES: Final = b"a0: &a0 {x: 1, y: 2}\n" + b"".join(
    b"a%d: &a%d {k%d: {<<: *a%d}, l%d: {<<: *a%d}}\n" % (n, n, n, n - 1, n, n - 1) for n in range(1, 20)
)


def nested(opening: bytes, closing: bytes, levels: int) -> bytes:
    return opening * levels + b"1" + closing * levels


def of_type(content_type: str | None, expected: Json, *bodies: bytes) -> list[Case]:
    return [(body, content_type, expected) for body in bodies]


PARSED: Final[dict[str, list[Case]]] = {
    "T13": [
        (b'{"a": 1}', None, {"a": 1}),
        (b"<a><b>1</b></a>", "text/plain", {"a": {"b": "1"}}),
        (b"plain words", None, "plain words"),
    ],
    "T15": of_type(JSON_TYPE, "400 malformed_body", b"<a/>"),
    "T19": of_type(JSON_TYPE, "400 malformed_body", b""),
    "J01": of_type(JSON_TYPE, "422 nested_too_deeply", nested(b"[", b"]", 65), b"[" * 100_000, b'[{"":' * 50_000),
    "J04": [
        *of_type(JSON_TYPE, "422 number_out_of_range", b"1e400", b"[-1e400]", b"9" * 4_301),
        *((b"9" * digits, JSON_TYPE, int("9" * digits)) for digits in (20, 4_300)),
    ],
    "J06": [
        (b"9007199254740993", JSON_TYPE, 9007199254740993),
        (b"18446744073709551616", JSON_TYPE, 18446744073709551616),
        (b"1.10", JSON_TYPE, 1.1),
        (b"1E5", JSON_TYPE, 1e5),
    ],
    "J08": [
        # Stricter than the list, which has U+FFFD: nothing that was sent is replaced, in any format.
        *of_type(JSON_TYPE, "400 malformed_body", rb'"\ud800"', rb'"\udc00\ud800"'),
        (rb'"\ud83d\ude00"', JSON_TYPE, "\U0001f600"),
    ],
    "J09": [
        (b'\xef\xbb\xbf{"a": 1}', JSON_TYPE, {"a": 1}),
        *of_type(JSON_TYPE, "400 malformed_body", b'\xff\xfe"a"', b'"\xc0\xaf"'),
    ],
    "J14": of_type(
        JSON_TYPE,
        "422 too_many_values",
        b"[" + b"1," * 250_000 + b"1]",
        json.dumps({str(number): 1 for number in range(10_001)}).encode(),
        b'{"' + b"a" * 900_000 + b'": 1}',
    ),
    "J15": [
        (json.dumps({key: 1}).encode(), JSON_TYPE, {key: 1})
        for key in ("__proto__", "constructor", "__class__", "", "a.b")
    ],
    "X01": of_type(XML_TYPE, "422 dtd_not_allowed", *DOCTYPES),
    "X04": of_type(XML_TYPE, "422 dtd_not_allowed", *EXTERNAL),
    "X06": of_type(XML_TYPE, "422 nested_too_deeply", nested(b"<a>", b"</a>", 65), b"<a>" * 300_000),
    "X07": [
        *of_type(XML_TYPE, "422 too_many_values", b"<a " + b" ".join(b'b%d=""' % n for n in range(100_000)) + b"/>"),
        *of_type(XML_TYPE, "422 too_many_values", b"<a>" + b"<b/>" * 250_001 + b"</a>"),
    ],
    "X13": [(b'<a b="' + b"x" * 800_000 + b'"/>', XML_TYPE, "")],
    "Y01": of_type(
        YAML_TYPE,
        "422 tag_not_allowed",
        b"!!python/object/apply:os.system [x]",
        b"!!binary aGk=",
        b"!!set {a}",
        b"!custom x",
    ),
    "Y02": of_type(YAML_TYPE, "422 expanded_too_large", ALIASES, FEW_ALIASES),
    "Y04": of_type(YAML_TYPE, "422 expanded_too_large", MERGES),
    "Y06": of_type(YAML_TYPE, "422 nested_too_deeply", b"[" * 1_000, b"[" * 30_000, b"[" * 1_000_000),
    "Y08": [
        (b"a: 1\n---\nb: 2\n", YAML_TYPE, "400 multiple_documents"),
        (b"a: 1\na: 2\n", YAML_TYPE, "422 duplicate_key"),
        (b"[a]: 1\n", YAML_TYPE, "422 invalid_key"),
        (b"1: a\n", YAML_TYPE, {"1": "a"}),
    ],
    "Y12": of_type(YAML_TYPE, "422 number_out_of_range", b".nan", b".inf", b"9" * 5_000),
    "F01": [
        (b"&".join(b"a%d=1" % number for number in range(1_001)), FORM_TYPE, "422 too_many_fields"),
        (b"a=%FF", FORM_TYPE, "400 malformed_body"),  # stricter, as J08
        (b"a=1;b=2", FORM_TYPE, {"a": "1;b=2"}),
        (b"a=1&a=2", FORM_TYPE, {"a": ["1", "2"]}),
    ],
    "F05": [
        (
            b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n' * 101 + b"--b--",
            PARTS_TYPE,
            "422 too_many_parts",
        ),
        (b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n', PARTS_TYPE, "400 malformed_body"),
        (b"", f"multipart/form-data; boundary={'b' * 80}", "400 malformed_body"),
        (b"", "multipart/form-data", "400 malformed_body"),
    ],
}  # fmt: skip


def mac(body: bytes = BODY, at: int = NOW, key: str = NEW_KEY, webhook_id: str = "m-1") -> str:
    content = f"{webhook_id}.{at}.".encode() + body
    return base64.b64encode(hmac.digest(base64.b64decode(key), content, "sha256")).decode()


def standard(signature: str | None, at: int = NOW, webhook_id: str | None = "m-1") -> list[Header]:
    given = [("webhook-id", webhook_id), ("webhook-timestamp", str(at)), ("webhook-signature", signature)]
    return [(name, value) for name, value in given if value is not None]


V1: Final = f"v1,{mac()}"
Signed = tuple[Sequence[Header], bytes, str]
SIGNED: Final[dict[str, list[Signed]]] = {
    "A01": [(standard(None), BODY, "401 signature_mismatch")],
    "A02": [(standard("v1,"), BODY, "401 signature_mismatch")],
    "A03": [
        (standard("v1," + base64.b64encode(base64.b64decode(mac())[:10]).decode()), BODY, "401 signature_mismatch")
    ],
    "A04": [(standard("abc"), BODY, "401 signature_mismatch")],
    "A06": [(standard(f"v1,AAAA  {V1}"), BODY, "")],
    "A07": [(standard("v1,é"), BODY, "401 signature_mismatch"), (standard("v1,A"), BODY, "401 signature_mismatch")],
    "A09": [(standard(f"v1,{mac(key=OLD_KEY)}"), BODY, "")],
    "A11": [(standard(f"{version},{mac()}"), BODY, "401 signature_mismatch") for version in ("v9", "v1a")],
    "A12": [(standard(" ".join([V1] * count)), BODY, "401 signature_mismatch") for count in (11, 10_000)],
    "A14": [(standard(f"v1,{mac(at=at)}", at), BODY, "401 timestamp_out_of_range") for at in (NOW - 301, NOW + 301)],
    "A15": [(standard(f"v1,{mac(at=at)}", at), BODY, "") for at in (NOW - 300, NOW + 300)],
    "A19": [
        *(
            (standard(f"v1,{mac(webhook_id=bad)}", NOW, bad), BODY, "400 invalid_delivery_id")
            for bad in ("a.b", "a\nb", "a" * 129)
        ),
        (standard(V1, NOW, None), BODY, "400 invalid_delivery_id"),
    ],
    "A20": [
        (standard(V1), bytes([BODY[0] ^ 1]) + BODY[1:], "401 signature_mismatch"),
        (standard(V1), json.dumps(json.loads(BODY), separators=(",", ":")).encode(), "401 signature_mismatch"),
    ],
    "A24": [([*standard(V1), ("webhook-signature", f"v1,{mac(key=OLD_KEY)}")], BODY, "401 signature_mismatch")],
}

SNS: Final[dict[str, Json]] = {"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:x:123456789012:t"}
PEM: Final = "https://sns.us-east-1.amazonaws.com/a.pem"
CASES_OF_SNS: Final[dict[str, list[tuple[str, str, str]]]] = {
    "A30": [
        (f"{start}/a.pem", "https://sns.us-east-1.amazonaws.com/", "401 certificate_url_not_allowed")
        for start in (
            "https://sns.evil.com",
            "https://sns.us-east-1.amazonaws.com.evil.com",
            PEM[:-6].replace("s:", ":"),
        )
    ],
    "A31": [(PEM, "http://169.254.169.254/", "401 subscribe_url_not_allowed")],
}

REQUESTS: Final[dict[str, list[tuple[str, str, Sequence[Header], bytes, str]]]] = {
    "T01": [(method, "/std", (), b"", "405 method_not_allowed") for method in ("GET", "PUT")],
    "T02": [
        ("POST", path, (), b"{}", "404 unknown_source") for path in ("/nobody", "/..%2f..%2fetc", "/" + "a" * 4_096)
    ],
    "T04": [("POST", "/open", (), b"a" * 1_048_577, "413 body_too_large")],
    "T09": [("POST", "/open", (("content-encoding", "gzip, gzip"),), b"a" * 333, "415 unsupported_encoding")],
    "T10": [
        ("POST", "/open", (("content-encoding", name),), b"a", "415 unsupported_encoding")
        for name in ("br", "zstd", "x-evil")
    ],
    "A27": [("POST", f"/{name}", (), BODY, "503 unavailable") for name in ("empty", "bare", "placeholder")],
}
