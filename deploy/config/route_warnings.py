"""Warnings about routes, chains and lists: what is allowed, but seldom meant. The configuration has no faults."""

import fnmatch
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from deploy.config.config_file import ConfigFile, Fault, mapping_at, mappings_at, texts_in
from deploy.config.configuration import Configuration
from deploy.config.sections.route import RouteConfig
from functions.transform.comparisons import compared_paths
from functions.transform.program import Program, read_program
from functions.transform.routes import Route
from functions.transform.step import NamedStep, Step
from functions.transform.steps.compose import Map
from functions.transform.steps.decide import Filter, Stop, Switch
from functions.transform.steps.lint import Lint
from functions.transform.steps.values import Cast, Default, Set
from shared.casting import CASTS
from shared.did_you_mean import nearest
from shared.expressions import Expression, is_true
from shared.jsontext import Json, JsonObject, to_json

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode


_WILD: Final = re.compile(r"[*?\[]")
_PATH: Final = re.compile(r"\{\{\s*(.+?)\s*\}\}|(data(?:\.[\w-]+|\[\w*\*?\])+)")
"""A text that looks like a template or a path, where a step takes values as they are."""
_NUMBERS_OF_EVENT: Final = ("hops",)
_UNTYPED: Final = ("xml", "form", "multipart", "csv")


def route_warnings(file: ConfigFile, transform: JsonObject) -> Iterator[Fault]:
    """Yield the warnings. `transform` is the compiled slice."""
    config = Configuration.model_validate(file.document)
    program = read_program(transform)
    for number, route in enumerate(config.routes):
        for rule in (*_route_rules(route, config, number), *_step_rules(program.routes[number].chain.steps)):
            yield Fault(file.line(("routes", number)), f"route {route.name!r}", rule)
    used = _used_chains(program)
    for name, steps in program.chains.items():
        if name not in used:
            rule = "no route and no step uses it; only POST /chains/ on transform can"
            yield Fault(file.line(("chains", name)), f"chain {name!r}", rule)
        for rule in _step_rules(steps):
            yield Fault(file.line(("chains", name)), f"chain {name!r}", rule)
    yield from _unused_lists(file, config)


def _route_rules(route: RouteConfig, config: Configuration, number: int) -> Iterator[str]:
    if not route.enabled:
        yield "is disabled (`enabled: false`)"
        return
    others = [each for each in config.routes if each is not route and each.enabled]
    if route.else_:
        takers = [each for each in others if not each.else_ and each.where in (None, route.where)]
        if covering := _covering(route, takers, set(config.sources)):
            names = " and ".join(repr(name) for name in covering)
            yield f"can never match: {names} match{'' if len(covering) > 1 else 'es'} every event that it could"
    for rule in comparison_rules(route.where, _NUMBERS_OF_EVENT) if route.where is not None else ():
        yield f"`where` {rule}"
    if route.where is not None and _is_never(Expression(route.where)):
        yield f"can never match: `where: {route.where}` is always false"
    for glob in route.types or ():
        if "," in glob or " " in glob.strip():
            parts = ", ".join(each for each in re.split(r"[,\s]+", glob) if each)
            yield f"`types` has {glob!r}, which is one type with a comma or a space in it: write a list, [{parts}]"
    twins = [each for each in config.routes[:number] if each.enabled and _same(each, route)]
    if twins:
        yield f"sends the same events to the same destinations as {twins[0].name!r}: each is delivered twice"


def number_warnings(file: ConfigFile, receive: JsonObject, transform: JsonObject) -> Iterator[Fault]:
    """Yield each comparison with a number of a value that XML, forms or CSV carry as text: it is always false."""
    config = Configuration.model_validate(file.document)
    sources = mappings_at(receive, "sources")
    for number, route in enumerate(read_program(transform).routes):
        names = sorted(sources if route.sources is None else route.sources)
        untyped = {name: mapping_at(settings, "cast") for name in names if _carries_text(settings := sources[name])}
        for path in dict.fromkeys(_compared_with_numbers(route)):
            lacking = [name for name, cast in untyped.items() if path not in cast]
            if lacking:
                rule = (
                    f"compares {path} with a number, but source {lacking[0]!r} can get XML, forms or CSV, where every "
                    f"value is text: write to_number({path}), or `cast: {{{path}: number}}` on the source"
                )
                yield Fault(file.line(("routes", number)), f"route {config.routes[number].name!r}", rule)


