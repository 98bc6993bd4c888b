"""Find the settings of a configuration without faults that are allowed and rarely meant.

`configuration_warnings` goes through the file section by section. A warning is a text for the operator that says what
happens, and what to write instead. The functions `*_texts` yield the texts about one value, and the functions
`*_warnings` those of a section, each after its place. expression_warnings.py has the texts about what can be anywhere.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, texts_in
from deploy.config.configuration import Configuration
from deploy.config.expression_warnings import comparison_texts, keyword_texts, template_texts
from deploy.config.kept_bodies import retention_warning
from deploy.config.misleading_values import misleading_values
from deploy.config.model_faults import fault_at
from deploy.config.sections import alerts, bus_source, develop, provider_event_types, subscribers
from deploy.config.sections.auth import SIGNING_A_TIME, Auth, LinkAuth, PathAuth, QueryAuth
from deploy.config.sections.catalogue import chosen_schemes, load_catalogue, signs_url
from deploy.config.sections.destination import DestinationConfig
from deploy.config.sections.route import RouteConfig
from deploy.config.sections.source import SourceConfig
from functions.notify.registry import SUBSCRIBERS
from functions.transform.expression_paths import is_path, path_text
from functions.transform.program import Program, read_program
from functions.transform.routes import Route
from functions.transform.step import NamedStep, Step
from functions.transform.steps.compose import Map, Template
from functions.transform.steps.decide import Filter, Stop, Switch
from functions.transform.steps.lint import Lint
from functions.transform.steps.values import Cast, Default, Set
from shared.casting import is_number
from shared.config.signed import DigestAuth, SignedAuth
from shared.did_you_mean import nearest
from shared.expressions import LOGICAL, Expression, is_true
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, values_in
from shared.retention import retention_of
from shared.signatures.auth_scheme import read_scheme
from shared.times import duration_text

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

PlacedWarning: TypeAlias = tuple[DocumentPath, str]
"""The place of a warning, and what it says."""
_NUMBERS_OF_EVENT: Final = ("hops",)
"""The fields of an event that are numbers, besides those in its data."""


def configuration_warnings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> list[Fault]:
    """Return the warnings about a configuration without faults, by line. `slices` are what it compiles to."""
    config = Configuration.model_validate(file.document)
    program = read_program(slices["transform"])
    compiled_sources = mappings_at(slices["receive"], "sources")
    placed = [
        *_source_warnings(config, compiled_sources),
        *_route_warnings(config, program, compiled_sources),
        *_chain_warnings(program),
        *_destination_warnings(config),
        *_retention_warnings(file, slices["notify"]),
        *_unit_warnings(file.document),
        *_develop_warnings(config, compiled_sources),
    ]
    warnings = {fault_at(file, path, text) for path, text in placed}
    return sorted({*warnings, *misleading_values(file), *subscribers.subscribers_warnings(file)})


# Sources


def _source_warnings(config: Configuration, compiled: Mapping[str, JsonObject]) -> Iterator[PlacedWarning]:
    for name, source in config.sources.items():
        for text in (*_source_texts(name, source, config), *keyword_texts(compiled[name].get("schema"))):
            yield ("sources", name), text
        if not any(name in route.from_ or "all" in route.from_ for route in config.routes):
            yield ("sources", name), "no route matches its events: they are stored and not delivered"


def _source_texts(name: str, source: SourceConfig, config: Configuration) -> Iterator[str]:
    """Yield the warnings about who may send to the source, and about repeated or missing events."""
    if source.bus:
        yield from _bus_texts(source.bus)
        return
    if source.accepts_anybody:
        yield "`auth: none` accepts events from anyone who finds its URL"
        if "GET" in source.methods:
            yield "it accepts GET from anyone, so any page that somebody opens can send it events; see `hookchain link`"
    for scheme in source.auth:
        if isinstance(scheme, PathAuth | QueryAuth):
            yield f"a token in the {scheme.scheme} ends up in logs and histories; use a header if the sender can"
        yield from auth_texts(scheme)
    yield from _identity_texts(source)
    yield from provider_texts(source, config.public_url)
    if source.public_url and not source.public_url.endswith((f"/{name}", f"/{name}/")):
        ending = f"it ends with /{name} or /{name}/"
        yield f"`public_url` must be the whole URL that its sender calls: {ending}, unless a proxy changes it"
    if source.allow and source.trusted_proxies is None and "trusted_proxies" not in config.model_fields_set:
        yield "`allow` checks the address that connects; behind a proxy, as on Cloud Run, add `trusted_proxies: 1`"


def _bus_texts(bus: bus_source.BusSourceConfig) -> Iterator[str]:
    """Yield on which clouds the source gets no messages, or not all."""
    if bus.kind == "pubsub":
        yield "`pubsub` brings messages on Google Cloud and with `make dev`: on AWS, this source gets none"
    elif bus.kind != "bucket":
        yield f"`{bus.kind}` brings messages on AWS: on Google Cloud, this source gets none"
    elif lacking := [each for each in bus.events if each not in ("finalize", "delete")]:
        yield f"S3 has no event for {' and '.join(lacking)}: on AWS, this source gets none of these"


def _identity_texts(source: SourceConfig) -> Iterator[str]:
    if _signs(source):
        if source.provider is None and not source.id and not source.dedupe:
            yield (
                "no `id`: two requests with the same signed bytes are one event. Name the sender's own id, or set"
                " `dedupe: delivery_id` if equal bodies are different events, or `dedupe: signed` if that is meant"
            )
    elif source.dedupe == "signed":
        yield "`dedupe: signed` has no effect: its sender signs nothing; set `id`, or `dedupe: body`"
    elif not _recognizes_repeats(source):
        yield "no `id` and no `dedupe: body`: an event that its sender repeats after a 503 may be delivered twice"


def _signs(source: SourceConfig) -> bool:
    schemes = list(source.auth)
    if source.provider and source.uses_provider_auth:
        schemes = [offered.scheme for offered in chosen_schemes(load_catalogue()[source.provider], source.variant)]
    return bool(schemes) and all(read_scheme(each.model_dump(exclude_none=True)).signs_content for each in schemes)


def _recognizes_repeats(source: SourceConfig) -> bool:
    """Return whether a repeated event is recognized: by its id, by `dedupe`, or because its link is valid once."""
    if source.id or source.dedupe or any(isinstance(scheme, LinkAuth) for scheme in source.auth):
        return True
    event = load_catalogue()[source.provider].event if source.provider else None
    return event is not None and bool(event.id or event.dedupe)


def provider_texts(source: SourceConfig, default_url: str | None) -> Iterator[str]:
    """Yield warnings about what the source takes from the catalogue; none for an unknown provider."""
    entry = load_catalogue().get(source.provider or "")
    if entry is None or not source.uses_provider_auth:
        return
    for name, param in entry.params.items():
        if param.recommended and name not in source.params:
            yield f"no param {name}: {param.about}"
    schemes = [offered.scheme for offered in chosen_schemes(entry, source.variant)]
    if source.tolerance == 0 and any(map(_signs_time, schemes)):
        yield f"`tolerance: 0s` rejects all requests of {entry.name}: a request always arrives after its timestamp"
    if not (source.public_url or default_url) and any(map(signs_url, schemes)):
        yield f"{entry.name} signs the URL that you gave it: set `public_url` to it, unless no proxy changes it"


def _signs_time(scheme: Auth) -> bool:
    """Return whether the age of a request is compared with the tolerance."""
    return scheme.scheme in SIGNING_A_TIME or bool(
        getattr(scheme, "timestamp", None) or getattr(scheme, "max_age", None)
    )


def auth_texts(scheme: Auth) -> Iterator[str]:
    """Yield what a signature scheme leaves open to an attacker."""
    if not isinstance(scheme, SignedAuth):
        return
    content = scheme.content.lower()
    if isinstance(scheme, DigestAuth) and scheme.algorithm != "sha384" and not content.endswith("{secret}"):
        yield (
            "a digest of the secret and the text after it can be extended: whoever has seen one signature can sign a"
            " longer body. Use `scheme: hmac` if the sender can, or a `content` that ends with {secret}"
        )
    if not _covers_body(scheme, content):
        yield "`content` does not cover the body: whoever has seen one signature can send any other body with it"
    if scheme.timestamp and not _covers_time(scheme.timestamp.lower(), content):
        yield (
            f"`content` does not cover {{timestamp}}: whoever repeats a request can write another time into"
            f" {scheme.timestamp}. Add {{timestamp}} to `content` if the sender signs it, otherwise remove `timestamp`"
        )


def _covers_body(scheme: SignedAuth, content: str) -> bool:
    return scheme.body_digest is not None or any(part in content for part in ("{body", "{form", "{data."))


def _covers_time(location: str, content: str) -> bool:
    """Return whether the time is signed, on its own or as a part of the body, the form or the URL."""
    wholes = {"data": ("{body", "{form}"), "form": ("{body", "{form}"), "query": ("{url}",)}
    around = wholes.get(location.partition(".")[0], ())
    return any(part in content for part in ("{timestamp}", f"{{{location}}}", *around))


# Routes

_REGEX: Final = re.compile(r"[\\^$|()+]|\.\*.")
_TYPOGRAPHIC: Final = re.compile("[\u2018\u2019\u201c\u201d]")


def _route_warnings(
    config: Configuration, program: Program, compiled: Mapping[str, JsonObject]
) -> Iterator[PlacedWarning]:
    for number, (route, compiled_route) in enumerate(zip(config.routes, program.routes, strict=True)):
        for text in (
            *_selection_texts(route, config, number),
            *_number_texts(compiled_route, compiled),
            *_step_texts(compiled_route.chain.steps),
        ):
            yield ("routes", number), text
        for text in _type_texts(route, config):
            yield ("routes", number, "types"), text
        for text in comparison_texts(route.where, _NUMBERS_OF_EVENT) if route.where is not None else ():
            yield ("routes", number, "where"), text


def _selection_texts(route: RouteConfig, config: Configuration, number: int) -> Iterator[str]:
    if not route.enabled:
        yield "is disabled (`enabled: false`)"
        return
    if route.where is not None and _is_never(Expression(route.where)):
        yield f"can never match: `where: {route.where}` is always false"
    has_list = _event_types_of(route, config) is not None
    for glob in route.types:
        if "," in glob or (" " in glob.strip() and not has_list):
            parts = ", ".join(each for each in re.split(r"[,\s]+", glob) if each)
            yield f"`types` has {glob!r}, which is one type with a comma or a space in it: write a list, [{parts}]"
        elif _TYPOGRAPHIC.search(glob):
            yield f"`types` has {glob!r}, whose quotation marks are part of the type: write plain ones, \" or '"
        elif _REGEX.search(glob):
            yield f"`types` has {glob!r}, and takes no regular expressions: `*` is any text, as in order.*"
    twins = [each for each in config.routes[:number] if each.enabled and _same(each, route)]
    if twins:
        yield f"sends the same events to the same destinations as {twins[0].name!r}: each is delivered twice"


def _is_never(condition: Expression) -> bool:
    return condition.is_constant and not is_true(condition.search(None))


def _same(one: RouteConfig, other: RouteConfig) -> bool:
    own = {"name", "on_error"}
    return one.model_dump(exclude=own) == other.model_dump(exclude=own)


def _type_texts(route: RouteConfig, config: Configuration) -> Iterator[str]:
    """Yield each pattern in `types` that matches no known event type of the route's providers."""
    listed = _event_types_of(route, config)
    if not listed:
        return
    providers = " or ".join(each.provider for each in listed)
    for pattern in route.types:
        if "," in pattern or any(each.has(pattern) for each in listed):
            continue
        near = nearest(pattern, [name for each in listed for name in each.names()])
        suggestion = f"; did you mean {near!r}?" if near else ""
        yield f"{pattern!r} matches no event type of {providers} that was known on {listed[0].read_on}{suggestion}"


