"""Every example of npm's @octokit/webhooks-examples, signed as GitHub signs, through receive."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from shared.jsontext import Json
from tests.receiving import Receiving

SECRET: Final = "a-github-secret-of-some-length"


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
