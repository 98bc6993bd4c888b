"""The credentials of `hookchain send`: a secret goes only where the options or the configuration send it."""

import argparse
import io
from pathlib import Path

import pytest

from deploy.requests.send_options import choose_credentials

CONFIG = """\
sources: {shop: {auth: {scheme: bearer, secret: shop-key}}}
routes: [{name: r, to: d}]
destinations: {d: {email: {to: a@example.com}}}
"""


def options(url: str, config: Path, **changed: object) -> argparse.Namespace:
    unset = dict.fromkeys(("secret", "source", "password_header", "basic", "hmac"))
    flags = dict.fromkeys(("secret_stdin", "password", "bearer", "standard_webhooks"), False)
    return argparse.Namespace(url=url, config=str(config), **{**unset, **flags, **changed})


@pytest.mark.parametrize(
    ("url", "changed", "secret"),
    [
        ("http://localhost:8080/shop", {}, "a-value"),
        ("https://hooks.example.com/shop", {}, None),
        ("http://localhost.example.com/shop", {}, None),
        ("https://hooks.example.com/in", {"source": "shop"}, "a-value"),
        ("https://hooks.example.com/shop", {"secret": "shop-key"}, "a-value"),
    ],
)
def test_a_secret_of_the_configuration_goes_to_another_machine_only_if_it_is_named(
    tmp_path: Path, url: str, changed: dict[str, object], secret: str | None
) -> None:
    config = tmp_path / "hookchain.yaml"
    config.write_text(CONFIG)
    found = choose_credentials(options(url, config, **changed), {"SHOP_KEY": "a-value"}, io.StringIO())
    assert found.secret == secret
    assert ("not on this machine" in found.note) is (secret is None)
