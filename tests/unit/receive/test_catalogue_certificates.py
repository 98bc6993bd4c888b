"""Amazon SNS and PayPal, whose requests name the certificate they are proven by: the tests make their own."""

import json

import pytest

from shared.errors import Temporary
from shared.jsontext import Json
from tests.unit.receive.certified import SNS_CERT, SNS_CONFIRM, TEXT, TOPIC, certificate, sns, sns_receiving, sns_signed
from tests.unit.receive.sender_keys import NOW, code


def confirmation(**changes: str) -> dict[str, str]:
    message = sns(Type="SubscriptionConfirmation", Token="t", SubscribeURL=SNS_CONFIRM, **changes)
    del message["Subject"]
    return message


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_notification_is_proven_by_the_certificate_it_names(version: str) -> None:
    body = sns_signed(sns(SignatureVersion=version))
    [event] = await sns_receiving().events(list(TEXT.items()), body)
    assert (event.type, event.deliveryid, event.subject) == ("Notification", "m-1", TOPIC)
    assert await code(sns_receiving(), TEXT, body.replace(b"hello", b"hallo")) == "signature_mismatch"


async def test_a_notification_late_by_its_retries_is_accepted_and_no_later() -> None:
    body = sns_signed(sns())
    assert await code(sns_receiving(NOW + 3599), TEXT, body) == ""
    assert await code(sns_receiving(NOW + 3601), TEXT, body) == "timestamp_out_of_range"


@pytest.mark.parametrize("topics", ["123456789012", ["999999999999", TOPIC]])
async def test_an_account_or_one_of_several_topics_may_send(topics: Json) -> None:
    assert await code(sns_receiving(topics=topics), TEXT, sns_signed(sns())) == ""


async def test_anybody_elses_topic_may_not() -> None:
    assert await code(sns_receiving(topics="999999999999"), TEXT, sns_signed(sns())) == "signature_mismatch"


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({"TopicArn": "arn:aws:sns:eu-central-1:666666666666:theirs"}, "signature_mismatch"),
        ({"Timestamp": "2020-01-01T00:00:00.000Z"}, "timestamp_out_of_range"),
        ({"Timestamp": "now"}, "timestamp_out_of_range"),
        ({"SignatureVersion": "3"}, "signature_mismatch"),
        ({"Signature": ""}, "signature_mismatch"),
        ({"Signature": "%"}, "signature_mismatch"),
        ({"SigningCertURL": "https://sns.eu-nowhere-9.amazonaws.com/a.pem"}, "certificate_url_not_allowed"),
        ({"SigningCertURL": "https://sns.cn-north-1.amazonaws.com/a.pem"}, "certificate_url_not_allowed"),
        (
            {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.eu-nowhere-9.amazonaws.com/"},
            "subscribe_url_not_allowed",
        ),
    ],
)
async def test_an_unsigned_message_makes_nobody_fetch_a_certificate(changes: dict[str, str], rejection: str) -> None:
    where = sns_receiving()
    message = {**sns(), "Signature": "Zm9yZ2Vk", **changes}
    assert await code(where, TEXT, json.dumps(message).encode()) == rejection
    assert where.fetch.asked == []


async def test_a_region_newer_than_this_version_is_accepted_where_topics_name_it() -> None:
    topic, url = TOPIC.replace("eu-central-1", "eu-nowhere-9"), "https://sns.eu-nowhere-9.amazonaws.com/a.pem"
    body = sns_signed(sns(TopicArn=topic, SigningCertURL=url))
    for topics, rejection in ((topic, ""), ("123456789012", "certificate_url_not_allowed")):
        where = sns_receiving(topics=topics)
        where.fetched = {url: certificate("sns.amazonaws.com", 30)}
        assert await code(where, TEXT, body) == rejection


async def test_a_genuine_message_is_not_rejected_while_its_certificate_cannot_be_fetched() -> None:
    where = sns_receiving()
    where.fetched = {}
    with pytest.raises(Temporary) as trouble:
        await where.outcome("POST", list(TEXT.items()), sns_signed(sns()))
    assert trouble.value.code == "key_unavailable"


