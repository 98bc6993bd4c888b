"""The parts of a deployment to AWS: the functions' bundles, and the template beside them, within AWS's limits."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.aws.resources.policies import ROLE_CHARACTERS, characters
from deploy.aws.resources.queues import brings_on_aws
from deploy.aws.stack_changes import earlier_code
from deploy.aws.template import parameter_defaults, read_template, template
from deploy.bundle.bundle import contents, digest_of_files, write
from deploy.config.checkout import ROOT
from deploy.config.compiler import compile_file
from deploy.config.mail_settings import mail_settings_fault, mail_settings_warnings, recipients_as_senders
from deploy.config.platform_parts import google_only, local_only
from deploy.requests.sources import compiled_sources
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import count_of
from deploy.topology.buses import fed_buckets, own_bus_fault, silent_sources
from deploy.topology.limits import Measured, require_limits
from deploy.topology.topology import MIB, Topology, find_topology
from shared.jsontext import JsonObject, mapping_at, value_at

CLOUDFORMATION: Final = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
EVENTBRIDGE: Final = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"
IAM: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
LAMBDA: Final = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
TEMPLATE_BYTES: Final = 1_000_000
"""The text of a template."""
RESOURCES: Final = 500
"""The resources of a stack."""
ENVIRONMENT_BYTES: Final = 4_096
"""The variables of a function, with their names."""
OWN_VARIABLES_BYTES: Final = 1_024
"""The prefix, the bucket and the URLs of at most three queues, with their names."""
MANAGED_CHARACTERS: Final = 6_144
"""A managed policy of IAM, without white space."""
RULES_A_BUS: Final = 300
"""The rules of an event bus of EventBridge. AWS raises this limit on request."""
FEWER: Final = "Use fewer sources and destinations, let several use the same secret, or make two deployments"
_MADE_BY_SAM: Final = {"FunctionUrlConfig": 3, "EventInvokeConfig": 1}
"""The resources that SAM adds for a property of a function: of a URL, it and two permissions."""
_MADE_OF_EVENTS: Final = {"SQS": 1, "ScheduleV2": 2}
"""The resources that SAM makes of an event of a function: of a schedule, it and a role."""

PLATFORM: Final = "aws"

TEMPLATE: Final = "template.yaml"

DIGEST_DIGITS: Final = 16
"""The digits of a bundle's digest in the template, which are enough to tell two bundles apart."""

REQUEST_BYTES: Final = 6 * MIB
"""The largest request to a Function URL. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A deployment that is ready for AWS: its bundles are written, and its template is made.

    bundle_digests  the digest of each function's bundle, by function
    template        the text of the template, which `write_template` writes to `path`
    defaults        the values of the template's parameters, by name
    warnings        what the configuration allows and AWS does not do as meant, and the limits that AWS has to raise
    folder          the folder with a bundle for each function, and the template beside them
    """

    slices: Mapping[str, JsonObject]
    topology: Topology
    bundle_digests: Mapping[str, str]
    template: str
    defaults: Mapping[str, str]
    warnings: tuple[str, ...]
    folder: Path

    @property
    def summary(self) -> str:
        """Return the number of the template's resources by kind, the most frequent first."""
        resources = mapping_at(read_template(self.template), "Resources").values()
        types = [str(mapping_at(each)["Type"]).rpartition("::")[2] for each in resources]
        kinds = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", each).lower() for each in types]
        return ", ".join(count_of(number, kind, _plural(kind)) for kind, number in Counter(kinds).most_common())

    def after(self, deployed: JsonObject) -> "Prepared":
        """Return the deployment whose template notes the code that it replaces: that of the template `deployed`."""
        noted = earlier_code(deployed, self.bundle_digests)
        return replace(self, template=template(self.topology, self.bundle_digests, self.defaults["Prefix"], noted))

    @property
    def path(self) -> Path:
        return self.folder / TEMPLATE

    def write_template(self) -> str | None:
        """Write the template, and return the previous template, if there was one."""
        last = self.path.read_text(encoding="utf-8") if self.path.is_file() else None
        self.path.write_text(self.template, encoding="utf-8")
        return last


