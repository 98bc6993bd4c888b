"""Every example of npm's @octokit/webhooks-examples, signed as GitHub signs, through receive."""

import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from shared.jsontext import Json
from tests.processes import PATIENCE_SECONDS
from tests.receiving import Receiving

SECRET: Final = "a-github-secret-of-some-length"
SIGN: Final = """
import { readFileSync } from "node:fs";
import { Webhooks } from "@octokit/webhooks";
const { secret, bodies } = JSON.parse(readFileSync(0, "utf-8"));
const webhooks = new Webhooks({ secret });
console.log(JSON.stringify(await Promise.all(bodies.map((body) => webhooks.sign(body)))));
"""


def github() -> Receiving:
    return Receiving({"provider": "github", "secret": "github-secret"}, {"github-secret": SECRET}, 1_790_000_000)


def examples(folder: Path) -> Iterator[tuple[str, bytes, Json]]:
    for file in sorted(folder.glob("*/index.json")):
        for event in json.loads(file.read_text(encoding="utf-8")):
            for example in event["examples"]:
                yield event["name"], json.dumps(example, indent=2, ensure_ascii=False).encode(), example


async def test_all_of_githubs_examples_are_accepted_with_type_id_subject_and_actor(
    node_package: Callable[[str], Path],
) -> None:
    receiving = github()
    tried: set[str] = set()
    for number, (name, body, example) in enumerate(examples(node_package("@octokit/webhooks-examples"))):
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", name),
            ("X-GitHub-Delivery", f"delivery-{number}"),
            ("X-Hub-Signature-256", signature),
        ]
        [event] = await receiving.events(headers, body)
        assert isinstance(example, dict)
        sender, repository = example.get("sender"), example.get("repository")
        assert (event.type, event.deliveryid) == (name, f"delivery-{number}")
        assert event.actor == (sender["login"] if isinstance(sender, dict) else None)
        assert event.subject == (repository["full_name"] if isinstance(repository, dict) else None)
        assert event.data == example
        tried.add(name)
    assert len(tried) > 40


def signed_by_octokit(package: Path, bodies: Sequence[bytes]) -> list[str]:
    question = json.dumps({"secret": SECRET, "bodies": [body.decode() for body in bodies]})
    line = ["node", "--input-type=module", "--eval", SIGN]
    done = subprocess.run(
        line, cwd=package, input=question, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
    )
    signatures: list[str] = json.loads(done.stdout)
    return signatures


@pytest.mark.slow
async def test_what_octokits_library_signs_is_accepted_and_for_no_other_body(
    node_package: Callable[[str], Path],
) -> None:
    taking, refusing = github(), github()
    package = node_package("@octokit/webhooks")
    bodies = [body for _, body, _ in examples(node_package("@octokit/webhooks-examples"))]
    for body, signature in zip(bodies, signed_by_octokit(package, bodies), strict=True):
        headers = [("Content-Type", "application/json"), ("X-GitHub-Event", "e"), ("X-Hub-Signature-256", signature)]
        assert await taking.code(headers, body) == ""
        assert await refusing.code(headers, body + b" ") == "signature_mismatch"