def _compared_with_numbers(route: Route) -> Iterator[str]:
    if route.where is not None:
        yield from compared_paths(route.where)
    for named in route.chain.steps:
        if isinstance(named.step, Cast):
            return
        if isinstance(named.step, Filter):
            yield from compared_paths(Expression(named.step.keep))


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


def _covering(route: RouteConfig, takers: list[RouteConfig], known: set[str]) -> list[str]:
    """Return the names of routes that together surely match every event that the route could; none otherwise."""
    names: dict[str, None] = {}
    for source in sorted(known if "all" in route.from_ else set(route.from_)):
        for glob in route.types or ["*"]:
            taker = next((each for each in takers if _takes_all(each, source, glob)), None)
            if taker is None:
                return []
            names[taker.name] = None
    return list(names)


def _takes_all(taker: RouteConfig, source: str, glob: str) -> bool:
    from_it = source in taker.from_ or "all" in taker.from_
    return from_it and any(_is_within(glob, each) for each in taker.types or ["*"])


def _is_within(inner: str, outer: str) -> bool:
    """Return whether the outer pattern surely matches every type that the inner one matches."""
    if outer.endswith("*") and not _WILD.search(outer[:-1]):
        return inner.startswith(outer[:-1])
    return inner == outer or (not _WILD.search(inner) and fnmatch.fnmatchcase(inner, outer))


def _is_never(condition: Expression) -> bool:
    return condition.is_constant and not is_true(condition.search(None))


def _same(one: RouteConfig, other: RouteConfig) -> bool:
    own = {"name", "on_error"}
    return one.model_dump(exclude=own) == other.model_dump(exclude=own)


