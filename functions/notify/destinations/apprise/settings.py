"""The settings of the destination `apprise`."""

from typing import ClassVar, Final

from pydantic import field_validator

from functions.notify.kind_settings import KindSettings, LineTemplate, TextTemplate, choice_fault
from shared.config.rules import SecretName
from shared.jsontext import JsonObject

TYPES: Final = ("info", "success", "warning", "failure")


class Settings(KindSettings):
    """A message through one of 150 further services, such as Gotify, Mattermost, Matrix, Pushover or Zulip.

    secret         the name of a secret with the service's URL, as https://appriseit.com/services/ describes it. Give
                   each URL one recipient: after a partial failure, all recipients get the message again
    title, text    templates; a text that is too long for the service is cut
    type           `info`, `success`, `warning` or `failure`, or a template that results in one of them
    allow_private  allow a service at an address that is not public, and plain http
    """

    digests: ClassVar[bool] = True
    extras: ClassVar[tuple[str, ...]] = ("apprise",)
    example: ClassVar[JsonObject] = {"secret": "gotify-url", "title": "Build {{ data.number }}", "type": "failure"}

    secret: SecretName
    title: LineTemplate = "{{ type }} from {{ source }}"
    text: TextTemplate = "{{ data }}"
    type: str = "info"
    allow_private: bool = False

    @field_validator("type")
    @classmethod
    def _verify_type(cls, text: str) -> str:
        if fault := choice_fault(text, TYPES):
            raise ValueError(fault)
        return text
