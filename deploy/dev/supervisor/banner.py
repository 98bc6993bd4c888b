"""The text that `hookchain dev` prints once it is up: where to send webhooks, where to look, and a command to try."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.config import config_file, local_ports
from deploy.config.local_ports import Ports
from deploy.config.notify_destinations import caught_sheets, is_caught
from deploy.config.page_token import page_token, page_url
from deploy.config.platform_parts import without_google_account
from deploy.dev.aws.stack import queue_of
from deploy.dev.supervisor.setup import Setup
from deploy.requests import events, samples, signing
from deploy.requests.command_lines import first_event_line, first_event_line_without_secret, program, relative_path
from deploy.requests.sources import auth_entries, compiled_sources, dev_topic, source_url
from deploy.secrets.needs import missing_effect
from deploy.terminal import command_line, output
from deploy.topology.buses import bus_sources
from shared.jsontext import Json, JsonObject, mapping_at, value_at
from shared.secrets import variable_name

_SIGNATURES: Final = {"hmac": "a signature", "standard-webhooks": "a Standard Webhooks signature"}

TryLine = Callable[[dict[str, JsonObject], Ports, Path | None], str | None]
"""Takes the slices, the ports and a sample beside the configuration; returns a command that posts to a source."""


def banner(setup: Setup, seconds: float, warnings: Sequence[config_file.Fault] = ()) -> str:
    """Return the text: a heading, then paragraphs, each a sentence or a title with lines below it.

    `warnings` are the warnings about the configuration.
    """
    env_file = relative_path(setup.options.env_file)
    exposed = [f"Other users can read the secrets in {env_file}. Run: chmod 600 {env_file}"]
    sheets = ["Rows for Google Sheets without a `secret` are caught and shown on the page, not sent."]
    mails = "are sent for real" if setup.options.send_mail else "are caught and shown on the page, not sent"
    paragraphs: list[list[str]] = [
        ["Send webhooks to:", *served_source_lines(setup)],
        ["Watch what happens:", page_url(setup.ports.inspector, page_token(setup.folders.state))],
        ["Let your users subscribe:", *_subscribers_lines(setup)] if setup.ports.subscribe else [],
        _first_event(setup),
        [_generated(setup)] if setup.generated else [],
        *([f"Warning: {text}"] for text in (*setup.doubts.values(), *_env_warnings(setup))),
        _unset(setup),
        _short_secrets(setup, "Use at least 16 random characters, such as `openssl rand -base64 32` prints."),
        exposed if setup.is_env_file_exposed else [],
        [f"{_warning_count(warnings)}. Run: {program()} lint"] if warnings else [],
        _held_without_account(setup),
        _real_destinations(setup),
        sheets if any(caught_sheets(setup.configuration.slices["notify"])) else [],
        [f"Mails {mails}. Press Ctrl-C to stop."],
    ]
    lines = ["", f"Hookchain is up after {seconds:.1f} s. Configuration: {setup.configuration.title}", ""]
    for first, *others in filter(None, paragraphs):
        lines += [f"  {first}", *(f"    {line}" for line in others), ""]
    return "\n".join(lines)


def production_banner(setup: Setup, seconds: float, warnings: Sequence[config_file.Fault] = ()) -> list[str]:
    """Return the messages that `hookchain serve` logs once it is up."""
    options = setup.options
    assert options.production
    lines = [f"Hookchain is up after {seconds:.1f} s. Configuration: {setup.configuration.title}"]
    lines += [f"Send webhooks to {line.replace('  ', ': ', 1)}" for line in _separate_source_lines(setup)]
    if options.production.listen:
        host, port = options.production.listen
        lines.append(f"Other machines send them to port {port} of {host}, by HTTPS")
    if setup.is_paused:
        lines.append("Restored from a backup: nothing is delivered until `hookchain resume --all`")
    lines += [f"Warning: {text}" for text in setup.doubts.values()]
    if setup.is_env_file_exposed:
        lines.append(f"Warning: other users can read the secrets in {options.env_file}")
    lines += _short_secrets(setup)
    if warnings:
        # The service's own folder and environment are not those of the terminal in which the command is run.
        command = shlex.join(["hookchain", "lint", "--config", str(setup.configuration.path)])
        lines.append(f"{_warning_count(warnings)}. Run: {command}")
    return lines


def _first_event(setup: Setup) -> list[str]:
    """Return a command that sends a first event, or why there is none; nothing if no source can be tried."""
    try:
        command = _command_to_try(
            setup, lambda slices, ports, file: first_event_line(slices, ports, setup.secret_texts, file)
        )
    except command_line.CommandError as error:
        reason = str(error)
        return [f"{reason[:1].upper()}{reason[1:]}"]
    return ["Try it:", command] if command else []


def _short_secrets(setup: Setup, advice: str = "") -> list[str]:
    names = ", ".join(map(variable_name, setup.short_secrets))
    text = f"These secrets are short enough to guess: {names}"
    return [f"{text}. {advice}" if advice else text] if names else []


def _warning_count(warnings: Sequence[config_file.Fault]) -> str:
    return f"The configuration has {output.count_of(len(warnings), 'warning')}"


def _subscribers_lines(setup: Setup) -> list[str]:
    """Return where the portal and the API are. Here, endpoints may be at http:// and private addresses."""
    url = local_ports.function_url(setup.ports.subscribe)
    return [
        f"{url}/portal, which `{program()} portal-link TENANT` opens for a tenant",
        f"{url}/v1, for which `{program()} api-keys create --scope write --scope portal` makes a key",
        "Endpoints may be on this machine, with http:// too.",
    ]