def _event_types_of(route: RouteConfig, config: Configuration) -> list[provider_event_types.EventTypes] | None:
    """Return the known event types of the route's sources; None if a source can have other types."""
    sources = _sources_of(route, config)
    if any(source.provider is None or source.type or source.action for source in sources):
        return None
    known = provider_event_types.known_event_types()
    if any(source.provider not in known for source in sources):
        return None
    return [known[key] for key in dict.fromkeys(str(source.provider) for source in sources)]


def _sources_of(route: RouteConfig, config: Configuration) -> list[SourceConfig]:
    return [config.sources[name] for name in (config.sources if "all" in route.from_ else route.from_)]


_UNTYPED: Final = ("xml", "form", "multipart", "csv")
"""The formats without numbers: every value in them is text."""


def _number_texts(route: Route, compiled_sources: Mapping[str, JsonObject]) -> Iterator[str]:
    """Yield each comparison with a number of a value that XML, forms or CSV carry as text: it is always false."""
    names = sorted(compiled_sources if route.sources is None else route.sources)
    untyped = [name for name in names if _carries_text(compiled_sources[name])]
    for path in dict.fromkeys(_compared_with_numbers(route)):
        lacking = [name for name in untyped if path not in mapping_at(compiled_sources[name], "cast")]
        if lacking:
            yield (
                f"compares {path} with a number, but source {lacking[0]!r} can get XML, forms or CSV, where every "
                f"value is text: write to_number({path}), or `cast: {{{path}: number}}` on the source"
            )


