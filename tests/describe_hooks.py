"""Writes tests/hook_descriptions.json: what providers publish of the API for their hooks.

  npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
  python -m tests.describe_hooks package

The stand-ins of tests/hook_providers.py check each request and each of their answers with it.
"""

import datetime
import json
import sys
from pathlib import Path
from typing import Final

from shared.jsontext import Json, JsonObject, mapping_at

TARGET: Final = Path(__file__).with_name("hook_descriptions.json")
GITHUB_FILE: Final = "generated/api.github.com.deref.json"
GITHUB_PATHS: Final = ("/repos/{owner}/{repo}/hooks", "/orgs/{org}/hooks")
_PROSE: Final = frozenset({"description", "example", "examples", "title", "nullable"})


def github(folder: Path) -> JsonObject:
    document = json.loads((folder / GITHUB_FILE).read_text(encoding="utf-8"))
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    operations: JsonObject = {}
    for path in (path for base in GITHUB_PATHS for path in (base, f"{base}/{{hook_id}}")):
        for method, operation in document["paths"][path].items():
            answers = {
                status: _schema(answer) for status, answer in operation["responses"].items() if status.startswith("2")
            }
            operations[f"{method.upper()} {path}"] = {"body": _schema(operation.get("requestBody")), "answers": answers}
    return {"source": f"{package['name']} {package['version']}", "operations": operations}


def _schema(content: Json) -> Json:
    return _without_prose(mapping_at(content, "content", "application/json", "schema")) or None


def _without_prose(schema: Json) -> Json:
    """Return the schema without texts for people. The names of properties stay, whatever they are."""
    if isinstance(schema, list):
        return [_without_prose(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if name not in _PROSE}
    if schema.get("nullable") is True:
        kept["type"] = [str(schema["type"]), "null"]  # as JSON Schema says it
    return {
        name: {key: _without_prose(each) for key, each in value.items()}
        if name == "properties" and isinstance(value, dict)
        else _without_prose(value)
        for name, value in kept.items()
    }


if __name__ == "__main__":
    found: JsonObject = {
        "made_at": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "github": github(Path(sys.argv[1])),
    }
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
