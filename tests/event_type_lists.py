"""Write the list of the event types that providers send, from packages that they publish.

    python -m tests.event_type_lists 2026-12-01

installs the packages into a temporary folder and writes provider_event_types.json in deploy/config/sections. The
argument is the date that the list carries. A package without the expected names is an error, so that a list never
becomes shorter unnoticed.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from deploy.config.sections.provider_event_types import LIST

Actions: TypeAlias = dict[str, list[str]]
"""The actions of each event type. `*` stands for any action."""

_QUOTED: Final = re.compile(r"""["']([^"'\s]+)["']""")


@dataclass(frozen=True, slots=True)
class Listing:
    """The place of one provider's event types in a package.

    package  the registry, the package and its version
    files    a pattern of paths in the installed package
    read     returns the event types in these files
    least    the smallest number of event types that is plausible
    """

    provider: str
    package: str
    files: str
    read: Callable[[list[str]], Actions]
    least: int


def between(begin: str, end: str, item: re.Pattern[str] = _QUOTED) -> Callable[[list[str]], Actions]:
    """Return a reader of the items between two patterns, in the first file that has them."""
    section = re.compile(f"{begin}(.*?){end}", re.DOTALL | re.MULTILINE)

    def read(texts: list[str]) -> Actions:
        found = next(match for text in texts if (match := section.search(text)))
        return {name: [] for name in item.findall(found[1]) if name != "*"}

    return read


def each(pattern: str) -> Callable[[list[str]], Actions]:
    """Return a reader of what the group of a pattern matches in all files."""
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda texts: {name: [] for text in texts for name in compiled.findall(text)}


def with_any_action(read: Callable[[list[str]], Actions]) -> Callable[[list[str]], Actions]:
    return lambda texts: {name: ["*"] for name in read(texts)}


def github(texts: list[str]) -> Actions:
    """Read the OpenAPI description: an `operationId` is `issues/opened`, or `push` for an event without actions."""
    types: Actions = {}
    for webhook in json.loads(texts[0])["webhooks"].values():
        name, _, action = webhook["post"]["operationId"].partition("/")
        actions = types.setdefault(name.replace("-", "_"), [])
        if name == "repository-dispatch":  # the action here is an example
            actions.append("*")
        elif action:
            actions.append(action.replace("-", "_"))
    return types


def slack(texts: list[str]) -> Actions:
    """Read the events, without the messages and items inside them, which are indented further."""
    events = each(r"^    type: '([a-z_]+(?:\.[a-z_]+)?)';$")(texts)
    return {name: actions for name, actions in events.items() if name not in ("add", "im", "remove")}


_INTERACTIONS: Final = "ApplicationCommand|MessageComponent|ApplicationCommandAutocomplete|ModalSubmit"
_SLACK_INTERACTIONS: Final = (
    "block_actions|block_suggestion|dialog_[a-z]+|interactive_message|message_action|shortcut|view_[a-z]+"
)
LISTINGS: Final = (
    Listing(
        "adyen",
        "npm @adyen/api-library 32.1.0",
        "lib/src/typings/notification/notificationRequestItem.d.ts",
        between("enum EventCodeEnum", "}"),
        least=40,
    ),
    Listing(
        "anthropic",
        "pip anthropic 2.14.0",
        "anthropic/types/beta/beta_webhook_*_event_data.py",
        each(r'^    type: Literal\["([^"]+)"\]'),
        least=45,
    ),
    Listing(
        "assemblyai",
        "npm assemblyai 4.41.5",
        "dist/types/openapi.generated.d.ts",
        between("type TranscriptReadyStatus =", ";"),
        least=2,
    ),
    Listing(
        "assemblyai",
        "npm assemblyai 4.41.5",
        "dist/types/openapi.generated.d.ts",
        between("type RedactedAudioStatus =", ";"),
        least=1,
    ),
    Listing(
        "attio",
        "npm attio-ts-sdk 2.3.0",
        "dist/index.d.mts",
        between(r"subscriptions: Array<\{.*?event_type: ", ";"),
        least=25,
    ),
    Listing(
        "brex",
        "npm @opensdks/sdk-brex 0.0.1",
        "brex_webhooks.oas.json",
        between(r'"WebhookEventType":.*?"enum": \[', r"\]"),
        least=7,
    ),
    Listing(
        "discord",
        "npm discord-api-types 0.38.57",
        "payloads/v10/webhook.d.ts",
        between("enum ApplicationWebhookEventType", r"\n}"),
        least=5,
    ),
    Listing(
        "discord",
        "npm discord-api-types 0.38.57",
        "payloads/v10/_interactions/responses.d.ts",
        with_any_action(each(rf"^    (?:{_INTERACTIONS}) = (\d),?$")),
        least=4,
    ),
    Listing("github", "npm @octokit/openapi-webhooks 12.1.0", "generated/api.github.com.json", github, least=70),
    Listing(
        "hubspot",
        "npm @hubspot/api-client 13.5.0",
        "lib/codegen/webhooks/models/SubscriptionResponse.d.ts",
        between("enum SubscriptionResponseEventTypeEnum", "}"),
        least=40,
    ),
    Listing(
        "lemonsqueezy",
        "npm @lemonsqueezy/lemonsqueezy.js 4.0.0",
        "dist/index.d.ts",
        between("type Events =", ";"),
        least=15,
    ),
    Listing(
        "linear",
        "npm @linear/sdk 98.0.0",
        "dist/index-*.d.mts",
        with_any_action(between("type LinearWebhookEventType =", ";")),
        least=20,
    ),
    Listing(
        "mux",
        "npm @mux/mux-node 15.3.0",
        "resources/webhooks/webhooks.d.ts",
        each(r"^    type: '([a-z_.]+)';$"),
        least=40,
    ),
    Listing(
        "nylas", "npm nylas 8.4.0", "lib/types/models/webhooks.d.ts", between("enum WebhookTriggers", "}"), least=50
    ),
    Listing(
        "openai",
        "pip openai 3.57.0",
        "openai/types/webhooks/*_webhook_event.py",
        each(r'^    type: Literal\["([^"]+)"\]'),
        least=15,
    ),
    Listing(
        "paddle",
        "pip paddle-python-sdk 1.16.1",
        "paddle_billing/Entities/Events/EventTypeName.py",
        each(r'= "([^"]+)"$'),
        least=60,
    ),
    Listing(
        "polar",
        "pip polar-sdk 1.0.2",
        "polar/v2027_01/literals.py",
        between(r"^WebhookEventType[^\[]*\[", r"\]"),
        least=30,
    ),
    Listing(
        "resend",
        "pip resend 2.52.0",
        "resend/webhooks/_webhook.py",
        between(r"^WebhookEvent = Literal\[", r"^\]"),
        least=20,
    ),
    Listing(
        "retell",
        "pip retell-sdk 6.2.13",
        "retell/types/agent_create_params.py",
        between(r"webhook_events: ", r"\]"),
        least=8,
    ),
    Listing(
        "retell",
        "pip retell-sdk 6.2.13",
        "retell/types/chat_agent_create_params.py",
        between(r"webhook_events: ", r"\]"),
        least=4,
    ),
    Listing("slack", "npm @slack/types 3.2.0", "dist/events/*.d.ts", slack, least=80),
    Listing(
        "slack",
        "npm @slack/bolt 5.1.0",
        "dist/types/*/*.d.ts",
        each(rf"^    type: '({_SLACK_INTERACTIONS})';$"),
        least=8,
    ),
    Listing(
        "stripe",
        "pip stripe 16.1.0",
        "stripe/params/_webhook_endpoint_create_params.py",
        between(r"enabled_events: List\[\s*Literal\[", r"\]"),
        least=270,
    ),
    Listing(
        "telegram",
        "pip python-telegram-bot 22.8",
        "telegram/constants.py",
        between(
            r"^class UpdateType\(StringEnum\):", r"^class ", re.compile(r'^    [A-Z_]+ = "([a-z_]+)"$', re.MULTILINE)
        ),
        least=20,
    ),
    Listing(
        "vapi",
        "pip vapi_server_sdk 3.0.0",
        "vapi/types/server_message_*_type.py",
        each(r'^ServerMessage(?!TranscriptTranscript)\w+Type = typing\.Union\[\s*typing\.Literal\["([\w.-]+)"'),
        least=28,
    ),
    Listing(
        "workos",
        "pip workos 10.8.0",
        "workos/common/models/create_webhook_endpoint_events.py",
        each(r'^    [A-Z_]+ = "([a-z_.]+)"$'),
        least=60,
    ),
)

_GITLAB: Final = "GitLab's documentation, doc/user/project/integrations/webhook_events.md at 017a6c12"
_WORK_ITEM: Final = ["open", "close", "reopen", "update"]
WRITTEN: Final[dict[str, tuple[str, Actions]]] = {
    "gitlab": (
        _GITLAB,
        {
            "Deployment Hook": [],
            "Emoji Hook": ["award", "revoke"],
            "Feature Flag Hook": [],
            "Issue Hook": _WORK_ITEM,
            "Confidential Issue Hook": _WORK_ITEM,
            "Job Hook": [],
            "Member Hook": [
                "user_add_to_group",
                "user_update_for_group",
                "user_remove_from_group",
                "user_access_request_to_group",
                "user_access_request_denied_for_group",
            ],
            "Merge Request Hook": [
                "open",
                "close",
                "reopen",
                "update",
                "approved",
                "unapproved",
                "approval",
                "unapproval",
                "merge",
            ],
            "Milestone Hook": ["create", "close", "reopen"],
            "Note Hook": ["create", "update"],
            "Confidential Note Hook": ["create", "update"],
            "Pipeline Hook": [],
            "Project Hook": ["project_create", "project_destroy"],
            "Push Hook": ["push"],
            "Release Hook": ["create", "update", "delete"],
            "Resource Access Token Hook": ["expiring_access_token"],
            "Subgroup Hook": ["subgroup_create", "subgroup_destroy"],
            "System Hook": ["*"],
            "Tag Push Hook": ["tag_push"],
            "Vulnerability Hook": [],
            "Wiki Page Hook": ["create", "update", "delete"],
        },
    ),
    "slack": ("the names of slash commands", {"/*": []}),
    "supabase": (
        "Supabase's code, internal/hooks/v0hooks/v0hooks.go at 066aa48c",
        {
            "after-user-created": [],
            "before-user-created": [],
            "customize-access-token": [],
            "mfa-verification": [],
            "password-verification": [],
            "send-email": [],
            "send-sms": [],
        },
    ),
}
"""Event types that no package lists, from documentation. `*` stands for any text."""


def install(folder: Path) -> None:
    packages = sorted({listing.package for listing in LISTINGS})
    of_npm = ["@".join(package.split()[1:]) for package in packages if package.startswith("npm ")]
    of_pip = ["==".join(package.split()[1:]) for package in packages if package.startswith("pip ")]
    npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    subprocess.run([*npm, "--prefix", str(folder), *of_npm], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "pip")]
    subprocess.run([*pip, *of_pip], check=True)


def read(listing: Listing, folder: Path) -> Actions:
    registry, package, _ = listing.package.split()
    root = folder / "node_modules" / package if registry == "npm" else folder / "pip"
    texts = [file.read_text(encoding="utf-8") for file in sorted(root.glob(listing.files))]
    types = listing.read(texts)
    if len(types) < listing.least:
        raise SystemExit(f"{listing.package}: {len(types)} event types of {listing.provider}; expected {listing.least}")
    return types


def document(folder: Path, date: str) -> dict[str, object]:
    providers: dict[str, tuple[list[str], Actions]] = {}
    for listing in LISTINGS:
        sources, types = providers.setdefault(listing.provider, ([], {}))
        sources.append(listing.package)
        types |= read(listing, folder)
    for provider, (source, written) in WRITTEN.items():
        sources, types = providers.setdefault(provider, ([], {}))
        sources.append(source)
        types |= written
    return {
        provider: {
            "read_on": date,
            "sources": list(dict.fromkeys(sources)),
            "types": {name: sorted(set(types[name])) for name in sorted(types)},
        }
        for provider, (sources, types) in sorted(providers.items())
    }


def one_line_lists(text: str) -> str:
    """Write each list of a JSON text on one line, so that each event type has a line of its own."""
    return re.sub(r"\[\s+([^][]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder_name:
        install(Path(folder_name))
        listed = document(Path(folder_name), sys.argv[1])
        LIST.write_text(one_line_lists(json.dumps(listed, indent=1)) + "\n", encoding="utf-8")