def _compared_with_numbers(route: Route) -> Iterator[str]:
    """Yield the paths that are compared with a number while their values are as the source sent them."""
    if route.where is not None:
        yield from _paths_beside_numbers(route.where.tree)
    for named in route.chain.steps:
        if isinstance(named.step, Cast):  # from here on, a value may be a number
            return
        if isinstance(named.step, Filter):
            yield from _paths_beside_numbers(Expression(named.step.keep).tree)


def _paths_beside_numbers(node: "_TreeNode") -> Iterator[str]:
    """Yield each path that the condition compares with a number that it states, outside of `[? … ]`."""
    if node["type"] == "comparator":
        left, right = node["children"]
        for side, other in ((left, right), (right, left)):
            if is_path(side) and other["type"] == "literal" and is_number(other["value"]):
                yield path_text(side)
    elif node["type"] in LOGICAL:
        for child in node["children"]:
            yield from _paths_beside_numbers(child)


def _carries_text(settings: JsonObject) -> bool:
    """Return whether the source's settings say that its bodies can be in a format without numbers."""
    types, methods, formats = (settings.get(key) for key in ("content_types", "methods", "formats"))
    return (
        settings.get("body") in _UNTYPED
        or settings.get("unwrap") is True
        or "form" in settings
        or (isinstance(formats, list) and any(each in formats for each in _UNTYPED))
        or (isinstance(methods, list) and "GET" in methods)
        or (isinstance(types, list) and any(word in str(each) for each in types for word in _UNTYPED))
    )


