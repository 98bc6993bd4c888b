"""Redact: what nobody further on should read."""

from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from functions.transform.attributes import with_attribute
from functions.transform.fields import ReadPath
from functions.transform.paths import Path, parse_path
from functions.transform.redaction import MASK, cleaned_everywhere, masked, without_cards, without_emails
from functions.transform.step import Example, Step, StepContext
from functions.transform.updates import Missing, Place, update
from shared.config.values import listed
from shared.event import Event


def _redactable(text: str) -> str:
    path = parse_path(text)
    if path.root == "type":
        raise ValueError("an event's 'type' says what happened, and stays")
    return text


def _paths(settings: object) -> object:
    return {"paths": settings} if isinstance(settings, str | list) else settings


RedactPath = Annotated[str, AfterValidator(_redactable)]


class RedactSettings(BaseModel):
    """
    paths      what is there is masked whole, whatever it is; null, and what is not there, stay so
    cards      numbers of payment cards, wherever they stand in texts, numbers and the names of fields
    emails     mail addresses, wherever they stand in texts and the names of fields; the domain stays
    within     where `cards` and `emails` look (default: all of `data`, the subject and the actor)
    mask       what takes the place
    keep_last  so many characters at the end of what is masked stay
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: Annotated[list[RedactPath], BeforeValidator(listed)] = Field(default=[])
    cards: bool = False
    emails: bool = False
    within: Annotated[list[ReadPath] | None, BeforeValidator(listed), Field(min_length=1)] = None
    mask: str = Field(MASK, max_length=100)
    keep_last: int = Field(0, ge=0, le=8)


def _says_something(settings: RedactSettings) -> RedactSettings:
    if not (settings.paths or settings.cards or settings.emails):
        raise ValueError("name `paths`, or say `cards: true` or `emails: true`")
    return settings


class Redact(
    RootModel[
        Annotated[
            RedactSettings,
            BeforeValidator(_paths, json_schema_input_type=str | list[str] | RedactSettings),
            AfterValidator(_says_something),
        ]
    ],
    Step,
):
    """A path, a list of paths, or {paths, cards, emails, within, mask, keep_last}."""

    summary: ClassVar[str] = "Mask what paths name, card numbers and mail addresses."
    example: ClassVar[Example] = Example(
        settings={"paths": ["data.password"], "cards": True, "emails": True, "keep_last": 4},
        before={"password": "hunter2hunter2", "note": "ada@example.com paid with 4111 1111 1111 1111", "n": 12},
        after={"password": "***ter2", "note": "***@example.com paid with ***1111", "n": 12},
    )
    model_config = ConfigDict(frozen=True)
    _paths: list[Path] = PrivateAttr()
    _within: list[Path] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._paths = [parse_path(text) for text in self.root.paths]
        self._within = [parse_path(text) for text in self.root.within or ["data"]]

    def apply(self, event: Event, _: StepContext) -> Event:
        for path in self._paths:
            event = self._masked(event, path)
        if not self.root.cards and not self.root.emails:
            return event
        for path in self._within:
            event = update(event, path, self._cleaned_place)
        if self.root.within is None:
            subject, actor = event.subject, event.actor
            event = replace(
                event,
                subject=None if subject is None else self._cleaned_text(subject),
                actor=None if actor is None else self._cleaned_text(actor),
            )
        return event

    def _masked(self, event: Event, path: Path) -> Event:
        if path.root == "data":
            return update(event, path, partial(_mask, self.root))
        value = event.subject if path.root == "subject" else event.actor
        return (
            event if value is None else with_attribute(event, path, masked(value, self.root.mask, self.root.keep_last))
        )

    def _cleaned_place(self, value: Place, _: str) -> Place:
        return value if isinstance(value, Missing) else cleaned_everywhere(value, self._cleaned_text)

    def _cleaned_text(self, text: str) -> str:
        cleaned = without_cards(text, self.root.mask, self.root.keep_last) if self.root.cards else text
        cleaned = without_emails(cleaned, self.root.mask) if self.root.emails else cleaned
        return text if cleaned == text else cleaned


def _mask(settings: RedactSettings, value: Place, _: str) -> Place:
    return value if value is None or isinstance(value, Missing) else masked(value, settings.mask, settings.keep_last)