def prepare(config: Path | None, environ: Mapping[str, str], prefix: str, folder: Path) -> Prepared:
    """Compile the configuration, write the bundles into the folder, and make the template.

    Raises ConfigFaults, PinsFault, NotABundle and CommandError. The bundles are written even if the deployment is over
    a limit of AWS, because only the template shows that.
    """
    if fault := mail_settings_fault(environ):
        raise CommandError(fault)
    slices = compile_file(config, environ)
    if fault := own_bus_fault(slices["receive"], prefix):
        raise CommandError(fault)
    folder = Path(os.path.relpath(folder))  # messages name files as seen from the working directory
    digests: dict[str, str] = {}
    for function, compiled in slices.items():
        files = contents(ROOT, function, compiled, PLATFORM)
        write(folder / function, files)
        digests[function] = digest_of_files(files)[:DIGEST_DIGITS]
    topology = find_topology(slices, environ)
    text = template(topology, digests, prefix)
    mail_warnings = (*mail_settings_warnings(environ), *recipients_as_senders(slices["notify"], environ))
    limit_warnings = require_limits(measured(text, topology))
    return Prepared(
        slices=slices,
        topology=topology,
        bundle_digests=digests,
        template=text,
        defaults=parameter_defaults(topology, prefix),
        warnings=(*warnings(slices), *mail_warnings, *limit_warnings),
        folder=folder,
    )


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("s") else f"{word}s"


def warnings(slices: Mapping[str, JsonObject]) -> Iterator[str]:
    """Yield what the configuration allows and AWS does not do as meant."""
    unusable = (*local_only(slices), *google_only(slices["notify"]))
    yield from (f"{where}: {rule}" for _, where, rule in unusable)
    yield from _large_body_warnings(slices["receive"])
    yield from silent_sources(slices["receive"], brings_on_aws, "AWS")
    for source, destination in fed_buckets(slices["receive"], slices["notify"]):
        rule = f"{destination!r} writes into its bucket, and S3 reports no hops"
        yield f"source {source!r}: {rule}: a route from one to the other is a loop without an end"


def _large_body_warnings(receive: JsonObject) -> Iterator[str]:
    """Yield a warning for each source that takes larger bodies than a Function URL does."""
    for name, source in compiled_sources(receive).items():
        most = value_at(source, "max_body_bytes")
        if isinstance(most, int) and most > REQUEST_BYTES:
            limit = f"a Function URL takes requests of at most {REQUEST_BYTES:,} bytes, binary ones as base64"
            yield f"source {name!r}: max_body_bytes is {most:,}, but {limit}"


def measured(text: str, topology: Topology) -> Iterator[Measured]:
    """Yield what AWS limits in a topology's template.

    The lengths of names are left out: the rules for a prefix and for a source keep them short enough.
    """
    entries = {name: mapping_at(each) for name, each in mapping_at(read_template(text), "Resources").items()}
    yield Measured("the template", "bytes", len(text.encode()), TEMPLATE_BYTES, CLOUDFORMATION, FEWER)
    yield Measured("the stack", "resources", sum(map(_resources, entries.values())), RESOURCES, CLOUDFORMATION, FEWER)
    sizes: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    for name, entry in entries.items():
        properties = mapping_at(entry, "Properties")
        match entry["Type"]:
            case "AWS::IAM::Role":
                own = characters(properties["Policies"])
                yield Measured(f"the policy of {name}", "characters", own, ROLE_CHARACTERS, IAM, FEWER)
            case "AWS::IAM::ManagedPolicy":
                function = name.rpartition("Policy")[0]
                sizes[function] = max(sizes[function], characters(properties["PolicyDocument"]))
            case "AWS::Events::Rule":
                rules[f"the event bus {properties.get('EventBusName', 'default')}"] += 1
    for function, size in sizes.items():
        yield Measured(f"a policy of {function}Role", "characters", size, MANAGED_CHARACTERS, IAM, FEWER)
    for bus, count in rules.items():
        yield Measured(bus, "rules", count, RULES_A_BUS, EVENTBRIDGE, FEWER, can_grow=True)
    for needed in topology.functions:
        size = OWN_VARIABLES_BYTES + sum(len(f"{name}{value}".encode()) for name, value in needed.variables.items())
        yield Measured(f"the environment of {needed.name}", "bytes", size, ENVIRONMENT_BYTES, LAMBDA, "Shorten it")


def _resources(entry: JsonObject) -> int:
    """Return the resources that an entry of the template becomes once SAM has translated it."""
    properties = mapping_at(entry, "Properties")
    events = [str(mapping_at(each)["Type"]) for each in mapping_at(properties, "Events").values()]
    made = sum(count for name, count in _MADE_BY_SAM.items() if name in properties)
    return 1 + made + sum(_MADE_OF_EVENTS[each] for each in events)
