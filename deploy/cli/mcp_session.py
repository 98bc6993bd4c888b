"""The session of an assistant with `hookchain mcp`, and what no result may show.

A credential is the value of a secret on this machine, or a literal value in the configuration that probably is one. A
sender may repeat a credential in an event, so each text is masked before an assistant gets it.
"""

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from deploy.cli import command, dead_letters, events
from deploy.config import checkout, config_file, dotenv
from deploy.config.configured import configured
from deploy.history.journal_view import EventSummary, search_words
from deploy.platforms.choice import open_platform
from deploy.platforms.platform import Platform
from deploy.secrets.local_secrets import secret_text
from deploy.secrets.needs import needs, token_needs
from shared import credential_masks, jsontext, mcp, secrets, settings

LISTED: Final = 20
"""The most entries of a list, unless the assistant asks for another number."""
_CREDENTIAL_NAME: Final = re.compile(
    "auth|cookie|credential|key|pass|pwd|secret|signature|token|^(?:code|sig|x-pat)$", re.IGNORECASE
)
"""In the name of a header or of a URL's parameter: its value is probably a credential."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The events of a planned replay, and how they are replayed: `options` are those of `events replay`.

    The plan can be run until `until` (Unix seconds).
    """

    events: Sequence[EventSummary]
    options: argparse.Namespace
    until: float


@dataclass(slots=True)
class Session:
    """One run of `hookchain mcp`, with its options. `plans` are the replays that were planned, by id.

    The configuration and the secrets are read for each tool: an operator may change them during the session.
    """

    options: argparse.Namespace
    plans: dict[str, Plan] = field(default_factory=dict)

    def platform(self) -> Platform:
        return open_platform(self.options, checkout.environ_with(checkout.own_env_file()))

    def credentials(self) -> list[str]:
        """Return the credentials that no result may contain.

        If the configuration has faults, and the names of its secrets are not known, every variable in the env file and
        every mounted file counts as a secret.
        """
        environ = checkout.environ_with(self.options.env_file)
        literals: list[str] = []
        try:
            configuration = configured(self.options)
        except config_file.ConfigFaults:
            folder = settings.read_settings(environ).secrets_folder
            mounted = [each.name for each in folder.iterdir()] if folder.is_dir() else []
            names = [name for name in mounted if secrets.SECRET_NAME.fullmatch(name)]
            names += [name.lower() for name in dotenv.read_dotenv(self.options.env_file)]
        else:
            slices = configuration.slices
            names = [each.name for each in (*needs(slices, environ), *token_needs(configuration.document))]
            literals = [text for slice_ in slices.values() for text in literal_credentials(slice_)]
        texts = [secret_text(name, environ) for name in names]
        return literals + [value for text in texts if text for value in secrets.split_values(text)]

    def filters(self, arguments: jsontext.JsonObject) -> argparse.Namespace:
        """Return the arguments as the options of a command, with its times as Unix seconds. Raises ToolFault."""
        unset: dict[str, object] = dict.fromkeys((*events.FILTERS, *dead_letters.FILTERS))
        chosen = argparse.Namespace(**{**unset, "limit": LISTED, **arguments})
        if chosen.text is not None and not search_words(chosen.text):
            raise mcp.ToolFault("text: must have a letter or a digit; it would match everything")
        try:
            for name in ("since", "until"):
                if (text := getattr(chosen, name)) is not None:
                    setattr(chosen, name, command.moment(text, time.time()))
        except ValueError as error:
            raise mcp.ToolFault(str(error)) from error
        if chosen.since is not None and chosen.until is not None and chosen.since >= chosen.until:
            raise mcp.ToolFault("until: must be a time after `since`")
        return chosen


def literal_credentials(setting: jsontext.Json) -> Iterator[str]:
    """Yield the credentials that headers and URLs of the configuration have in place of named secrets."""
    for _, inner in jsontext.values_in(setting):
        url = jsontext.value_at(inner, "url")
        pairs = parse_qsl(url.partition("?")[2]) if isinstance(url, str) else []
        headers = jsontext.mapping_at(inner, "headers")
        pairs += [(name, value) for name, value in headers.items() if isinstance(value, str)]
        for name, value in pairs:
            if _CREDENTIAL_NAME.search(name):
                yield from (value.rpartition(" ")[2], value)  # first what follows `Bearer`: a text may have it alone


def masked(text: str, credentials: Sequence[str]) -> str:
    """Return the text without the credentials. Mask a whole text: a part of a credential is not found."""
    content = text.encode("utf-8", "surrogatepass")
    return credential_masks.without_credentials(content, credentials).decode("utf-8", "surrogatepass")