async def test_what_a_strangers_topic_had_signed_is_not_read_as_a_trusted_accounts() -> None:
    """SNS signs its fields a line each: a stranger's message may hold lines that look like other fields."""
    at, theirs = sns()["Timestamp"], "arn:aws:sns:eu-central-1:666666666666:theirs"
    lines = f"forged\nMessageId\nm-2\nTimestamp\n{at}\nTopicArn\n{TOPIC}"
    signed = sns(TopicArn=theirs, Message=lines)
    del signed["Subject"]
    sent = json.loads(sns_signed(signed))
    rest = f"\nMessageId\nm-1\nTimestamp\n{at}\nTopicArn\n{theirs}"
    forged = {**sent, "Message": "forged", "MessageId": "m-2", "TopicArn": TOPIC + rest}
    for message, account in ((sent, "666666666666"), (forged, "123456789012")):
        expected = "" if message is sent else "signature_mismatch"
        assert await code(sns_receiving(topics=account), TEXT, json.dumps(message).encode()) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.evil.com/a.pem",
        "https://sns.us-east-1.amazonaws.com.evil.com/a.pem",
        "http://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com@evil.com/a.pem",
        "https://evil.com\\@sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com:8443/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.txt",
        "https://sns.us-east-1.amazonaws.com/a?.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem\n",
        "https://sns.us-east-1.amazonaws.com/a.pem?Action=GetTopicAttributes",
        "https://sns.us-east-1.amazonaws.com/a/b.pem",
        "https://sns.s3-us-west-2.amazonaws.com/a.pem",
        "https://sns.s3-accelerate.amazonaws.com/a.pem",
        "",
    ],
)
async def test_a_certificate_from_elsewhere_is_never_fetched(url: str) -> None:
    where = sns_receiving()
    assert await code(where, TEXT, sns_signed(sns(SigningCertURL=url))) == "certificate_url_not_allowed"
    assert where.fetch.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "us-gov-west-1.amazonaws.com",
        "ap-southeast-2.amazonaws.com",
        "cn-north-1.amazonaws.com.cn",
        "eusc-de-east-1.amazonaws.eu",
    ],
)
async def test_the_certificate_may_be_of_any_region(host: str) -> None:
    where, url = sns_receiving(), f"https://sns.{host}/a.pem"
    where.fetched = {url: certificate("sns.amazonaws.com", 30)}
    assert await code(where, TEXT, sns_signed(sns(SigningCertURL=url))) == ""


async def test_a_subscription_is_confirmed_once_it_is_proven() -> None:
    where = sns_receiving()
    reply = await where.reply("POST", list(TEXT.items()), sns_signed(confirmation()))
    assert reply.status == 200
    assert [request.url for request in where.fetch.asked] == [SNS_CERT, SNS_CONFIRM]


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://evil.com/", SNS_CONFIRM.replace("https", "http")])
async def test_a_subscription_is_confirmed_nowhere_else(url: str) -> None:
    where = sns_receiving()
    assert await code(where, TEXT, sns_signed(confirmation() | {"SubscribeURL": url})) == "subscribe_url_not_allowed"
    assert where.fetch.asked == []


async def test_a_forged_confirmation_is_not_followed() -> None:
    where = sns_receiving()
    body = sns_signed(confirmation()).replace(b'"Token": "t"', b'"Token": "u"')
    assert await code(where, TEXT, body) == "signature_mismatch"
    assert [request.url for request in where.fetch.asked] == [SNS_CERT]


async def test_raw_delivery_and_other_bodies_are_rejected() -> None:
    for body in (b"plain", b"{}", b'{"Type": "Notification"}', b'{"Type": {"a": 1}}', b"[]", b""):
        assert await code(sns_receiving(), TEXT, body) in {"signature_mismatch", "certificate_url_not_allowed"}


async def test_an_expired_certificate_proves_nothing() -> None:
    assert await code(sns_receiving(days=-1), TEXT, sns_signed(sns())) == "signature_mismatch"


async def test_what_is_fetched_and_is_no_certificate_decides_nothing() -> None:
    where = sns_receiving()
    where.fetched = {SNS_CERT: b"<html>"}
    assert await code(where, TEXT, sns_signed(sns())) == "key_unavailable"
