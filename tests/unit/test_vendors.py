"""The command that says what changed in newer versions of the vendors' libraries."""

import json
import tomllib
from pathlib import Path

from tests.functional.test_vendor_libraries import NPM, PYPI
from tests.vendors.__main__ import FOLDER, MAX_NAMES, Library, change_lines

OLD = "headers['X-Acme-Signature']; const one = \"some-other-text\"; import('./webhook-signature')"
NEW = "headers['Acme-Signature-V2']; hmac(`sha256`, 'whsec_'); const one = \"another-text\""


def library(folder: Path, version: str, code: str) -> Library:
    (folder / "node_modules" / "another").mkdir(parents=True)
    (folder / "index.mjs").write_text(code, encoding="utf-8")
    (folder / "index.d.ts").write_text("type Old = 'a-signature-in-a-type'", encoding="utf-8")
    (folder / "node_modules" / "another" / "index.js").write_text("'another-signature'", encoding="utf-8")
    return Library("npm acme", version, folder)


def test_names_of_headers_algorithms_and_keys_that_a_newer_version_has_are_listed(tmp_path: Path) -> None:
    old, new = library(tmp_path / "old", "1.0", OLD), library(tmp_path / "new", "2.0", NEW)
    assert [*change_lines(old, new)] == [
        "npm acme 1.0 -> 2.0",
        "  new: Acme-Signature-V2 | sha256 | whsec_",
        "  gone: X-Acme-Signature",
    ]
    assert not [*change_lines(old, old)]


def test_no_more_names_are_listed_than_a_person_reads(tmp_path: Path) -> None:
    code = "\n".join(f"'signature-{number}'" for number in range(MAX_NAMES + 2))
    [_, line] = change_lines(library(tmp_path / "old", "1.0", ""), library(tmp_path / "new", "2.0", code))
    assert line.endswith(" and 2 more")


def test_every_library_is_pinned_or_required(root: Path) -> None:
    pinned = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert pinned.keys() == set(NPM.values())
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    required = " ".join(text for extra in extras.values() for text in extra)
    assert [package for package, _ in PYPI.values() if package not in required] == []
