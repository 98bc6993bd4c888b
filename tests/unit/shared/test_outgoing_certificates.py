"""Client certificates and private authorities of the guarded way out."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from shared.errors import Temporary
from shared.fetch import Outgoing, Tls
from shared.outgoing.tls_contexts import TlsContexts
from tests.unit.shared.outgoing_worlds import answer, issue, serving


async def test_a_client_certificate_and_a_private_authority_belong_to_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = issue("authority")
    server, client = issue("good.example", authority), issue("client", authority)
    (tmp_path / "server.pem").write_text(server.key + server.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate)
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    async with serving(answer, context) as world:
        url = f"https://good.example:{world.port}/"
        both = Tls(client.certificate, client.key, authority.certificate)
        for tls, works in (
            (both, True),
            (Tls(*both), True),
            (both._replace(certificate="", key=""), False),
            (both._replace(authorities=issue("authority").certificate), False),
            (None, False),
        ):
            request = Outgoing("GET", url, allow_private=True, tls=tls)
            if works:
                assert (await world.fetch.fetch(request)).body == b"ok"
            else:
                with pytest.raises(Temporary) as error:
                    await world.fetch.fetch(request)
                assert error.value.code == "host_unreachable"
    assert world.seen == [(0, "GET"), (0, "GET")]
    assert list(temporary.iterdir()) == []


def test_what_is_no_certificate_is_an_unusable_secret_and_no_value_is_named() -> None:
    one, other = issue("one"), issue("other")
    encrypted = serialization.load_pem_private_key(one.key.encode(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    for tls in (
        Tls(one.certificate, other.key),
        Tls(one.certificate, encrypted.decode()),
        Tls(one.certificate, "nonsense"),
        Tls("nonsense", one.key),
        Tls(authorities="nonsense"),
        Tls(one.certificate),
    ):
        with pytest.raises(Temporary) as error:
            TlsContexts().context(tls)
        assert (error.value.code, "nonsense" in error.value.detail) == ("secret_unusable", False)
