"""The portal's scripts outside of a browser: their types, the programs that they show, and what a pattern matches."""

import base64
import hmac
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from standardwebhooks import Webhook

from shared.jsontext import JsonObject, list_at
from shared.subscribers.matching import type_matches
from tests.running.processes import PATIENCE_SECONDS, ROOT

PAGE: Final = ROOT / "functions/subscribe/page"
LIBRARIES: Final = ROOT / "tests/vendors/node_modules"
BODY: Final = '{"type":"order.paid","data":{"name":"Zoë"}}'
SECRET: Final = "a-secret-of-their-own"
STANDARD_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
USER: Final = "ann \"the\" 'first' {x}"
GLOBS: Final = ("*", "order.*", "order.paid", "*.paid", "o*r.p*d", "order", "*order*", "o*o*", "order.paid*")
TYPES: Final = ("order.paid", "order", "order.", "user.paid", "border.paids", "oo", "o")

RUN: Final = """
import { readFileSync, writeFileSync } from "node:fs";
import { matches } from "./portal.js";
import { snippet } from "./snippets.js";

const { cases, globs, body } = JSON.parse(readFileSync(0));
const passes = (verify, headers) => {
  try { return verify(Buffer.from(body), headers) !== false; } catch { return false; }
};
const programs = [];
for (const [number, { auth, secret, right, wrong }] of cases.entries()) {
  writeFileSync(`program${number}.js`, snippet("javascript", auth));
  const { verify } = await import(`./program${number}.js`);
  process.env.WEBHOOK_SECRET = secret;
  programs.push([passes(verify, right), passes(verify, wrong), passes(verify, {}), snippet("python", auth)]);
}
console.log(JSON.stringify({ programs, matched: globs.map(([glob, type]) => matches([glob], type)) }));
"""


@pytest.mark.slow
def test_the_compiler_finds_no_error_in_the_scripts(node_package: Callable[[str], Path]) -> None:
    options = ["--noEmit", "--allowJs", "--checkJs", "--target", "es2022", "--module", "es2022"]
    options += ["--moduleResolution", "bundler", "--lib", "es2024,dom,dom.iterable"]
    compiler = node_package("typescript") / "bin" / "tsc"
    done = subprocess.run(["node", str(compiler), *options, str(PAGE / "app.js")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_browser_loads_all_scripts_of_the_first_page_at_once() -> None:
    needed, waiting = set[str](), ["app.js", "endpoints.js"]
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed.add(name)
            waiting += re.findall(r'^import .* from "\./(\w+\.js)";', (PAGE / name).read_text(), re.MULTILINE)
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'"portal/(\w+\.js)"', index)) == needed


def case_of(auth: JsonObject, right: Mapping[str, str], secret: str = SECRET) -> JsonObject:
    wrong: JsonObject = {name: f"{value[:-3]}xyz" for name, value in right.items()}
    return {"auth": auth, "secret": secret, "right": {**right}, "wrong": wrong}


def cases() -> list[JsonObject]:
    """The requests as each kind of authentication makes them, and others."""
    now = datetime.now(UTC)
    standard = {
        "webhook-id": "m-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(STANDARD_SECRET).sign("m-1", now, BODY),
    }
    basic = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
    digest = hmac.new(SECRET.encode(), BODY.encode(), "sha256")
    base64_digest = base64.b64encode(digest.digest()).decode()
    hex_auth: JsonObject = {"kind": "hmac", "header": "X-Signature", "prefix": "sha256=", "encoding": "hex"}
    base64_auth: JsonObject = {"kind": "hmac", "header": "X-Signature", "prefix": "", "encoding": "base64"}
    return [
        case_of({"kind": "standard"}, standard, STANDARD_SECRET),
        case_of({"kind": "basic", "username": USER}, {"authorization": f"Basic {basic}"}),
        case_of({"kind": "bearer"}, {"authorization": f"Bearer {SECRET}"}),
        case_of(hex_auth, {"x-signature": f"sha256={digest.hexdigest()}"}),
        case_of(base64_auth, {"x-signature": base64_digest}),
    ]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> JsonObject:
    """What the scripts answer: all in one process of Node."""
    if not (LIBRARIES / "standardwebhooks").is_dir():
        pytest.skip("npm package standardwebhooks is not here: npm install --prefix tests/vendors")
    folder = shutil.copytree(PAGE, tmp_path_factory.mktemp("scripts") / "page")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(LIBRARIES)
    (folder / "run.js").write_text(RUN)
    asked = json.dumps({"cases": cases(), "globs": list(product(GLOBS, TYPES)), "body": BODY})
    done = subprocess.run(
        ["node", "run.js"], cwd=folder, input=asked, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    found: JsonObject = json.loads(done.stdout)
    return found


def test_the_programs_accept_what_is_rightly_signed_and_nothing_else(
    answers: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = list_at(answers["programs"])
    for case, program in zip(cases(), programs, strict=True):
        assert isinstance(program, list)
        assert program[:3] == [True, False, False], case["auth"]
        names: dict[str, Callable[[bytes, JsonObject], object]] = {}
        exec(str(program[3]), names)
        monkeypatch.setenv("WEBHOOK_SECRET", str(case["secret"]))
        assert [_passes(names["verify"], each) for each in (case["right"], case["wrong"], {})] == [True, False, False]


def _passes(verify: Callable[[bytes, JsonObject], object], headers: object) -> bool:
    assert isinstance(headers, dict)
    try:
        return verify(BODY.encode(), headers) is not False
    except Exception:  # each library has errors of its own
        return False


def test_a_pattern_matches_on_the_page_what_it_matches_for_events(answers: JsonObject) -> None:
    assert answers["matched"] == [type_matches([glob], type_) for glob, type_ in product(GLOBS, TYPES)]
