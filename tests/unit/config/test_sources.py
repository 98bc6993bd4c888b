"""Faults and warnings of sources, each with the place and the rule; and sources with a bus."""

import json
import re
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from deploy.aws.prepare import prepare, warnings
from deploy.bundle.requirements import needed_extras
from deploy.cloud_access.gcp_names import Target
from deploy.config.compiler import compile_config, secrets_needed
from deploy.config.config_file import ConfigFaults, ConfigFile, Fault, parse_config
from deploy.config.misleading_values import misleading_values
from deploy.config.sections import kinds
from deploy.config.sections.bus_source import resource_name
from deploy.config.sections.texts import Origin
from deploy.config.warnings import configuration_warnings
from deploy.doctor.buses import buses_on_aws, buses_on_google
from deploy.gcp.deployment import prepare_deployment
from deploy.terminal.command_line import CommandError
from deploy.topology.buses import loop_warnings, own_bus_fault
from functions.subscribe.routes import ROUTES
from functions.transform import step_classes, verifying
from shared.config.values import fault_text
from shared.jsontext import JsonObject, mapping_at
from tests.fakes.configurations import compile_text, faults_of_text, warnings_of_text


def faults(source: str, folder: Path = Path(), before: str = "") -> str:
    return faults_of_text(f"{before}\nsources:\n  a: {{{source}}}\n", folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("auth: none, allow: [10.0.0.1/8]", "allow.0: must be an IP address or a block of addresses"),
        ("auth: none, public_url: 'https://u:p@h.example'", "public_url: must be a URL"),
        ("auth: none, content_types: json", "content_types: must be a content type"),
        ("auth: none, type: here", "type: must be a location: `data.here` is a field of the body"),
        ("auth: none, batch: data.items", "such as data.events.*: write data.items.*"),
        ("auth: none, batch: items.*", "batch: must be a path in data with `*` in the place of the items"),
        ("auth: none, schema: {type: text}", "schema: must be a JSON Schema: type: 'text' is not valid"),
        ("auth: none, schema: {properties: {a: {$ref: 'other.json'}}}", "must refer to a part of this schema"),
        ("auth: none, respond: {status: 404}", "respond: status: must be from 200 to 299"),
        ("auth: none, respond: {headers: {Content-Length: '1'}}", "must not set content-length"),
        ('auth: none, respond: {headers: {X-A: "a\\r\\nb"}}', "without line breaks"),
        ("auth: none, respond: {headers: {X-A: '{{ id }}'}}", "only `body` is a template"),
        ("auth: none, respond: {body: 'x {{ headers.a }}'}", "respond.body: {{ headers.a }} is not part of an event"),
        ("auth: none, form: {origins: 'https://a.example/'}", "form.origins: must be an origin"),
        ("auth: none, form: {origins: 'https://bücher.example'}", "form.origins: must be in ASCII"),
        ("auth: {scheme: link, secret: key}", "needs `methods: [GET]`"),
        ("providr: github, secret: k", "providr: there is no such key; did you mean 'provider'?"),
        ("provider: our_own_shop, secret: k", "`hookchain providers` lists them; any other sender needs `auth`"),
        ("provider: github, secret: GITHUB_SECRET", "got 'GITHUB_SECRET'; did you mean 'github-secret'?"),
        ("auth: bearer", "auth: must be a scheme, such as `{scheme: bearer, secret: NAME}`, or `none`; got 'bearer'"),
        ("auth: none, actor: header.x if data.y", "must be a location: header.NAME, query.NAME or data.path.to.field"),
        ("auth: none, actor: data.x if y", "`data.a if data.b` needs a value at both"),
        ("auth: none, type: item.kind", "type: must be a location: `data.item.kind` is a field of the body"),
        ("auth: none, unpack: header.x", "unpack: must be a path in the body"),
        ("auth: none, form: {origins: 'https://a.example', thanks: /thanks}", "form.thanks: must be the URL of a page"),
        ("auth: none, respond: {status: 303}", "add `headers: {location: URL}`"),
        ("auth: none, respond: {status: 204, body: x}", "must not have a body"),
        ("auth: none, methods: [PUT], form: {origins: 'https://a.example'}", "needs POST in `methods`"),
        ("auth: none, schema: {$schema: 'http://json-schema.org/draft-07/schema#'}", "`$schema` must be"),
    ],
)
def test_a_fault_says_where_and_what(source: str, message: str) -> None:
    assert message in faults(source)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://A.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_compared_as_browsers_send_it(written: str, sent: str) -> None:
    assert TypeAdapter(Origin).validate_python(written) == sent


