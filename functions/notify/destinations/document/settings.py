"""The settings of the destination `document`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from functions.notify.destinations.document.markdown import encoded
from functions.notify.kind_settings import EventExpression, GoogleId, KindSettings, LineTemplate
from shared.config.rules import SecretName
from shared.templating.template import Template

Placeholder = Annotated[str, Field(pattern=r"^[^{}\s]([^{}\r\n]{0,98}[^{}\s])?$")]


def _markdown(text: str) -> str:
    Template("markdown", text, encode=encoded)
    return text


class Settings(KindSettings):
    """Google Docs: a new one from a template or from Markdown, or a section at the end of one.

    Share the document of `append_to` with the service account of `notify`, or of `secret`, as an editor. For new
    documents, make it a contributor of the shared drive with `folder`, and share the template with it.

    template   the URL or id of a document, which is copied
    values     what replaces {{name}} in the copy: for each name a JMESPath expression over the event
    markdown   in place of `template`: a template in Markdown, with headings, lists, links, quotes and code. The event's
               values are text in it, and never Markdown
    append_to  with `markdown`: the URL or id of the document that gets a section; without, a new document is made
    title      the name of a new document; a template
    folder     the URL or id of the folder for new documents, in a shared drive: a service account has no storage
    secret     a service account's key (JSON); without, this deployment's own account writes
    """

    extras: ClassVar[tuple[str, ...]] = ("crypto", "markdown")  # a service account's key signs by RSA

    template: GoogleId | None = None
    values: Annotated[Mapping[Placeholder, EventExpression], Field(max_length=200)] = Field(default_factory=dict)
    markdown: Annotated[str, Field(min_length=1), AfterValidator(_markdown)] | None = None
    append_to: GoogleId | None = None
    title: LineTemplate = "{{ type }} from {{ source }}"
    folder: GoogleId | None = None
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Settings":
        if (self.template is None) == (self.markdown is None):
            raise ValueError("needs one of `template` and `markdown`")
        if self.template is None and self.values:
            raise ValueError("`values` fill a `template`; `markdown` names fields by itself, as in {{ data.name }}")
        if self.template is not None and not self.values:
            raise ValueError("`template` needs `values`: the names in it that are replaced")
        if self.append_to is not None:
            for name in ("template", "folder"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`append_to` makes no document: leave out `{name}`")
        elif self.folder is None:
            raise ValueError("a new document needs `folder`; for a section in a document, set `append_to`")
        return self
