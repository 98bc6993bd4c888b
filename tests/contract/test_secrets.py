"""What every implementation of the Secrets port, and its fake, must do."""

import uuid
from collections.abc import Callable, Mapping

import pytest

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.secrets_manager import from_secrets_manager
from shared.errors import Temporary
from shared.ports import Secrets
from shared.secrets import SecretMissing, SecretStore, from_environment
from tests.aws.local_aws import boto_client
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

NEW = "a-strong-value-of-24-char"
OLD = "the-one-before-it-25-char"


def store(texts: Mapping[str, str]) -> SecretStore:
    environ = {name.upper().replace("-", "_"): text for name, text in texts.items()}
    return SecretStore((from_environment(environ),), FakeClock())


Make = Callable[[Mapping[str, str]], Secrets]


def in_secrets_manager(place: AwsPlace) -> Make:
    def make(texts: Mapping[str, str]) -> Secrets:
        prefix, manager = f"{uuid.uuid4().hex}-", boto_client(place, "secretsmanager")
        for name, text in texts.items():
            # An empty text is none to Secrets Manager, and the bytes of an empty one are.
            manager.create_secret(Name=prefix + name, **({"SecretString": text} if text else {"SecretBinary": b"\n"}))
        return SecretStore((), FakeClock(), from_secrets_manager(place, prefix))

    return make


@pytest.fixture(params=["fake", "environment", "secrets_manager"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "secrets_manager":
        return in_secrets_manager(request.getfixturevalue("aws"))
    return FakeSecrets if request.param == "fake" else store


async def test_a_secrets_values_come_newest_first(make: Make) -> None:
    assert await make({"signup-password": f"{NEW}\n{OLD}\n"}).values("signup-password") == (NEW, OLD)


async def test_a_secret_that_is_not_there_is_temporary_and_says_so(make: Make) -> None:
    with pytest.raises(SecretMissing) as missing:
        await make({"other": NEW}).values("signup-password")
    assert missing.value.code == "secret_unavailable"


@pytest.mark.parametrize("text", ["", "\n", "  ", "whsec_", "ChangeMe", f"{NEW}\npassword"])
async def test_a_secret_that_protects_nothing_is_temporary(make: Make, text: str) -> None:
    with pytest.raises(Temporary) as weak:
        await make({"signup-password": text}).values("signup-password")
    assert weak.value.code == "secret_weak"
