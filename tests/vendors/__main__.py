"""List the vendors' libraries that verify the samples, or say what changed in newer versions of them.

    python -m tests.vendors
    python -m tests.vendors --newest

`--newest` installs the newest versions into a temporary folder. For each library with a newer version it prints the
names that begin or end to stand in its code: of headers, algorithms, prefixes of keys. Then it verifies the samples by
the newest versions. It exits with 1 if one of them does not verify a sample.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.functional.test_vendor_libraries import NPM, PYPI, ROOT

FOLDER: Final = Path(__file__).resolve().parent
TEST: Final = "tests/functional/test_vendor_libraries.py"
CODE: Final = frozenset({".cjs", ".js", ".mjs", ".py"})
MAX_NAMES: Final = 30
"""More names than a person reads for one library: an interface for all of a provider's API has thousands."""

_QUOTED: Final = re.compile(r"""(?P<quote>["'`])(?P<name>[A-Za-z][\w.:=,+ -]{2,60})(?P=quote)""")
_ABOUT_SIGNATURES: Final = re.compile(
    r"signature|hmac|webhook-|wh[a-z]*sec_|digest|svix|sha-?(?:1|256|384|512)|ed25519|-timestamp|tolerance",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Library:
    """A library, at the version that the tests use, or at the newest one. `folder` is where it is installed."""

    name: str
    version: str
    folder: Path


def npm_libraries(folder: Path) -> dict[str, Library]:
    """Return the libraries that are installed in the folder's node_modules, by name."""
    found: dict[str, Library] = {}
    for name in sorted(set(NPM.values())):
        installed = folder / "node_modules" / name
        version = json.loads((installed / "package.json").read_text(encoding="utf-8"))["version"]
        found[name] = Library(f"npm {name}", version, installed)
    return found


def pypi_libraries(*path: str) -> dict[str, Library]:
    """Return the libraries that are installed in a folder, by name; without one, those of this environment."""
    found: dict[str, Library] = {}
    for name in sorted({package for package, _ in PYPI.values()}):
        [installed, *_] = metadata.distributions(name=name, path=list(path or sys.path))
        packages = (installed.read_text("top_level.txt") or name.replace("-", "_")).split()
        folder = Path(str(installed.locate_file(packages[0])))
        found[name] = Library(f"pip {name}", installed.version, folder)
    return found


def install_newest(folder: Path) -> None:
    """Install the newest version of each library, for Node beside a copy of verify.mjs, for Python in `pip`."""
    shutil.copy(FOLDER / "verify.mjs", folder)
    npm = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(
        [*npm, "--prefix", str(folder), *(f"{name}@latest" for name in sorted(set(NPM.values())))], check=True
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder / "pip")]
    subprocess.run([*pip, *sorted({package for package, _ in PYPI.values()})], check=True)


def names_about_signatures(folder: Path) -> set[str]:
    """Return the quoted names in the code of a package that are about signatures."""
    names: set[str] = set()
    for file in folder.rglob("*"):
        if file.suffix in CODE and file.is_file() and "node_modules" not in file.relative_to(folder).parts:
            text = file.read_text(encoding="utf-8", errors="replace")
            names |= {found["name"] for found in _QUOTED.finditer(text)}
    return {name for name in names if _ABOUT_SIGNATURES.search(name)}


def change_lines(old: Library, new: Library) -> Iterator[str]:
    """Yield lines about a newer version; none if there is none."""
    if new.version == old.version:
        return
    yield f"{old.name} {old.version} -> {new.version}"
    before, after = names_about_signatures(old.folder), names_about_signatures(new.folder)
    for title, names in (("new", after - before), ("gone", before - after)):
        shown = sorted(names)[:MAX_NAMES]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        if shown:
            yield f"  {title}: {' | '.join(shown)}{more}"


def all_changes(old: Mapping[str, Library], new: Mapping[str, Library]) -> list[str]:
    return [line for name, library in old.items() for line in change_lines(library, new[name])]


def verify_by_newest(folder: Path) -> int:
    """Verify the samples by the libraries in the folder. Return the exit status of the test."""
    environ = os.environ | {"VENDORS_FOLDER": str(folder), "PYTHONPATH": str(folder / "pip")}
    run = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--tb=no", "-W", "ignore", TEST]
    return subprocess.run(run, cwd=ROOT, env=environ, check=False).returncode


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m tests.vendors", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--newest", action="store_true", help="say what changed in newer versions")
    options = parser.parse_args(arguments)
    if not (FOLDER / "node_modules").is_dir():
        parser.error("the libraries of npm are not here: npm install --prefix tests/vendors")
    npm, pypi = npm_libraries(FOLDER), pypi_libraries()
    if not options.newest:
        print("\n".join(f"{library.name} {library.version}" for library in (*npm.values(), *pypi.values())))
        return 0
    with tempfile.TemporaryDirectory() as name:
        newest = Path(name)
        install_newest(newest)
        lines = [*all_changes(npm, npm_libraries(newest)), *all_changes(pypi, pypi_libraries(str(newest / "pip")))]
        print("\n".join(lines or ["No library has a newer version."]), flush=True)
        return 1 if verify_by_newest(newest) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