def _real_destinations(setup: Setup) -> list[str]:
    """Return a line about the destinations whose requests nothing on this machine catches; none without such."""
    if setup.options.production:  # where all requests are
        return []
    destinations = mapping_at(setup.configuration.slices["notify"], "destinations")
    held = _without_account(setup)
    names = [name for name, each in destinations.items() if not is_caught(each) and name not in held]
    return [f"Requests to these destinations are sent for real: {', '.join(names)}."] if names else []


def _without_account(setup: Setup) -> list[str]:
    """Return the destinations that write to Google and name no key: nothing on this machine has an account."""
    notify = setup.configuration.slices["notify"]
    found = {name for name, _ in without_google_account(notify)}
    return [name for name, each in mapping_at(notify, "destinations").items() if name in found and not is_caught(each)]


def _held_without_account(setup: Setup) -> list[str]:
    """Return a line about the destinations of `_without_account`; none without such."""
    if not (names := _without_account(setup)):
        return []
    advice = "Name a service account's key in their `secret`: functions/notify/README.md#a-key-of-a-service-account"
    return [f"Deliveries to {', '.join(names)} are held: this machine has no account of Google's. {advice}"]


def farewell(state: Path) -> str:
    return f"Stopped. Events are kept in {relative_path(state)}/."


def trial_without_secret(setup: Setup) -> str:
    """Return the command to try for the page, whose process has no secrets; empty if there is none."""
    try:
        return _command_to_try(setup, first_event_line_without_secret) or ""
    except command_line.CommandError:  # a page offers only what can be copied into a shell
        return ""


def served_source_lines(setup: Setup) -> list[str]:
    """Return a line for each source with its URL, or its topic or queue, and how it authenticates."""
    return _lines_for(setup, _sources(setup))


def changed_lines(before: Setup, after: Setup, new_warnings: Sequence[config_file.Fault] = ()) -> list[str]:
    """Return what changed for a person: the configuration's file, new sources, warnings, generated secrets."""
    lines = []
    if after.configuration.path != before.configuration.path:
        lines.append(f"Configuration: {after.configuration.title}")
    known = _separate_source_lines(before)
    lines += [f"Send webhooks to {line}" for line in _separate_source_lines(after) if line not in known]
    if after.unset and after.unset != before.unset:
        lines += _unset(after)
    if after.ports.subscribe and not before.ports.subscribe:
        lines += _subscribers_lines(after)
    if (held := _held_without_account(after)) != _held_without_account(before):
        lines += held
    if (real := _real_destinations(after)) != _real_destinations(before):
        lines += real
    lines += [f"warning: {each.text(str(after.configuration.path))}" for each in new_warnings]
    lines += [f"warning: {text}" for name, text in after.doubts.items() if name not in before.doubts]
    lines += [f"warning: {text}" for text in _env_warnings(after) if text not in _env_warnings(before)]
    return [*lines, _generated(after)] if after.generated else lines


def _generated(setup: Setup) -> str:
    names = ", ".join(map(variable_name, setup.generated))
    file = f"{relative_path(setup.options.env_file)}{', a new file' if setup.is_env_file_new else ''}"
    return f"Missing secrets were generated into {file}: {names}"


def _unset(setup: Setup) -> list[str]:
    """Return lines about the credentials that only the operator can set; none if all are set."""
    if not setup.unset:
        return []
    width = max(len(need.name) for need in setup.unset)
    where = relative_path(setup.options.env_file)
    destinations: list[str] = []
    others: list[str] = []
    for need in setup.unset:
        line = f"{program()} secrets set {need.name.ljust(width)}  # {need.uses_text}"
        (destinations if need.holds_deliveries else others).append(line)
    held = [
        f"These destinations need a secret in {where}. Until you set it, their deliveries are held:",
        *destinations,
        f"Then send what is held: {program()} resume DESTINATION",
    ]
    effect = missing_effect([need for need in setup.unset if not need.holds_deliveries])
    waiting = [f"Until you set these secrets in {where}, {effect}:", *others]
    return [*(held if destinations else []), *(waiting if others else [])]


