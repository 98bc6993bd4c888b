"""A value encrypted and decrypted by the steps, under keys that a test names."""

from base64 import b64encode
from typing import Final

import pytest

from functions.transform.steps.encrypt import Decrypt, Encrypt
from shared.errors import Permanent
from shared.jsontext import Json
from tests.fakes.steps import data_after

OLD: Final = "2025:" + b64encode(bytes(range(32))).decode()
NEW: Final = "2026:" + b64encode(bytes(range(32, 64))).decode()
JWE: Final[dict[str, Json]] = {"secret": "keys", "format": "jwe"}


def encrypted(data: Json, keys: str = NEW, **settings: Json) -> Json:
    return data_after(Encrypt, {"secret": "keys", **settings}, data, {"keys": keys})


def decrypted(data: Json, keys: str = NEW, **settings: Json) -> Json:
    return data_after(Decrypt, {"secret": "keys", **settings}, data, {"keys": keys})


def refused(data: Json, keys: str = NEW, **settings: Json) -> Permanent:
    with pytest.raises(Permanent) as caught:
        decrypted(data, keys, **settings)
    return caught.value
