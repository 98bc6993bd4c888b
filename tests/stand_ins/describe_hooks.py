"""Write hook_descriptions.json from what providers publish about their APIs for hooks and their deliveries.

  npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
  npm pack @linear/sdk@98.0.0 && tar xzf linear-sdk-98.0.0.tgz --one-top-level=linear
  pip install --no-deps --target pip python-gitlab==8.6.0 python-telegram-bot==22.8 squareup==46.0.0.20260916 \\
      pyairtable==3.5.1 twilio==9.13.0
  python -m tests.stand_ins.describe_hooks package pip linear/package

The stand-ins of hook_providers.py check each request and each answer against it.
"""

import ast
import datetime
import json
import re
import sys
from pathlib import Path
from typing import Final

from shared.jsontext import Json, JsonObject, list_at, mapping_at

TARGET: Final = Path(__file__).with_name("hook_descriptions.json")
GITHUB_FILE: Final = "generated/api.github.com.deref.json"
GITHUB_PATHS: Final = ("/repos/{owner}/{repo}/hooks", "/orgs/{org}/hooks")
GITHUB_APP_PATHS: Final = ("/app", "/app/hook/config")
DELIVERIES: Final = ("/deliveries", "/deliveries/{delivery_id}")
"""After a hook's path."""
_PROSE: Final = frozenset({"description", "example", "examples", "title", "nullable"})


def github(folder: Path) -> JsonObject:
    document = json.loads((folder / GITHUB_FILE).read_text(encoding="utf-8"))
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    operations: JsonObject = {}
    ends = ("", "/{hook_id}", *(f"/{{hook_id}}{end}" for end in DELIVERIES))
    for path in (*(f"{base}{end}" for base in GITHUB_PATHS for end in ends), *GITHUB_APP_PATHS):
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


def gitlab(folder: Path) -> JsonObject:
    """Return the fields of a request for the hooks of projects and of groups."""
    tree = ast.parse((folder / "gitlab/v4/objects/hooks.py").read_text(encoding="utf-8"))
    found: JsonObject = {"source": _version(folder, "python_gitlab")}
    for kind in ("Project", "Group"):
        [manager] = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == f"{kind}HookManager"]
        for statement in manager.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                name = statement.targets[0].id  # type: ignore[attr-defined] # a name
                fields = {each.arg: ast.literal_eval(each.value) for each in statement.value.keywords}
                found[f"{kind.lower()}{name}"] = {str(key): sorted(names) for key, names in fields.items()}
    return found


def telegram(folder: Path) -> JsonObject:
    return {
        "source": _version(folder, "python_telegram_bot"),
        "setWebhook": _arguments(folder / "telegram/_bot.py", "Bot", "set_webhook"),
        "deleteWebhook": _arguments(folder / "telegram/_bot.py", "Bot", "delete_webhook"),
        "WebhookInfo": _arguments(folder / "telegram/_webhookinfo.py", "WebhookInfo", "__init__"),
        "updates": [*sorted(_constants(folder / "telegram/constants.py", "UpdateType"))],
    }


def square(folder: Path) -> JsonObject:
    return {
        "source": _version(folder, "squareup"),
        "request": _fields(folder / "square/requests/webhook_subscription.py", "WebhookSubscriptionParams"),
        "answer": _fields(folder / "square/types/webhook_subscription.py", "WebhookSubscription"),
        "search": _arguments(folder / "square/events/client.py", "EventsClient", "search_events"),
        "query": _fields(folder / "square/requests/search_events_query.py", "SearchEventsQueryParams"),
        "filter": _fields(folder / "square/requests/search_events_filter.py", "SearchEventsFilterParams"),
        "time_range": _fields(folder / "square/requests/time_range.py", "TimeRangeParams"),
        "found": _fields(folder / "square/types/search_events_response.py", "SearchEventsResponse"),
        "event": _fields(folder / "square/types/event.py", "Event"),
    }


def airtable(folder: Path) -> JsonObject:
    """Return the names of the fields as Airtable has them, which pyairtable translates."""
    names = ("Webhook", "CreateWebhook", "CreateWebhookResponse", "WebhookPayload", "WebhookPayloads")
    file = folder / "pyairtable/models/webhook.py"
    found: JsonObject = {"source": _version(folder, "pyairtable")}
    for name in names:
        fields = list_at(_fields(file, name))
        found[name] = [re.sub(r"_(\w)", lambda letter: letter[1].upper(), str(each)) for each in fields]
    return found


def twilio(folder: Path) -> JsonObject:
    """Return the fields of a change of a number, and those of the answer."""
    text = (folder / "twilio/rest/api/v2010/account/incoming_phone_number/__init__.py").read_text(encoding="utf-8")
    update = text.partition("def _update(")[2].partition("return ")[0]
    return {
        "source": _version(folder, "twilio"),
        "request": [*re.findall(r'^\s+"(\w+)": ', update, re.MULTILINE)],
        "answer": [*re.findall(r'payload.get\(\s*"(\w+)"', text)],
    }


def linear(folder: Path) -> JsonObject:
    """Return the fields of the inputs and of a webhook, from the types of the library."""
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    [types] = [
        file for file in (folder / "dist").glob("index-*.d.mts") if "type WebhookCreateInput" in file.read_text()
    ]
    text = types.read_text(encoding="utf-8")
    found: JsonObject = {"source": f"{package['name']} {package['version']}"}
    for name in ("WebhookCreateInput = {", "WebhookUpdateInput = {", "Webhook = Node & {"):
        content = text.partition(f"\ntype {name}")[2].partition("\n};")[0]
        found[name.partition(" ")[0]] = [*re.findall(r"^  (\w+)\??:", content, re.MULTILINE)]
    return found


def _version(folder: Path, package: str) -> str:
    [found] = folder.glob(f"{package}-*.dist-info")
    return f"pip {found.name.removesuffix('.dist-info').replace('-', ' ')}"


def _class(file: Path, name: str) -> ast.ClassDef:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name)


def _arguments(file: Path, owner: str, name: str) -> Json:
    functions = [each for each in _class(file, owner).body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    [function] = [each for each in functions if each.name == name]
    arguments = function.args.args[1:] or function.args.kwonlyargs
    return [each.arg for each in arguments]


def _fields(file: Path, name: str) -> Json:
    statements = [each for each in _class(file, name).body if isinstance(each, ast.AnnAssign)]
    return [each.target.id for each in statements if isinstance(each.target, ast.Name)]


def _constants(file: Path, name: str) -> list[str]:
    statements = [each for each in _class(file, name).body if isinstance(each, ast.Assign)]
    return [ast.literal_eval(each.value) for each in statements if isinstance(each.value, ast.Constant)]


if __name__ == "__main__":
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    packages = Path(sys.argv[2])
    found: JsonObject = {"made_at": today, "github": github(Path(sys.argv[1]))}
    found |= {"gitlab": gitlab(packages), "telegram": telegram(packages), "square": square(packages)}
    found |= {"airtable": airtable(packages), "twilio": twilio(packages)}
    found["linear"] = linear(Path(sys.argv[3]))
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
