"""The warnings about a configuration: what it may say, and what is seldom intended."""

from collections.abc import Iterator, Mapping

from deploy.config.blob_retention import retention_warning
from deploy.config.checks.comparison_warnings import comparison_rules
from deploy.config.checks.route_warnings import number_warnings, route_warnings
from deploy.config.checks.schema_warnings import schema_warnings
from deploy.config.checks.source_warnings import source_warnings
from deploy.config.checks.subscribers import subscribers_warnings
from deploy.config.compiling.alerts import alert_destinations
from deploy.config.compiling.subscribers import subscribers_destinations
from deploy.config.config_file import ConfigFile, misleading_values
from deploy.config.faults import Fault
from deploy.config.models.configuration import Configuration
from shared.jsontext import JsonObject
from shared.retention import retention_of


def configuration_warnings(file: ConfigFile, slices: Mapping[str, JsonObject]) -> list[Fault]:
    """Return the warnings that the file and its slices alone give, by line."""
    receive, transform = slices["receive"], slices["transform"]
    found = {*misleading_values(file), *_source_warnings(file), *_unused_names(file), *route_warnings(file, transform)}
    found |= {*number_warnings(file, receive, transform), *schema_warnings(file, receive, transform)}
    found |= {*_success_warnings(file)}
    return sorted({*found, *subscribers_warnings(file), *_retention_warnings(file, slices["notify"])})


def _retention_warnings(file: ConfigFile, notify: JsonObject) -> Iterator[Fault]:
    """Yield a warning where `bodies` is set, and does not decide how long a large body is kept."""
    written = file.document.get("retention") if isinstance(file.document, dict) else None
    if isinstance(written, dict) and "bodies" in written and (rule := retention_warning(retention_of(notify), notify)):
        yield Fault(file.line(("retention", "bodies")), "retention.bodies", rule)


def _success_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield the comparisons in `success_when` that the response's status can never meet."""
    config = Configuration.model_validate(file.document)
    for name, destination in config.destinations.items():
        for rule in comparison_rules(destination.success_when, ("status",)) if destination.success_when else ():
            place = ("destinations", name, "success_when")
            yield Fault(file.line(place), f"destination {name!r}", f"`success_when` {rule}")


def _source_warnings(file: ConfigFile) -> Iterator[Fault]:
    config = Configuration.model_validate(file.document)
    for name, source in config.sources.items():
        for rule in source_warnings(name, source, config):
            yield Fault(file.line(("sources", name)), f"source {name!r}", rule)


def _unused_names(file: ConfigFile) -> Iterator[Fault]:
    """Yield the sources and destinations that no route uses."""
    config = Configuration.model_validate(file.document)
    for name in config.sources:
        if not any(name in route.from_ or "all" in route.from_ for route in config.routes):
            rule = "no route matches its events: they are stored and not delivered"
            yield Fault(file.line(("sources", name)), f"source {name!r}", rule)
    used = {name for route in config.routes for name in route.to}
    used |= {each.otherwise for each in config.destinations.values() if each.otherwise is not None}
    used |= {*alert_destinations(config.alerts, config.sources, config.destinations)}
    used |= {*subscribers_destinations(config.subscribers)}
    for name in config.destinations:
        if name not in used:
            yield Fault(file.line(("destinations", name)), f"destination {name!r}", "no route leads to it")
