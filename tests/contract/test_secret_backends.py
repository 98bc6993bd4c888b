"""What every store of secrets must do for `hookchain secrets`."""

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.cloud_access.aws import AwsApi
from deploy.cloud_access.aws_names import checked_target
from deploy.secrets.backend import DotenvBackend, SecretBackend
from shared.cloud.aws.client import AwsPlace
from shared.secrets import split_values

STRONG = "a-long-and-random-value-1"
OTHER = "a-long-and-random-value-2"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"

Make = Callable[[], SecretBackend]


@pytest.fixture(params=["dotenv", "aws"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Returns a backend over the same store each time."""
    if request.param == "dotenv":
        today = datetime.date(2026, 3, 1)
        return lambda: DotenvBackend(tmp_path / ".env", {}, tmp_path / "mounted", today)
    place: AwsPlace = request.getfixturevalue("aws")
    keys = place.credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
    target = checked_target(f"s{uuid.uuid4().hex[:10]}", place.region)
    return lambda: SecretsManagerBackend(target, AwsApi(place.region, {"AWS_ENDPOINT_URL": str(place.endpoint)}))


def test_what_does_not_exist_is_left_out(make: Make) -> None:
    assert make().find(["shop-password", "pay-key"]) == {}


@pytest.mark.parametrize("text", [STRONG, f"{OTHER}\n{STRONG}", f"{PEM}{STRONG}"])
def test_a_value_comes_back_with_its_place_and_age(make: Make, text: str) -> None:
    assert make().write("shop-password", text, forget=False)
    found = make().find(["pay-key", "shop-password"])
    assert list(found) == ["shop-password"]
    assert found["shop-password"].values == split_values(text)
    assert found["shop-password"].where
    assert found["shop-password"].set_at is not None
    assert not found["shop-password"].trouble


@pytest.mark.parametrize("forget", [False, True])
def test_a_new_value_takes_the_place_of_the_old_one(make: Make, forget: bool) -> None:
    make().write("shop-password", STRONG, forget=False)
    lines = make().write("shop-password", OTHER, forget=forget)
    assert make().find(["shop-password"])["shop-password"].values == (OTHER,)
    assert STRONG not in "".join(lines)
    assert OTHER not in "".join(lines)


def test_how_to_read_a_value_names_the_secret_and_not_the_value(make: Make) -> None:
    make().write("shop-password", STRONG, forget=False)
    text = make().how_to_read("shop-password")
    assert "shop-password" in text.lower().replace("_", "-")
    assert STRONG not in text