def _step_rules(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    yield from _dead_ends(steps)
    for named in steps:
        for condition in _conditions(named.step):
            for rule in comparison_rules(condition, _NUMBERS_OF_EVENT):
                yield f"step {named.number} {named.name!r} {rule}"
        values = named.step.whole if isinstance(named.step, Set | Default) else {}
        for path, value in values.items():
            if isinstance(value, str) and (found := _PATH.fullmatch(value)):
                rule = f"step {named.number} {named.name!r} sets {path} to the text {value!r} itself"
                yield f"{rule}: to copy the value, write {{from: {found[1] or found[2]}}}"


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


def _dead_ends(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    for named in steps[:-1]:
        step = named.step
        stops = isinstance(step, Stop) and step.when is None
        ends = stops or (isinstance(step, Filter) and _is_never(Expression(step.keep)))
        leads = isinstance(step, Switch) and any(case.get("when") is None for case in step.whole)
        if ends or leads:
            yield f"step {named.number} {named.name!r} always ends the chain: no event reaches the steps after it"


def _used_chains(program: Program) -> set[str]:
    reached = [named for route in program.routes for named in route.chain.reachable_steps()]
    return {name for named in reached for name in named.step.chains()}


def _unused_lists(file: ConfigFile, config: Configuration) -> Iterator[Fault]:
    named = set(texts_in([dict(destination.kinds) for destination in config.destinations.values()]))
    for name in config.lists:
        if name not in named:
            yield Fault(file.line(("lists", name)), f"list {name!r}", "no destination uses it")


_ORDERING: Final = frozenset({"lt", "lte", "gt", "gte"})
_EQUALITY: Final = frozenset({"eq", "ne"})
_FUNCTIONS_TO_NUMBERS: Final = frozenset({"abs", "avg", "ceil", "floor", "length", "sum", "to_number"})


def comparison_rules(condition: str, numbers: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the condition's comparisons. `numbers` are the fields at its top that are numbers.

    JMESPath orders numbers only. Our library also orders two texts, character by character, which is right for dates.
    """
    for operator, one, other in _comparisons(Expression(condition).tree):
        if other["type"] != "literal":
            continue
        literal = other["value"]
        if operator in _ORDERING and isinstance(literal, str):
            if _reads_as_number(literal):
                yield (
                    f"compares with the text {literal!r}, but a number is never less than, equal to or more than a "
                    f"text, and texts compare character by character. Write `{literal}` in backticks, and "
                    "to_number(…) around a value that is sent as text"
                )
            elif not literal[:1].isdigit():  # dates, times and versions begin with a digit
                yield (
                    f"compares with the text {literal!r} character by character, and a number is never less or more "
                    "than a text. Write a number in backticks, or use `==` or `!=`"
                )
        elif operator in _ORDERING and not _is_number(literal):
            yield f"compares the order of values with `{to_json(literal)}`, which is no number: this is never true"
        elif (
            operator in _EQUALITY
            and isinstance(literal, str)
            and _reads_as_number(literal)
            and _makes_number(one, numbers)
        ):
            yield f"compares a number with the text {literal!r}: they are never equal. Write `{literal}` in backticks"


def _comparisons(node: "_TreeNode") -> "Iterator[tuple[str, _TreeNode, _TreeNode]]":
    """Yield the operator and the two sides of each comparison, in both orders."""
    if node["type"] == "comparator":
        left, right = node["children"]
        yield str(node["value"]), left, right
        yield str(node["value"]), right, left
    if node["type"] != "slice":  # its children are its numbers
        for child in node["children"]:
            yield from _comparisons(child)


def _makes_number(node: "_TreeNode", numbers: Collection[str]) -> bool:
    match node["type"]:
        case "literal":
            return _is_number(node["value"])
        case "function_expression":
            return node["value"] in _FUNCTIONS_TO_NUMBERS
    return node["type"] == "field" and node["value"] in numbers


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reads_as_number(text: str) -> bool:
    try:
        CASTS["number"](text)
    except ValueError:
        return False
    return True


_VOCABULARIES: Final = "https://json-schema.org/draft/2020-12/"


def schema_warnings(file: ConfigFile, receive: JsonObject, transform: JsonObject) -> Iterator[Fault]:
    """Yield the warnings. `receive` and `transform` are the compiled slices."""
    for name, source in mappings_at(receive, "sources").items():
        for rule in _misspelled_keywords(source.get("schema")):
            yield Fault(file.line(("sources", name)), f"source {name!r}", rule)
    program = read_program(transform)
    for number, route in enumerate(program.routes):
        for rule in _schema_step_rules(route.chain.steps):
            yield Fault(file.line(("routes", number)), f"route {route.name!r}", rule)
    for name, steps in program.chains.items():
        for rule in _schema_step_rules(steps):
            yield Fault(file.line(("chains", name)), f"chain {name!r}", rule)


def _schema_step_rules(steps: tuple[NamedStep, ...]) -> Iterator[str]:
    for named in steps:
        if isinstance(named.step, Lint):
            yield from (
                f"step {named.number} {named.name!r}: {rule}"
                for rule in _misspelled_keywords(named.step.schema_document)
            )


def _misspelled_keywords(schema: Json) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    from referencing.jsonschema import DRAFT202012

    known = _keywords()
    waiting = [DRAFT202012.create_resource(schema)]
    for resource in waiting:  # which grows
        waiting.extend(resource.subresources())
        for key in resource.contents if isinstance(resource.contents, dict) else ():
            if key not in known and (near := nearest(key, known)):
                yield f"the schema's {key!r} is not a keyword and has no effect; did you mean {near!r}?"


def _keywords() -> frozenset[str]:
    """Return the keywords that the specification's own schemas describe."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # it has no stubs

    described: list[Json] = [REGISTRY.contents(uri) for uri in REGISTRY if uri.startswith(_VOCABULARIES)]
    properties = [schema["properties"] for schema in described if isinstance(schema, dict)]
    return frozenset(name for each in properties if isinstance(each, dict) for name in each)