def test_a_secret_in_place_of_its_name_is_not_repeated() -> None:
    told = faults("provider: stripe, secret: whsec_4eC39HqLyjWDarjt")
    assert "must be the name of a secret" in told
    assert "hookchain secrets set NAME" in told
    assert "4eC39HqLyjWDarjt" not in told


def test_a_file_that_is_no_json_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    assert "is not JSON" in faults("auth: none, schema: a.json", tmp_path)
    assert "is not JSON" in faults("auth: none, schema: {file: a.json}", tmp_path)
    (tmp_path / "b.yaml").write_text("a: [", encoding="utf-8")
    assert "is not YAML" in faults("auth: none, schema: b.yaml", tmp_path)


def test_a_schema_that_cannot_be_checked_for_its_depth_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text('{"allOf": [' * 300 + "{}" + "]}" * 300, encoding="utf-8")
    assert "schema: is nested too deeply to be checked" in faults("auth: none, schema: deep.json", tmp_path)


def test_the_bundles_own_settings_are_checked_too() -> None:
    assert "public_url: must be a URL" in faults("auth: none", before="public_url: ftp://a")
    assert "trusted_proxies" in faults("auth: none", before="trusted_proxies: 11")


def test_a_reference_within_the_schema_is_none_to_elsewhere() -> None:
    schema = {"$id": "https://a.example/s", "$ref": "#/$defs/x", "$defs": {"x": {"$ref": "y"}, "y": {"$id": "y"}}}
    text = f"sources: {{a: {{auth: none, schema: {json.dumps(schema)}}}}}"
    assert compile_text(text)


def test_a_secret_in_a_schema_or_an_answer_is_no_secret_of_ours() -> None:
    text = "sources: {a: {auth: none, schema: {const: {secret: x}}, respond: {body: {secret: y}}}}"
    assert secrets_needed(compile_text(text)) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("auth: none, id: data.id, methods: [GET]", "it accepts GET from anyone"),
        ("auth: {scheme: bearer, secret: k}, id: data.id, allow: 10.0.0.1", "`trusted_proxies: 1`"),
        ("auth: {scheme: bearer, secret: k}", "may be delivered twice"),
        ("auth: {scheme: hmac, header: X-Sig, secret: k}", "two requests with the same signed bytes are one event"),
        ("auth: {scheme: bearer, secret: k}, id: data.id, dedupe: signed", "`dedupe: signed` has no effect"),
        ("provider: github, secret: k", None),
        ("provider: square, secret: k, public_url: 'https://h.example'", "it ends with /a or /a/, unless a proxy"),
        ("provider: square, secret: k, public_url: 'https://h.example/a/'", None),
    ],
)
def test_what_is_seldom_meant_is_a_warning(source: str, message: str | None) -> None:
    rest = "routes: [{name: r, to: d}]\ndestinations: {d: {email: {to: a@b.example}}}\n"
    text = f"sources: {{a: {{{source}}}}}\n{rest}"
    output = "\n".join(warning.rule for warning in warnings_of_text(text))
    assert (message in output) if message else not output


# The words of pydantic

UNFIT: Final[tuple[object, ...]] = (
    *(None, True, 5, -1, 1.5, 10**400, inf, "", "x", "soon", "x" * 20_000, "5" * 5_000, "\ud800", [], [1], [None]),
    *({}, {"x": 1}, {1: 2}, ["x"] * 1_100, {f"k{number}": number for number in range(1_100)}),
)
PYDANTICS: Final = re.compile(
    r"\b(Input|String|Value|List|Dictionary|Data|Tuple|Extra|Keys|Unable|validation|string|dictionary|discriminator"
    r"|iterable|instance of|valid (integer|boolean|number))\b"
)


