"""Comparison of the settings that a plan sets with the settings that the platform reports.

A setting is data: the resource, its name, the planned value, and a JMESPath expression that reads the live value from
the platform's own description of the resource. Each platform has a table of such expressions.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import jmespath
from pydantic import TypeAdapter

from deploy.config.packaged_yaml import load_data
from deploy.gcp.resource import Resource
from deploy.gcp.resources import monitoring, project, topics
from shared.config.rules import UNIT_SECONDS
from shared.event import oneline
from shared.jsontext import Json, JsonObject, list_at, mapping_at, objects_at, to_json, value_at

Form: TypeAlias = Literal[
    "text", "duration", "quantity", "name", "list", "variables", "mounts", "inside", "document", "part"
]


@dataclass(frozen=True, slots=True)
class Setting:
    """A planned setting.

    planned  None for a value that must not be set, and an empty text for one that is empty or not set
    live     a JMESPath expression over the platform's description
    form     how both values are written, and which live value is as planned: the same one; with `inside`, `document`
             and `part` also a longer text, an object with more fields, and a list with more items
    fixed    the platform cannot change it
    """

    resource: str
    name: str
    planned: Json
    live: str
    form: Form = "text"
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting whose live value is not the planned one. `found` is the live value, as the platform writes it."""

    setting: Setting
    found: Json

    @property
    def text(self) -> str:
        """Return the difference on one line, for a comment in a script. The values of environment variables are left
        out, because one may be a secret."""
        if self.setting.form == "variables":
            return oneline(f"{self.setting.name}: {', '.join(_different_names(self.setting.planned, self.found))}")
        found = _normalized("mounts", self.found) if self.setting.form == "mounts" else self.found
        return f"{self.setting.name} is {_shown(found)}, planned {_shown(self.setting.planned)}"


def differences(settings: Iterable[Setting], description: JsonObject) -> tuple[Difference, ...]:
    """Return the settings whose live value is not the planned one. Values are normalised: 7d is 604800s."""
    read = _with_plain_truth(description)
    found = ((each, jmespath.search(each.live, read)) for each in settings)
    return tuple(Difference(each, value) for each, value in found if not _matches(each, _normalized(each.form, value)))


