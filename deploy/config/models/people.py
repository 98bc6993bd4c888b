"""The model of `people`: written in the file itself, in a file beside it, or at a URL."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from functions.notify.recipients.people import FIELDS, MAX_ALIASES, MAX_PEOPLE
from shared.config.rules import SecretName, listed
from shared.config.values import Model


def _texts(value: object) -> object:
    """Return the names as texts. Ids may be written as numbers."""
    names = listed(value)
    return [str(name) if type(name) is int else name for name in names] if isinstance(names, list) else names


Email = Annotated[str, AfterValidator(FIELDS["email"])]
Phone = Annotated[str, AfterValidator(FIELDS["phone"])]
Push = Annotated[str, AfterValidator(FIELDS["push"])]
Slack = Annotated[str, AfterValidator(FIELDS["slack"])]
Telegram = Annotated[str, AfterValidator(FIELDS["telegram"])]
Discord = Annotated[str, AfterValidator(FIELDS["discord"])]
Teams = Annotated[str, AfterValidator(FIELDS["teams"])]
GoogleChat = Annotated[str, AfterValidator(FIELDS["google_chat"])]
Ntfy = Annotated[str, AfterValidator(FIELDS["ntfy"])]
Timezone = Annotated[str, AfterValidator(FIELDS["timezone"])]
Language = Annotated[str, AfterValidator(FIELDS["language"])]
Alias = Annotated[str, Field(min_length=1, max_length=254)]


class PersonConfig(BaseModel):
    """A person: addresses, and the names by which events call them. At least one field.

    push       the token of an app for `push`, or a topic for `ntfy`
    slack, telegram, discord, teams, google_chat   the id of the person there
    ntfy       a topic for `ntfy`, if `push` is the token of an app
    timezone   a name of the IANA database, such as Europe/Berlin
    language   a language tag (BCP 47), such as de-CH
    aliases    names that any source may use: logins, mail addresses, ids. The person's own name and `email` count too

    Any other key is the name of a source or a provider, and holds what that calls the person: `github: anna-gh`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    email: Email | None = None
    phone: Phone | None = None
    push: Push | None = None
    slack: Slack | None = None
    telegram: Telegram | None = None
    discord: Discord | None = None
    teams: Teams | None = None
    google_chat: GoogleChat | None = None
    ntfy: Ntfy | None = None
    timezone: Timezone | None = None
    language: Language | None = None
    aliases: Annotated[list[Alias], BeforeValidator(_texts), Field(max_length=MAX_ALIASES)] = []


class PeopleFile(Model):
    """A CSV file with a header line, or a JSON file, beside the configuration. It is compiled in."""

    file: str


class PeopleUrl(Model):
    """A list at a URL, in CSV or JSON, which notify reads every ten minutes.

    secret         the name of a secret: the token that is sent as `Authorization: Bearer …`
    allow_private  allow an address that is not public, and plain http
    """

    url: str
    secret: SecretName | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _url_is_safe(self) -> "PeopleUrl":
        allowed = ("https://", "http://") if self.allow_private else ("https://",)
        if not self.url.startswith(allowed) or any(character.isspace() for character in self.url):
            raise ValueError(f"url: must begin with https://, without spaces; got {self.url!r}")
        return self


def _place(value: object) -> Literal["tag:file", "tag:url", "tag:here"]:
    """Return where the list is. A person may be called `file` or `url`, but a person is no text."""
    written = value if isinstance(value, Mapping) else {}
    if isinstance(value, PeopleFile) or isinstance(written.get("file"), str):
        return "tag:file"
    return "tag:url" if isinstance(value, PeopleUrl) or isinstance(written.get("url"), str) else "tag:here"


Persons = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=100)], PersonConfig], Field(max_length=MAX_PEOPLE)
]
PeopleConfig: TypeAlias = Annotated[
    Annotated[PeopleFile, Tag("tag:file")] | Annotated[PeopleUrl, Tag("tag:url")] | Annotated[Persons, Tag("tag:here")],
    Discriminator(_place),
]
