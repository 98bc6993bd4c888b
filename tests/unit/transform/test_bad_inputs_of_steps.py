"""The lines of bad-inputs.txt whose stage is a step that reads, writes or seals documents, each through a chain."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from functions.transform.chain import Chain
from functions.transform.encryption import Binding, parse_keys, seal
from functions.transform.program import read_chain
from functions.transform.step import Services
from shared.formats.text_body import binary
from shared.jsontext import Json
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.fakes.steps import EVENT

STAGES: Final = frozenset({"convert", "decode", "encrypt", "decrypt"})
SECRET: Final = "hunter2"
KEYS: Final = f"2026:{'ab' * 32}\n2025:{'cd' * 32}"
NEW, OLD = parse_keys("keys", KEYS.split("\n"))
SEALED: Final = seal(f'"{SECRET}"'.encode(), NEW, Binding("", "data"), bytes(12))
DECRYPT: Final[Json] = {"decrypt": {"secret": "keys"}}


def changed(part: int, at: int) -> str:
    parts = SEALED.split(".")
    letter = parts[part][at]
    parts[part] = parts[part][:at] + ("B" if letter == "A" else "A") + parts[part][at + 1 :]
    return ".".join(parts)


CASES: Final[dict[str, list[tuple[Json, Json, str]]]] = {
    "P15": [
        ({"decode": {"from": "base64"}}, "aGk=!!!!", "decoding_failed"),
        ({"decode": {"from": "hex"}}, "abc", "decoding_failed"),
        ({"decode": {"from": "hex"}}, "de ad", "decoding_failed"),
        ({"decode": {"from": "gzip"}}, binary(gzip.compress(bytes(20 * 1024 * 1024), 1), ""), "decoding_failed"),
        ({"decode": {"from": "utf-8"}}, binary("é".encode("latin-1"), ""), "decoding_failed"),
    ],
    "P18": [
        (DECRYPT, SEALED.replace("2026", "2024"), "unknown_key"),
        (DECRYPT, changed(3, -2), "cryptography_failed"),
        (DECRYPT, changed(2, 3), "cryptography_failed"),
        ({"decrypt": {"secret": "keys", "context": "another"}}, SEALED, "cryptography_failed"),
        (DECRYPT, "hc1.2026.AAECAwQFBgcICQo.AAAAAAAAAAAAAAAAAAAAAA", "cryptography_failed"),
        (DECRYPT, SEALED[:-8], "cryptography_failed"),
    ],
    "P24": [(DECRYPT, seal(b'"x"', OLD, Binding("", "data"), bytes(12)), "")],
    "P25": [({"encrypt": {"secret": "keys"}}, SECRET, "")],  # nonces: test_steps_text
    "P27": [
        ({"convert": {"to": "xml"}}, {"a><script>": 1}, "conversion_failed"),
        ({"convert": {"to": "xml"}}, {"": 1}, "conversion_failed"),
        ({"convert": {"to": "yaml"}}, {"x": float("nan")}, "conversion_failed"),
        ({"convert": {"to": "yaml"}}, {None: 1}, "conversion_failed"),  # type: ignore[dict-item] # a step of one's own may
    ],
}


async def codes(step: Json, data: Json) -> Sequence[str]:
    steps, faults = read_chain([step])
    assert not faults
    event = replace(EVENT, data=data)
    chain = Chain("route", tuple(steps))
    services = Services(FakeSecrets({"keys": KEYS}), lambda: FakeFetch(), FakeOwners(), None)
    course = await chain.run(event, services)
    for fault in course.faults:
        assert SECRET not in f"{fault.detail}{fault.__cause__!r}"
    return [fault.code for fault in course.faults]


@pytest.mark.parametrize(("step", "data", "code"), [case for cases in CASES.values() for case in cases])
async def test_each_bad_input_has_its_code(step: Json, data: Json, code: str) -> None:
    assert await codes(step, data) == ([code] if code else [])


def test_every_line_of_these_stages_has_its_cases(inputs_folder: Path) -> None:
    lines = (inputs_folder / "bad-inputs.txt").read_text(encoding="utf-8").splitlines()
    found = {line.split("|")[0] for line in lines if not line.startswith("#") and line.split("|")[1] in STAGES}

    assert found == CASES.keys()