def _with_plain_truth(value: Json) -> Json:
    """Return the value with `True` as `true`: Google writes truth values in annotations either way."""
    if isinstance(value, dict):
        return {name: _with_plain_truth(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_plain_truth(each) for each in value]
    return value.lower() if isinstance(value, str) and value.lower() in ("true", "false") else value


def _matches(setting: Setting, found: Json) -> bool:
    """Return whether the normalised live value is as planned. A planned value that is empty also means: not set."""
    planned = _normalized(setting.form, setting.planned)
    if planned == "":
        return found in (None, "", [])
    match setting.form:
        case "inside":  # a name, alone or at the end of a path, in a text that is JSON
            return bool(re.search(rf'["/]{re.escape(str(planned))}"', str(found)))
        case "document":
            return _is_within(planned, found)
        case "part":
            return all(any(_is_within(each, rule) for rule in list_at(found)) for each in (planned or []))  # type: ignore[union-attr] # of this form, a list
        case _:
            return planned == found


def _is_within(planned: Json, found: Json) -> bool:
    """Return whether the planned value is part of the live one: platforms add fields to objects, but no list items."""
    if isinstance(planned, dict):
        return isinstance(found, dict) and all(_is_within(value, found.get(name)) for name, value in planned.items())
    if isinstance(planned, list):
        is_same_length = isinstance(found, list) and len(found) == len(planned)
        return is_same_length and all(_is_within(*pair) for pair in zip(planned, found, strict=True))  # type: ignore[arg-type] # a list
    return planned == found


# The forms of values


def _normalized(form: Form, value: Json) -> Json:
    """Return the value in the one way in which both sides are compared; None stays None."""
    return None if value is None else _NORMAL[form](value)


def _text(value: Json) -> Json:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _duration(value: Json) -> Json:
    """Return seconds as text. `never`, and an object without a limit, stay `never`."""
    if value == {} or value == "never":
        return "never"
    found = re.fullmatch(r"(\d+)(?:\.0+)?([smhd]?)", str(value))
    return str(int(found[1]) * UNIT_SECONDS[found[2] or "s"]) if found else str(value)


def _quantity(value: Json) -> Json:
    """Return a quantity of Kubernetes as a number: 1000m is 1."""
    text = str(value)
    return f"{int(text[:-1]) / 1000:g}" if re.fullmatch(r"\d+m", text) else text


def _name(value: Json) -> Json:
    """Return the last part of a path. APIs write their constants in capitals and with underscores."""
    return str(value).rpartition("/")[2].lower().replace("_", "-")


def _list(value: Json) -> Json:
    texts = map(str, value) if isinstance(value, list) else filter(None, str(value).split(","))
    return [*sorted(texts)]


def _variables(value: Json) -> Json:
    """Return a mapping of `A=1,B=2`, with gcloud's escape `^@@^A=1@@B=2`, or of a list of {name, value}."""
    if isinstance(value, list):
        return {str(each.get("name")): str(each.get("value", "")) for each in value if isinstance(each, dict)}
    escape = re.match(r"\^(.+?)\^", text := str(value))
    pairs = text[escape.end() :].split(escape[1]) if escape else text.split(",")
    return {name: worth for name, _, worth in (pair.partition("=") for pair in pairs if pair)}


def _mounts(value: Json) -> Json:
    """Return the secret's version by the path of its file, from `/path=secret:version,…` or from volumes and mounts."""
    if not isinstance(value, dict):
        return _variables(value)
    secrets = {each.get("name"): each.get("secret") for each in objects_at(value, "volumes")}
    found: JsonObject = {}
    for mount in objects_at(value, "mounts"):
        secret = mapping_at(secrets.get(mount.get("name")))
        for item in objects_at(secret, "items"):
            path = f"{mount.get('mountPath')}/{item.get('path')}"
            found[path] = f"{secret['secretName']}:{item.get('key')}"
    return found


def _document(value: Json) -> Json:
    """Return the value without zeros and empty texts and lists, which APIs based on protocol buffers leave out.

    An empty object stays: it says that the field is set.
    """
    if isinstance(value, dict):
        documents = {name: _document(each) for name, each in value.items()}
        return {name: each for name, each in documents.items() if each not in (None, "", 0, False, "0s", [])}
    return [_document(each) for each in value] if isinstance(value, list) else value


_NORMAL: Final[Mapping[Form, Callable[[Json], Json]]] = {
    "text": _text,
    "duration": _duration,
    "quantity": _quantity,
    "name": _name,
    "list": _list,
    "variables": _variables,
    "mounts": _mounts,
    "inside": _text,
    "document": _document,
    "part": _document,
}


def _different_names(planned: Json, found: Json) -> Iterator[str]:
    """Yield how two mappings of environment variables differ, without the values."""
    wanted, there = (mapping_at(_normalized("variables", each)) for each in (planned, found))
    for name in sorted({*wanted, *there}):
        if name not in there:
            yield f"{name} is missing"
        elif name not in wanted:
            yield f"{name} is not planned"
        elif wanted[name] != there[name]:
            yield f"{name} has another value"


def _shown(value: Json) -> str:
    if value is None or value == "":
        return "not set"
    text = oneline(value if isinstance(value, str) else to_json(value))
    # A whole policy would fill the line of the script.
    return text if len(text) <= 120 else f"{text[:117]}..."


# The settings of a plan


@dataclass(frozen=True, slots=True)
class Live:
    """The place and the form of a setting's live value. `path` is a JMESPath expression over an entry of gcloud's list.

    `fixed` is as in Setting.
    """

    path: str
    form: Form = "text"
    fixed: bool = False


FLAGS: Final = TypeAdapter(dict[str, dict[str, Live | str]]).validate_python(
    load_data(Path(__file__).with_name("drift.yaml"))
)
"""By the kind of a resource and by flag: where its live value is; a text if it is not compared, which says why."""
NOT_SET: Final[Mapping[str, tuple[str, ...]]] = {topics.SUBSCRIPTION: ("dead-letter-topic", "max-delivery-attempts")}
"""Flags whose absence is compared too: an update removes the setting."""
ALWAYS: Final[Mapping[str, Mapping[str, tuple[Json, Live]]]] = {
    project.ACCOUNT: {"enabled": ("true", Live("disabled != `true`"))}
}
"""Settings without a flag, with the value that every new resource has."""
FILE_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    monitoring.ALERT: ("combiner", "conditions", "documentation", "alertStrategy"),
    monitoring.METRIC: ("description", "filter", "labelExtractors"),
}
"""The fields that are compared of a resource whose settings are in a file, if the file has them. A metric's descriptor
has the labels of its extractors, but Google leaves out usual values there and promises no order."""
_SAME_FLAG: Final = {
    "clear-cloudsql-instances": ("set-cloudsql-instances", ""),
    "clear-network": ("network", ""),
    "clear-secrets": ("set-secrets", ""),
    "clear-vpc-connector": ("vpc-connector", ""),
}
"""By a flag that clears a setting: the flag that sets it, and the value that stands for none."""
_READ_ONLY: Final = frozenset({"name", "creationRecord", "mutationRecord", "validity"})
"""The fields of an alert policy that Google sets."""


