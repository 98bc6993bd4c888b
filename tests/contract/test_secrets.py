"""What every implementation of the Secrets port, and its fake, must do."""

from collections.abc import Callable, Mapping

import pytest

from shared.errors import Temporary
from shared.ports import Secrets
from shared.secrets import SecretMissing, SecretStore, from_environment
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

NEW = "a-strong-value-of-24-char"
OLD = "the-one-before-it-25-char"


def store(texts: Mapping[str, str]) -> SecretStore:
    environ = {name.upper().replace("-", "_"): text for name, text in texts.items()}
    return SecretStore((from_environment(environ),), FakeClock())


MAKERS = pytest.mark.parametrize("make", [FakeSecrets, store])
Make = Callable[[Mapping[str, str]], Secrets]


@MAKERS
async def test_a_secrets_values_come_newest_first(make: Make) -> None:
    assert await make({"signup-password": f"{NEW}\n{OLD}\n"}).values("signup-password") == (NEW, OLD)


@MAKERS
async def test_a_secret_that_is_not_there_is_temporary_and_says_so(make: Make) -> None:
    with pytest.raises(SecretMissing) as missing:
        await make({"other": NEW}).values("signup-password")
    assert missing.value.code == "secret_unavailable"


@MAKERS
@pytest.mark.parametrize("text", ["", "\n", "changeme", f"{NEW}\npassword"])
async def test_a_secret_that_protects_nothing_is_temporary(make: Make, text: str) -> None:
    with pytest.raises(Temporary) as weak:
        await make({"signup-password": text}).values("signup-password")
    assert weak.value.code == "secret_weak"