# Chains and steps


def _chain_warnings(program: Program) -> Iterator[PlacedWarning]:
    used = _used_chains(program)
    for name, steps in program.chains.items():
        if name not in used:
            yield ("chains", name), "no route and no step uses it; only POST /chains/ on transform can"
        yield from ((("chains", name), text) for text in _step_texts(steps))


def _used_chains(program: Program) -> set[str]:
    reached = [named for route in program.routes for named in route.chain.reachable_steps()]
    return {name for named in reached for name in named.step.chains()}


_PATH: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}|(data(?:\.[\w-]+|\[\w*\*?\])+)")
_TEMPLATE: Final = re.compile(r"\{\{.+\}\}", re.DOTALL)
"""A text that looks like a path or has a template in it, where a step takes values as they are."""


def _step_texts(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    """Yield the warnings about the steps of a chain, each after the number and the name of its step."""
    yield from _dead_end_texts(steps)
    for named in steps:
        label = f"step {named.number} {named.name!r}"
        for condition in _conditions(named.step):
            yield from (f"{label} {text}" for text in comparison_texts(condition, _NUMBERS_OF_EVENT))
        match named.step:
            case Lint():
                yield from (f"{label}: {text}" for text in keyword_texts(named.step.schema_document))
            case Template():
                for path, template in named.step.whole.items():
                    yield from (f"{label}: {path} {text}" for text in template_texts(template, is_template=True))
            case Set() | Default():
                for path, value in named.step.whole.items():
                    if isinstance(value, str) and (text := _unfilled_value_text(path, value)):
                        yield f"{label} {text}"


def _unfilled_value_text(path: str, value: str) -> str:
    """Return the warning about a value that was probably meant as a path or as a template; empty for any other text."""
    if found := _PATH.fullmatch(value):
        return f"sets {path} to the text {value!r} itself: to copy the value, write {{from: {found[1] or found[2]}}}"
    if _TEMPLATE.search(value):
        return f"sets {path} to the text itself, braces included: to fill in values, use the step `template`"
    return ""


def _dead_end_texts(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    for named in steps[:-1]:
        if _always_ends(named.step):
            yield f"step {named.number} {named.name!r} always ends the chain: no event reaches the steps after it"


def _always_ends(step: Step) -> bool:
    """Return whether no event reaches the step after this one."""
    match step:
        case Stop():
            return step.when is None
        case Filter():
            return _is_never(Expression(step.keep))
        case Switch():
            # An event that takes a case goes on in that case's chain, and never comes back to this one.
            return any(case.get("when") is None for case in step.whole)
    return False


def _conditions(step: Step) -> list[str]:
    """Return the expressions of the step that compare values."""
    match step:
        case Filter():
            return [step.keep]
        case Stop():
            return [step.when] if step.when is not None else []
        case Switch():
            return [when for case in step.whole if (when := case.get("when")) is not None]
        case Map():
            return [step.whole]
    return []


# Destinations, retention and durations

_TEMPLATE_KEYS: Final = frozenset({"subject", "text", "html", "title", "body", "line", "message"})
"""The settings of kinds that are templates, in which a bare path is a text. For subscribers, `type` is one too."""


def _destination_warnings(config: Configuration) -> Iterator[PlacedWarning]:
    """Yield the destinations and lists that nothing uses, retries after an event has expired, and comparisons that no
    response's status can meet."""
    used = {name for route in config.routes for name in route.to}
    used |= {each.otherwise for each in config.destinations.values() if each.otherwise is not None}
    used |= {*alerts.alert_destinations(config.alerts, config.sources, config.destinations)}
    used |= {*subscribers.tell_destinations(config.subscribers)}
    for name, destination in config.destinations.items():
        at = ("destinations", name)
        if name not in used:
            yield at, "no route leads to it"
        yield from ((at, text) for text in _template_setting_texts(destination))
        if text := _expiry_text(destination):
            yield (*at, "expires_after"), text
        for text in comparison_texts(destination.success_when, ("status",)) if destination.success_when else ():
            yield (*at, "success_when"), text
    named = set(texts_in([each.settings_of(each.kind) for each in config.destinations.values()]))
    yield from ((("lists", name), "no destination uses it") for name in config.lists if name not in named)


def _template_setting_texts(destination: DestinationConfig) -> Iterator[str]:
    """Yield the warnings about the settings that are templates, each after the setting's key."""
    settings: JsonObject = {destination.kind: destination.settings_of(destination.kind)}
    if destination.digest is not None and destination.digest.line is not None:
        settings["digest"] = {"line": destination.digest.line}
    template_keys = _TEMPLATE_KEYS | {"type"} if destination.kind == SUBSCRIBERS else _TEMPLATE_KEYS
    for key, value in _named_texts(settings):
        yield from (f"{key} {text}" for text in template_texts(value, is_template=key in template_keys))


def _named_texts(settings: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield each text in the settings, after the key that it is under."""
    for path, value in values_in(settings):
        if isinstance(value, str):
            yield next(part for part in reversed(path) if isinstance(part, str)), value


def _expiry_text(destination: DestinationConfig) -> str:
    """Return a warning that an event expires before its first retry; empty if it does not."""
    expiry, waits = destination.expires_after, destination.retry
    if expiry is None or not waits or waits[0] < expiry:
        return ""
    return f"no retry comes within {duration_text(expiry)}: the first wait of `retry` is {duration_text(waits[0])}"


def _retention_warnings(file: ConfigFile, notify: JsonObject) -> Iterator[PlacedWarning]:
    """Yield a warning for each reason why a `bodies` that is set does not decide how long a body is kept."""
    if "bodies" not in file.mapping("retention"):
        return
    retention = retention_of(notify)
    if retention.bodies_seconds > retention.events_seconds:
        events = duration_text(retention.events_seconds)
        text = f"the data of an event is deleted with the event, after {events}: set `events` to at least as long"
        yield ("retention", "bodies"), text
    if large_bodies_text := retention_warning(retention, notify):
        yield ("retention", "bodies"), large_bodies_text


def _develop_warnings(config: Configuration, compiled: Mapping[str, JsonObject]) -> Iterator[PlacedWarning]:
    for text in develop.redact_warnings(config.develop, compiled) if config.develop else ():
        yield ("develop", "redact"), text


SHORTEST_SECONDS: Final = {
    "alerts.every": (60, "m"),
    "destinations.*.breaker.max_pause": (10, "m"),
    "destinations.*.breaker.pause": (10, "m"),
    "destinations.*.digest.every": (60, "m"),
    "destinations.*.expires_after": (60, "h"),
    "retention.bodies": (3_600, "d"),
    "retention.dead_letters": (3_600, "d"),
    "retention.events": (3_600, "d"),
    "sources.*.silence.after": (300, "m"),
    "sources.*.tolerance": (10, "m"),
    "subscribers.disable_after": (3_600, "d"),
    "*.deduplicate.window": (60, "m"),
}
"""The settings that are seldom as short as a number without a unit says: from how many seconds on such a number is
plausible, and the unit that was probably meant."""
_LONG_DIGITS: Final = 10
"""A number of so many digits is never too short, and int() rejects one of more than 4,300."""


def _unit_warnings(document: Json) -> Iterator[PlacedWarning]:
    """Yield the durations without a unit that are too short to be meant in seconds."""
    for path, value in values_in(document):
        text = str(value) if isinstance(value, int | str) else ""
        if text.isdecimal() and len(text) < _LONG_DIGITS:
            seconds, dotted = int(text), ".".join(map(str, path))
            for pattern, (least, unit) in SHORTEST_SECONDS.items():
                if fnmatch.fnmatchcase(dotted, pattern) and seconds < least:
                    yield path, f"{value} without a unit is {duration_text(seconds)}; did you mean {value}{unit}?"


# Notes

_MAX_NAMED: Final = 5
_WILD: Final = re.compile(r"[*?\[]")


def configuration_notes(file: ConfigFile) -> list[Fault]:
    """Return what is no reason for a warning: the patterns that match more since the action counts, by line."""
    config = Configuration.model_validate(file.document)
    return sorted({fault_at(file, path, text) for path, text in _action_notes(config)})


def _action_notes(config: Configuration) -> Iterator[PlacedWarning]:
    """Yield each pattern in `types` that matches by the action. In earlier versions, `issues.*` matched nothing."""
    for number, route in enumerate(config.routes):
        for pattern in route.types:
            sources = [source for source in _sources_of(route, config) if not (source.type or source.action)]
            for key in dict.fromkeys(source.provider for source in sources):
                if key is not None and (matched := _matched_with_action(key, pattern)):
                    text = f"{pattern!r} matches {matched} of {load_catalogue()[key].name} by the action"
                    yield ("routes", number, "types"), f"{text}; versions before 2026-12-01 compared the type alone"


def _matched_with_action(provider: str, pattern: str) -> str:
    """Return what the pattern matches only with an action, for a person; empty if nothing."""
    if known := provider_event_types.known_event_types().get(provider):
        types = known.only_with_action(pattern)
        more = len(types) - _MAX_NAMED
        return ", ".join(types[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    if not load_catalogue()[provider].event.action:
        return ""
    type_, _, action = pattern.rpartition(".")
    if type_:
        return f"events with the type {type_!r} and the action {action!r}"
    return "events" if _WILD.search(pattern.rstrip("*")) else ""