def settings_of(resource: Resource) -> tuple[Setting, ...]:
    """Return the settings that the plan sets and that can be read back. A dashboard has none: its widgets are the
    operator's to arrange, and its label tells a new version of ours."""
    if fields := FILE_FIELDS.get(resource.kind):
        content = _content(resource)
        return tuple(Setting(resource.key, name, content[name], name, "document") for name in fields if name in content)
    return tuple(_settings(resource))


def planned_flags(resource: Resource) -> dict[str, str]:
    """Return the values of the flags that create the resource. `--no-x` is `x` with the value false."""
    found: dict[str, str] = {}
    for word in (word for command in resource.create for word in command.arguments if word.startswith("--")):
        flag, equals, value = word.removeprefix("--").partition("=")
        if flag in _SAME_FLAG:
            flag, value = _SAME_FLAG[flag]
        elif not equals:
            value = "false" if flag.startswith("no-") else "true"
            flag = flag.removeprefix("no-")
        found[flag] = value
    return found


def content_with_theirs(resource: Resource, description: JsonObject) -> JsonObject:
    """Return the content of the file of an alert, or else of a shared bucket, with what others have set there.

    An update replaces a whole alert policy, with the operator's notification channels and switch, and all rules of a
    bucket. `description` is the existing resource.
    """
    if resource.kind == monitoring.ALERT:
        return _alert_with_theirs(_content(resource), description)
    return _rules_with_theirs(_content(resource), description)


def _alert_with_theirs(content: JsonObject, description: JsonObject) -> JsonObject:
    theirs = {name: value for name, value in description.items() if name not in _READ_ONLY}
    ours = {name: _merged(theirs.get(name), value) for name, value in content.items()}
    return {**theirs, **ours, "conditions": _named(content.get("conditions"), description.get("conditions"))}


def _rules_with_theirs(content: JsonObject, description: JsonObject) -> JsonObject:
    """Return the lifecycle rules of others, then ours. A rule for the same prefixes as one of ours counts as an older
    one of ours, and is left out."""
    rules = list_at(description, "lifecycle_config", "rule")
    own = list_at(content, "rule")
    own_prefixes = [_prefixes(rule) for rule in own]
    others = [rule for rule in rules if _prefixes(rule) not in own_prefixes]
    return {"rule": [*others, *own]}


def _settings(resource: Resource) -> Iterator[Setting]:
    """Yield the settings that FLAGS can read back, then those of NOT_SET and of ALWAYS."""
    known, flags = FLAGS.get(resource.kind, {}), planned_flags(resource)
    for flag, value in flags.items():
        live = known.get(flag, "")
        if isinstance(live, Live):
            planned: Json = list_at(_content(resource), "rule") if flag == "lifecycle-file" else value
            # Others have values of their own in a shared resource, so ours have to be among them, whatever the flag.
            form = "part" if resource.is_shared else live.form
            yield Setting(resource.key, flag, planned, live.path, form, live.fixed)
    for flag in NOT_SET.get(resource.kind, ()):
        if flag not in flags and isinstance(live := known[flag], Live):
            yield Setting(resource.key, flag, None, live.path, live.form)
    for name, (planned, live) in ALWAYS.get(resource.kind, {}).items():
        yield Setting(resource.key, name, planned, live.path, live.form)


def _content(resource: Resource) -> JsonObject:
    [file] = resource.files
    content: JsonObject = json.loads(file.content)
    return content


def _prefixes(rule: Json) -> Json:
    """Return what tells the lifecycle rules of a shared bucket apart: the prefixes of the objects that they delete."""
    return value_at(rule, "condition", "matchesPrefix")


def _merged(theirs: Json, ours: Json) -> Json:
    """Return our value, with those fields of an object that only the existing one has."""
    return {**theirs, **ours} if isinstance(theirs, dict) and isinstance(ours, dict) else ours


def _named(ours: Json, theirs: Json) -> list[Json]:
    """Return our conditions with the names that Google gave them: one that keeps its name keeps its open incident."""
    names = {each.get("displayName"): each.get("name") for each in objects_at(theirs)}
    return [
        {**each, "name": name} if (name := names.get(each.get("displayName"))) else each for each in objects_at(ours)
    ]