def our_models(model: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Yield the models that are imported, without those of emulators, which have the words of the cloud."""
    for each in model.__subclasses__():
        is_ours = each.__module__.startswith(("deploy.", "functions.", "shared."))
        if is_ours and not each.__module__.startswith("deploy.dev."):
            yield each
        yield from our_models(each)


def test_the_faults_of_settings_and_of_requests_to_the_api_are_in_our_words() -> None:
    models = {each.takes for each in ROUTES} | {*map(kinds.settings_model, kinds.destination_kinds())}
    models |= {*map(verifying.settings_model, step_classes.step_classes().values()), *our_models()}
    fields = {
        f"{field.annotation} {field.metadata}": (model, name, field.alias or name)
        for model in models
        for name, field in model.model_fields.items()
    }
    texts = set[str]()
    for model, name, alias in fields.values():
        for value in UNFIT:
            try:
                model.model_validate(value if name == "root" else {alias: value})
            except ValidationError as error:
                texts |= {fault_text(each) for each in error.errors() if each["type"] != "value_error"}
    assert len(texts) > 100
    assert not [text for text in texts if PYDANTICS.search(text)]


# A file that is not YAML


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources:\n\tform: 1\n", "2: not YAML: a tab indents this line. Use spaces."),
        ("where: `1` < data.x\n", "1: not YAML: a value cannot begin with '`'. Put the whole value in quotes."),
        ("types: *\n", "1: not YAML: a value cannot begin with '*'. Put the whole value in quotes."),
        ("to: *nobody\n", "1: not YAML: there is no anchor '&nobody'. Put a value that begins with '*' in quotes."),
        ("subject: {{ type }} of {{ source }}\n", "1: not YAML: a value that begins with '{{' must be in quotes."),
        ("name: jobs: failed\n", "1: not YAML: there is a second ': ' here. Put a value"),
        ("a:\n  b: 1\n   c: 2\n", "3: not YAML: this line is indented too far. Indent it like the keys beside it."),
        ("a:\n    b: 1\n  c: 2\n", "3: not YAML: this line is indented like no line above it. Indent it like the keys"),
        ("a:\n  - b\n  c: 1\n", "3: not YAML: this line is in a list, and does not begin with '- '."),
        (
            "to: [crm, chat\nname: all\n",
            "2: not YAML: the '[' of line 1 is not closed before this, or a ',' is missing. Put a value that has one",
        ),
        ('a: "b\nc: 1\n', "3: not YAML: the quotation mark of line 1 is not closed."),
        ("a: 'it's'\n", "1: not YAML: something follows the value. In single quotes, write '' for an apostrophe."),
        ('a: "\\d+"\n', "1: not YAML: in double quotes, a backslash begins an escape. Use single quotes."),
        ("a: - b\n", "1: not YAML: a list must begin on a line of its own, or be written as [a, b]."),
        ("sources\nroutes: []\n", "2: not YAML: the line above has no ':' and a space after its key."),
        ("a: !!bool maybe\n", "1: not YAML: a value does not fit its tag"),
        (f"a: {'9' * 5_000}\n", "1: not YAML: a whole number has too many digits. Put it in quotes"),
        (f"a: 0x{'f' * 5_000}\n", "1: not YAML: a whole number has too many digits. Put it in quotes"),
        (f"a:\n  b: {'[' * 99}1{']' * 99}\n", "2: a.b.0: its values are nested deeper than 100 levels"),
        (f"a:\n  b: {'[' * 700}1{']' * 700}\n", "1: not YAML: its values are nested deeper than 100 levels"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_what_to_do(text: str, message: str) -> None:
    assert faults_of_text(text).startswith(f"hookchain.yaml:{message}")


@pytest.mark.parametrize(("written", "read"), [("01234", "668"), ("12:30", "750"), ("no", "false"), ("On", "true")])
def test_a_value_that_yaml_reads_as_something_else_is_warned_of(written: str, read: str) -> None:
    file = parse_config(f"a: 1\nb: [{{c: {written}}}]\n", "test.yaml", Path())
    rule = f"{written} is read as {read}: put it in quotes, or write {read}"
    assert [*misleading_values(file)] == [Fault(2, "b.0.c", rule)]


def test_a_key_without_a_value_is_warned_of_unless_it_is_part_of_an_event() -> None:
    text = "sources: {a: {allow: }}\ntests: [{body: {a: }}]\ndestinations: {b: {push: {text: null}}}\n"
    rule = "has no value, so it counts as left out: write a value, or take it out"
    assert [*misleading_values(parse_config(text, "test.yaml", Path()))] == [Fault(1, "sources.a.allow", rule)]


@pytest.mark.parametrize("written", ["'01234'", "true", "-5", "1.5", "v1", "~"])
def test_a_value_that_is_read_as_it_looks_is_not_warned_of(written: str) -> None:
    assert not [*misleading_values(parse_config(f"a: {written}\n", "test.yaml", Path()))]


@given(st.text(alphabet="a:-[]{}'\"`*&!\n\t #,|>%@\\", max_size=40))
def test_whatever_is_written_is_read_or_reported(text: str) -> None:
    try:
        parse_config(text, "test.yaml", Path())
    except ConfigFaults as faults:
        assert str(faults).startswith("test.yaml:")


QUEUE: Final = "arn:aws:sqs:eu-central-1:123456789012:jobs"
MAIL = "email: {to: a@example.com}"


def file_text(source: str, destination: str = MAIL) -> str:
    return f"""
sources: {{uploads: {source}}}
routes: [{{name: all, from: all, to: there}}]
destinations: {{there: {{{destination}}}}}
"""


def file_of(source: str, destination: str = MAIL) -> ConfigFile:
    return parse_config(file_text(source, destination), "test.yaml", Path())


def compiled(source: str, destination: str = MAIL) -> dict[str, JsonObject]:
    return compile_config(file_of(source, destination))


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("{bus: {}}", "must name one of"),
        ("{bus: {pubsub: a/b}}", "a topic's name"),
        ("{bus: {bucket: 'gs://files'}}", "without gs://"),
        ("{bus: {pubsub: orders, prefix: in/}}", "prefix: has an effect with `bucket` only"),
        ("{bus: {sqs: jobs}}", "a queue's ARN"),
        ("{bus: {eventbridge: {source: com.example}}}", "must be a list of values"),
        ("{bus: {pubsub: orders}, auth: none}", "`auth` is for requests"),
    ],
)
def test_a_bus_that_cannot_work_is_a_fault(source: str, rule: str) -> None:
    with pytest.raises(ConfigFaults, match=rule):
        compiled(source)


def test_no_scheme_of_auth_lets_a_request_in_even_with_a_public_url() -> None:
    text = "public_url: https://hooks.example.com\nsources: {uploads: {bus: {pubsub: orders}}}"
    source = mapping_at(compile_text(text)["receive"], "sources", "uploads")
    assert source["auth"] == []
    assert "public_url" not in source


def test_names_of_sources_that_no_resource_can_have_stay_different() -> None:
    names = ["a_b", "a-b", "A-b", "a" * 63, "a" * 62 + "b", "x_" * 31]
    made = [resource_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(len(each) <= 44 and each.startswith("bus-") and each == each.lower() for each in made)


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ("{bus: {pubsub: orders}}", "on AWS, this source gets none"),
        (f"{{bus: {{sqs: '{QUEUE}'}}}}", "on Google Cloud, this source gets none"),
        ("{bus: {bucket: files, events: [finalize, archive]}}", "S3 has no event for archive"),
        ("{bus: {bucket: files}}", ""),
    ],
)
def test_lint_says_which_cloud_brings_no_messages(source: str, warning: str) -> None:
    file = file_of(source)
    rules = [each.rule for each in configuration_warnings(file, compile_config(file))]
    assert len(rules) == bool(warning)
    assert all(warning in rule for rule in rules)


def test_only_receive_that_verifies_pushes_needs_cryptography() -> None:
    assert needed_extras("receive", compiled("{bus: {bucket: files}}")["receive"]) == ("crypto",)
    assert needed_extras("receive", compiled(f"{{bus: {{sqs: '{QUEUE}'}}}}")["receive"]) == ()


@pytest.mark.parametrize(
    ("source", "destination", "on_google", "on_aws"),
    [
        ("{auth: none}", MAIL, None, None),
        ("{bus: {pubsub: orders}}", MAIL, "grants all rights", "gets no messages on AWS"),
        ("{bus: {pubsub: projects/my-project-2/topics/orders}}", MAIL, "in another project", "gets no messages on AWS"),
        ("{bus: {pubsub: projects/my-project/topics/orders}}", MAIL, "grants all rights", "gets no messages on AWS"),
        (f"{{bus: {{sqs: '{QUEUE}'}}}}", MAIL, "gets no messages on Google", "grants all rights"),
        (
            "{auth: none}",
            "bus: {pubsub: projects/other-one/topics/out}",
            "in another project",
            "have no Google account",
        ),
        ("{auth: none}", f"bus: {{sqs: '{QUEUE}'}}", "have no AWS role", "grants all rights"),
        ("{bus: {bucket: files}}", MAIL, "grants all rights", "EventBridge is on"),
    ],
)
def test_doctor_says_what_has_no_effect_and_which_rights_are_anothers_to_give(
    source: str, destination: str, on_google: str | None, on_aws: str | None
) -> None:
    slices = compiled(source, destination)
    for found, text in ((buses_on_google(slices, "my-project"), on_google), (buses_on_aws(slices), on_aws)):
        assert (found is None) == (text is None)
        assert found is None or text is None or text in found.found


@pytest.mark.parametrize(
    ("source", "key", "is_loop"),
    [
        ("{bus: {bucket: files, prefix: in/}}", ", key: 'in/{{ id }}'", True),
        ("{bus: {bucket: files, prefix: in/}}", "", True),
        ("{bus: {bucket: files, prefix: in/}}", ", key: 'out/{{ id }}'", False),
        ("{bus: {bucket: others}}", "", False),
    ],
)
def test_lint_and_a_deployment_to_aws_warn_of_a_source_whose_events_become_objects_in_its_own_bucket(
    source: str, key: str, is_loop: bool
) -> None:
    file = file_of(source, f"object: {{bucket: gs://files{key}}}")
    slices = compile_config(file)
    assert [each.where for each in loop_warnings(file, slices)] == ["source 'uploads'"] * is_loop
    assert [each.partition(":")[0] for each in warnings(slices)] == ["source 'uploads'"] * is_loop


@pytest.mark.parametrize(
    ("bus", "is_own"),
    [
        ("{pubsub: hookchain-events}", True),
        ("{pubsub: projects/other-one/topics/hookchain-events}", False),
        ("{sqs: 'arn:aws:sqs:eu-central-1:123456789012:hookchain-deliveries'}", True),
        (f"{{sqs: '{QUEUE}'}}", False),
    ],
)
def test_no_deployment_takes_the_messages_of_its_own_topics_as_a_source(bus: str, is_own: bool, tmp_path: Path) -> None:
    config = tmp_path / "hookchain.yaml"
    config.write_text(file_text(f"{{bus: {bus}}}"), encoding="utf-8")
    receive = compile_config(file_of(f"{{bus: {bus}}}"))["receive"]
    assert bool(own_bus_fault(receive, "hookchain-", "my-project")) is is_own
    if is_own:
        with pytest.raises(CommandError, match="must not name hookchain-"):
            prepare_deployment(Target("my-project"), "1", config, {}, tmp_path)
        if "sqs" in bus:
            with pytest.raises(CommandError, match="must not name hookchain-"):
                prepare(config, {}, "hookchain-", tmp_path)