def source_lines(
    sources: JsonObject, ports: Ports, queues: Mapping[str, str] | None = None, *, is_public: bool = False
) -> list[str]:
    """Return one line for each source, as `hookchain dev` prints them at its start: its URL, and how it authenticates.

    The URL is that on this machine. With `is_public`, it is the source's `public_url` if it has one. `queues` are the
    local AWS's queues that stand for buses, by source; None if topics of the emulated Pub/Sub stand for them.
    """
    public_urls = {name: value_at(source, "public_url") for name, source in sources.items()} if is_public else {}
    urls = {name: str(public_urls.get(name) or source_url(name, ports)) for name in sources}
    width = max(map(len, urls.values()), default=0)
    texts = {name: _sender_text(source, (queues or {}).get(name)) for name, source in sources.items()}
    return [f"{urls[name].ljust(width)}  {texts[name]}" for name in sources]


def _sender_text(source: Json, queue: str | None) -> str:
    """Return how requests to the source authenticate. A source with a bus gets messages from there, and no requests."""
    if queue is not None:
        return f"messages of the emulated queue {queue}"
    if topic := dev_topic(source):
        return f"messages of the emulated topic {topic}"
    return " or ".join(dict.fromkeys(_auth_text(entry) for entry in auth_entries(source)))


def _auth_text(entry: JsonObject) -> str:
    """Return how a request authenticates by an entry of `auth`. A secret is named by its variable."""
    variable = variable_name(str(entry.get("secret", "")))
    match entry.get("scheme"):
        case "none":
            return "no authentication"
        case "basic":
            user = f"user: {entry['username']}" if entry.get("username") else "user: any"
            return f"basic auth; {user}; password: {variable}"
        case "header":
            return f"header {entry.get('header')}: {variable}"
        case "bearer":
            return f"bearer token {variable}"
        case "path":
            return f"/{variable} at the end of the URL"
        case "query":
            return f"?{entry.get('parameter')}={variable}"
        case scheme if not entry.get("secret"):
            return f"{scheme}, which needs no secret"
        case scheme:
            return f"{_SIGNATURES.get(str(scheme), str(scheme))} made with {variable}"


def _lines_for(setup: Setup, sources: JsonObject) -> list[str]:
    """Return a line for each of these sources of the served configuration."""
    return source_lines(sources, setup.ports, _queues(setup), is_public=setup.options.production is not None)


def _queues(setup: Setup) -> Mapping[str, str] | None:
    if not setup.is_aws:
        return None
    return {each.source: queue_of(each).name for each in bus_sources(setup.configuration.slices["receive"])}


def _separate_source_lines(setup: Setup) -> list[str]:
    """Return each line as it is alone: in columns, a longer name would change all the others."""
    return [line for name, source in _sources(setup).items() for line in _lines_for(setup, {name: source})]


def _sources(setup: Setup) -> JsonObject:
    return {**compiled_sources(setup.configuration.slices["receive"])}


def _env_warnings(setup: Setup) -> list[str]:
    return [warning.text for warning in setup.env_warnings]


def _command_to_try(setup: Setup, line_of: TryLine) -> str | None:
    """Return a command that sends a first event which the served configuration accepts.

    It posts the sample beside the configuration, or to a source of the operator's own. Else it triggers a provider's
    sample, or makes a link. Raises CommandError if a source could be tried but for an example.
    """
    configuration, sources = setup.configuration, _sources(setup)
    sample = events.sample_beside(configuration.path)
    own: JsonObject = {name: source for name, source in sources.items() if name not in configuration.providers}
    posted: JsonObject = {"sources": sources if sample else own}
    others = [*_trigger_commands(setup, sources), *_link_commands(setup, own)]
    try:
        command = line_of({**configuration.slices, "receive": posted}, setup.ports, sample)
    except command_line.CommandError:
        if not others:
            raise
        command = None
    return command or next(iter(others), None)


def _trigger_commands(setup: Setup, sources: JsonObject) -> list[str]:
    """`hookchain trigger` for the providers that have a sample which can be signed here."""
    providers, transform = setup.configuration.providers, setup.configuration.slices["transform"]
    commands = []
    for name, provider in providers.items():
        if samples.sample_names(provider) and any(_can_sign(auth) for auth in auth_entries(sources.get(name))):
            is_only = list(providers.values()).count(provider) == 1
            wanted = events.routed_type(transform, name)
            options = [
                *([wanted] if wanted in samples.sample_names(provider) else []),
                *([] if is_only else ["--source", name]),
            ]
            commands.append(shlex.join([program(), "trigger", provider, *options]))
    return commands


def _can_sign(auth: JsonObject) -> bool:
    return auth.get("scheme") not in signing.BY_CERTIFICATE and not auth.get("keys_url")


def _link_commands(setup: Setup, sources: JsonObject) -> list[str]:
    transform = setup.configuration.slices["transform"]
    return [
        shlex.join([program(), "link", name, f"event={events.routed_type(transform, name)}"])
        for name, source in sources.items()
        if any(auth.get("scheme") == "link" for auth in auth_entries(source))
    ]
