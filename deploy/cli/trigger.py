"""`hookchain trigger PROVIDER [EVENT]`: send a provider's signed sample, and print the result.

Find the source, take a sample, sign it as the provider does (or break it on purpose), send it, and print the response
with what the journal of a running `hookchain dev` has about it.
"""

import argparse
import base64
import datetime
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from deploy.cli import look_up, send
from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, run_command
from deploy.client.hookchain.http import NoResponse, Response
from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.config import compiler, dotenv
from deploy.config.checkout import env_file
from deploy.config.configured import Configured, add_configuration, configured, environ_of
from deploy.config.running_dev import start_command
from deploy.config.sections import catalogue_pages
from deploy.config.sections.catalogue import Handshake, ProviderEntry, load_catalogue
from deploy.config.sections.source import SourceConfig, provider_part
from deploy.history import journal_view, local_requests
from deploy.history.local import local_ports, open_local_state, running_ports
from deploy.history.state import State, StateFault
from deploy.platforms.choice import add_state
from deploy.requests import posting, send_options, signing
from deploy.requests.samples import Fresh, Sample, handshake_sample, load_sample, sample_names
from deploy.requests.sources import compiled_sources, provider_key
from deploy.secrets.backend import DotenvBackend
from deploy.terminal.output import count_of, printable
from functions.receive.admission import requested_url
from functions.receive.source import Source, read_sources
from shared import errors, ledger, outcomes, times
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, to_json, value_at
from shared.secrets import variable_name
from shared.settings import read_settings
from shared.signatures import auth_scheme, content_signing, locations, signature_scheme

TIMEOUT_SECONDS: Final = 10.0
IGNORED: Final = {
    "--list": ("--to", "--source", "--break", "--variant", "--make-key"),
    "--make-key": ("--to", "--break", "--variant", "--json"),
}
"""By option: the options that have no effect beside it."""
WRONG_KEY: Final = b"not the secret, so no use"
"""The key that signs a request with `--break signature`."""
WAIT_SECONDS: Final = 5.0
"""The longest time that the command waits for the result of the sample, on this machine."""
MAX_EVENTS: Final = 10
_POLL_SECONDS: Final = 0.1
_SETTLED: Final[frozenset[outcomes.EventStatus]] = frozenset(
    {"no_route", "filtered", "duplicate", "delivered", "merged", "dead_lettered", "waiting", "retry_scheduled", "held"}
)
_WHY: Final = ". Why: "


@dataclass(frozen=True, slots=True)
class TriggerTarget:
    """The source that a sample is sent to. `settings` are its compiled ones; `source` is how receive reads them."""

    provider: str
    entry: ProviderEntry
    source: Source
    settings: JsonObject
    url: str
    is_configured: bool

    def signed_url(self, request: Request) -> str:
        """Return the URL as receive reconstructs it."""
        return requested_url(request, self.source)


class CannotSign(Exception):
    """An error: only the provider can sign the request. Its text has the reason."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys to sign with: secrets in `environ`, and generated private keys in the folder `state`."""

    environ: Mapping[str, str]
    state: Path

    def key(self, auth: auth_scheme.AuthScheme) -> str:
        """Return the key of a scheme. Raises ValueError if it is missing, CannotSign if only the provider has it."""
        if auth.needs_key:
            raise CannotSign("its key belongs to the provider and is fetched from there")
        if not auth.secret:
            return ""
        if signing.is_asymmetric(auth):
            key = signing.read_private_key(self.state, auth.secret)
            if key is None:
                whose = "only the provider has the private key"
                raise CannotSign(f"the secret {auth.secret!r} is a public key, and {whose}")
            return key
        return send_options.read_secret(auth.secret, self.environ)


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event that was sent at `at` (Unix seconds). `event_id` is None if the reply has no id."""

    source: str
    at: float
    event_id: str | None = None


def main(arguments: list[str]) -> int:
    command = parser("trigger")
    add = command.add_argument
    add(
        "provider",
        metavar="PROVIDER",
        help="name the provider, such as github (see `hookchain providers`), or a source",
    )
    add("event", metavar="EVENT", nargs="?", help="name a sample or a handshake (see --list) [the first]")
    add("--to", metavar="URL", help="send to this URL [the source's own on this machine]")
    add("--source", metavar="NAME", help="send as this source of the configuration")
    add("--break", dest="what", choices=signing.BREAKS, help="make this part wrong, to see the request rejected")
    add("--variant", metavar="NAME", help="sign with this variant of the source's auth [the first]")
    add("--list", action="store_true", help="list the provider's samples and handshakes")
    add("--make-key", action="store_true", help="generate a key pair to sign with in the provider's place")
    add("--json", action="store_true", help="print one JSON object: ok, status, event_id, code, message; or the list")
    add_configuration(command, creates_env_file=True)
    add_state(command)
    command.reject_ignored(arguments, IGNORED)
    options = command.parse_args(arguments)
    if options.env_file != env_file() and not options.make_key and not options.env_file.exists():
        command.error(f"argument --env-file: must be a file that exists; got {str(options.env_file)!r}")
    if options.event and (options.list or options.make_key):
        command.error("argument EVENT: has no effect with --list or --make-key")
    return run_command("trigger", lambda: _run(options), ValueError, error_code=USAGE)


def _run(options: argparse.Namespace) -> int:
    """Run the command. Raises ValueError, OSError, HookchainError, and the faults of a configuration."""
    provider = _read_provider(options)
    if options.list:
        _print_list(provider, as_json=options.json)
        return DONE
    try:
        return _send(provider, options)
    except CannotSign as reason:
        print(_cannot_sign_text(provider, reason), file=sys.stderr)
        return NOT_DONE


def _read_provider(options: argparse.Namespace) -> str:
    """Return the provider's key. If PROVIDER names a source, set that option to the source. Raises ValueError."""
    catalogue = load_catalogue()
    key = look_up.key_of(options.provider)
    if key in catalogue:
        return key
    found = configured(options)
    if provider := provider_key(found, options.provider):
        options.source = options.provider
        return provider
    if options.provider in compiled_sources(found.slices["receive"]):
        raise ValueError(_unsampled_text(options.provider, options.state, environ_of(options)))
    raise ValueError(f"there is no provider {options.provider!r}{did_you_mean(key, catalogue)}")


def _print_list(provider: str, *, as_json: bool) -> None:
    samples = sample_names(provider)
    handshakes: list[Json] = [handshake.name for handshake in load_catalogue()[provider].handshakes]
    if as_json:
        print(to_json({"provider": provider, "samples": [*samples], "handshakes": handshakes}))
    else:
        print("\n".join([*samples, *(f"{name}  (handshake)" for name in handshakes)]))


def _send(provider: str, options: argparse.Namespace) -> int:
    """Send the sample, or make the key to sign it with. Raises CannotSign and what _run does."""
    environ = environ_of(options)
    target = trigger_target(provider, options, environ)
    if not target.is_configured and options.to is None:
        raise ValueError(missing_source_text(provider, target.entry))
    keys = Keys(environ, options.state)
    if options.make_key:
        print("\n".join(_make_key(target, options.env_file, options.state)))
        return DONE
    ten_digits = str(secrets.randbelow(9 * 10**9) + 10**9)  # without a zero at the beginning
    fresh = Fresh(time.time(), secrets.token_hex(6), ten_digits)
    sample = chosen_sample(target, options.event, keys, fresh)
    request = signed_sample(target, sample, keys, fresh, options.what, options.variant)
    answer = _posted(request, target.url, is_broken=bool(options.what))
    return _print_result(options, target, sample, answer, fresh.now)


def _posted(request: Request, url: str, *, is_broken: bool) -> Response | NoResponse:
    """Send the request until it is confirmed. A broken one is sent once, because it must be rejected."""

    def post() -> Response | NoResponse:
        return posting.post_request(request, url, TIMEOUT_SECONDS)

    if is_broken:
        return post()
    return posting.send_until_confirmed(post, lambda answer: read_outcome(answer, TIMEOUT_SECONDS))


def _make_key(target: TriggerTarget, env_file: Path, state: Path) -> list[str]:
    """Generate a key pair for the source. Raises as make_key, and ValueError if its provider does not sign with one."""
    auth = next((each for each in target.source.auth if each.secret and signing.is_asymmetric(each)), None)
    if auth is None:
        raise ValueError(f"{target.entry.name} does not sign with a key pair that can be generated here")
    return make_key(auth, env_file, state)


def make_key(auth: auth_scheme.AuthScheme, env_file: Path, state: Path) -> list[str]:
    """Generate a key pair and return lines with its locations. The public key becomes the newest value of the secret.

    `auth` verifies with a public key. Raises OSError, DotenvFault and BackendError.
    """
    pair = signing.generate_key_pair(auth)
    earlier_values = dotenv.read_dotenv(env_file).get(variable_name(auth.secret), "").strip("\n")
    folder = read_settings(os.environ).secrets_folder
    today = datetime.datetime.now(datetime.UTC).date()
    backend = DotenvBackend(env_file, os.environ, folder, today)
    newest_first = "\n".join(filter(None, (pair.public, earlier_values)))
    lines = backend.write(auth.secret, newest_first, forget=False)
    path = signing.store_private_key(state, auth.secret, pair)
    return [f"public key: {line}" for line in lines] + [f"private key: stored in {path}"]


# The source


def trigger_target(provider: str, options: argparse.Namespace, environ: Mapping[str, str]) -> TriggerTarget:
    """Return the source to which the sample is sent. Raises ValueError, ConfigFaults and DotenvFault."""
    entry = load_catalogue()[provider]
    found = configured(options)
    sources = compiled_sources(found.slices["receive"])
    name = _source_name(provider, options, found, sources)
    settings = sources.get(name)
    whole = ready_source(provider, entry) if settings is None else settings
    url = options.to or f"http://localhost:{local_ports(options.state, environ).receive}/{quote(name)}"
    if not urlsplit(url).path.strip("/"):
        url = f"{url.rstrip('/')}/{quote(name)}"
    [source] = read_sources({"sources": {name: whole}}).values()
    return TriggerTarget(provider, entry, source, whole, url, is_configured=settings is not None)


def _source_name(provider: str, options: argparse.Namespace, found: Configured, sources: Mapping[str, Json]) -> str:
    if options.source is not None:
        if options.source not in sources:
            raise ValueError(f"there is no source {options.source!r}{did_you_mean(options.source, sources)}")
        return str(options.source)
    if names := sources_of(provider, found.path, found.environ):
        return names[0]
    return catalogue_pages.source_name_of(provider)


def sources_of(provider: str, path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Return the names of the sources with this provider."""
    sources = mapping_at(compiler.read_config(path, environ).document, "sources")
    return [str(name) for name, settings in sources.items() if value_at(settings, "provider") == provider]


def ready_source(provider: str, entry: ProviderEntry) -> JsonObject:
    """Return the source that `hookchain providers NAME` prints, for a receiver that is configured elsewhere."""
    secret = catalogue_pages.secret_name_of(provider)
    asked_for = " ".join(str(handshake.reply) for handshake in entry.handshakes)
    params: dict[str, str | list[str]] = {
        name: secret
        for name, param in entry.params.items()
        if param.required or param.secret or f"param.{name}" in asked_for
    }
    proof = {"secret": secret} if entry.auth else {"auth": {"scheme": "path", "secret": secret}}
    config = SourceConfig.model_validate({"provider": provider, "params": params, **proof})
    auth: list[Json] = [each.model_dump(exclude_none=True) for each in config.auth]
    part = provider_part(config, load_catalogue())
    return {"auth": auth, "methods": ["POST"], "max_body_bytes": config.max_body_bytes, **part}


def _unsampled_text(source: str, state: Path, environ: Mapping[str, str]) -> str:
    url = f"http://localhost:{local_ports(state, environ).receive}/{quote(source)}"
    rule = f"the source {source!r} has no provider, and samples are of providers only"
    return f"{rule}. Send it an event of your own: hookchain send {url} --source {source} event=example"


def missing_source_text(provider: str, entry: ProviderEntry) -> str:
    lines = "\n".join(f"  {line}" for line in catalogue_pages.source_block(provider, entry))
    return f"the configuration has no source for {entry.name}. Add one under `sources`:\n{lines}"


# The sample and its signature


def chosen_sample(target: TriggerTarget, event: str | None, keys: Keys, fresh: Fresh) -> Sample:
    """Return the sample of that event or handshake, or the provider's first one. Raises ValueError."""
    names = sample_names(target.provider)
    chosen = event or next(iter(names), "")
    handshakes = {handshake.name: handshake for handshake in target.entry.handshakes}
    if chosen in names or chosen not in handshakes:
        return load_sample(target.provider, chosen, fresh)
    handshake = handshakes[chosen]
    return handshake_sample(handshake, _checks(target.settings, handshake, keys), fresh)


def _checks(settings: JsonObject, handshake: Handshake, keys: Keys) -> dict[str, str]:
    found = objects_at(settings, "handshakes")
    checks = next((objects_at(one, "check") for one in found if one["name"] == handshake.name), [])
    return {str(check["at"]): send_options.read_secret(str(check["secret"]), keys.environ) for check in checks}


def signed_sample(
    target: TriggerTarget,
    sample: Sample,
    keys: Keys,
    fresh: Fresh,
    what: signing.Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request to send. Raises ValueError, CannotSign, and Temporary for a secret that is no key."""
    request = posting.aim_request(sample.request, target.url)
    is_unsigned = any(one.name == sample.event and not one.signed for one in target.entry.handshakes)
    if is_unsigned and not any(auth.is_in_head for auth in target.source.auth):
        return request
    moment = Moment(fresh.now, f"msg_{fresh.hex_digits}")
    return signed_request(request, target.source.auth, target.signed_url, keys, moment, what, variant)


@dataclass(frozen=True, slots=True)
class Moment:
    """The values that a signature may cover besides the request: Unix seconds, and the sender's id of the event."""

    now: float
    delivery_id: str


def signed_request(
    request: Request,
    schemes: Sequence[auth_scheme.AuthScheme],
    url_of: Callable[[Request], str],
    keys: Keys,
    moment: Moment,
    what: signing.Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request, signed by the likeliest of the schemes that can sign it. Raises as signed_sample does."""
    fault: Exception = ValueError(_missing_variant(schemes, variant))
    for auth in _likeliest_first(schemes, request):
        if variant in {None, auth.variant}:
            try:
                return _signed_by(auth, url_of, request, keys, moment, what)
            except (CannotSign, ValueError, errors.HookchainError) as error:
                fault = error
    raise fault


def _missing_variant(schemes: Sequence[auth_scheme.AuthScheme], variant: str | None) -> str:
    if variant is None:
        return "the source has no auth scheme"
    there = ", ".join(filter(None, (auth.variant for auth in schemes)))
    return f"the source has no variant {variant!r}; it has {there or 'none with a name'}"


def _likeliest_first(schemes: Sequence[auth_scheme.AuthScheme], request: Request) -> list[auth_scheme.AuthScheme]:
    """Return the schemes in the order to try: first those whose condition the request meets, and of these first one
    that signs each item of a body which has such items."""
    fields = locations.RequestFields(request)
    return sorted(
        schemes,
        key=lambda auth: (
            not fields.meets(auth.when),
            not (auth.items_path and locations.values_at(auth.items_path, fields.data)),
        ),
    )


def _signed_by(
    auth: auth_scheme.AuthScheme,
    url_of: Callable[[Request], str],
    request: Request,
    keys: Keys,
    moment: Moment,
    what: signing.Break | None,
) -> Request:
    if what and (reason := signing.unbreakable_reason(what, auth)):
        raise ValueError(reason)
    if what == "signature" and auth.scheme in signing.BY_CERTIFICATE:
        return _forged(request)
    if what == "signature" and signing.is_asymmetric(auth):
        return signing.sign_request(
            request,
            signing.Signer(auth, signing.generate_key_pair(auth).private, url_of, moment.now, moment.delivery_id),
        )
    request = _with_scheme_headers(auth, request)
    signer = signing.Signer(auth, keys.key(auth), url_of, moment.now, moment.delivery_id)
    right = signing.sign_request(request, signer)
    if not signing.is_asymmetric(auth):
        auth_scheme.verify(right, auth, [signer.key] if signer.key else [], {}, moment.now, url_of(right))
    if what == "signature":
        return signing.sign_request(request, replace(signer, key=_wrong_key(signer)))
    if what == "clock":
        return signing.sign_request(request, signing.broken_signer(what, signer))
    return signing.broken_request(what, auth, right)


def _with_scheme_headers(auth: auth_scheme.AuthScheme, request: Request) -> Request:
    """Add the headers that say which of its schemes the provider uses."""
    for place, wanted in auth.when:
        if place.kind == "header" and isinstance(wanted, str):
            request = content_signing.with_text(request, place, wanted)
    return request


def _wrong_key(signer: signing.Signer) -> str:
    """Return a secret of the same shape, so that only the signature is wrong."""
    if isinstance(signer.auth, signature_scheme.HmacScheme) and signer.auth.key_encoding == "hex":
        return WRONG_KEY.hex()
    prefix = "whsec_" if signer.key.startswith("whsec_") else ""
    return prefix + base64.b64encode(WRONG_KEY).decode()


def _forged(request: Request) -> Request:
    """Add the signature headers of PayPal and Amazon SNS, with values that nobody signed."""
    forged = {
        "paypal-transmission-id": "forged",
        "paypal-transmission-sig": "Zm9yZ2Vk",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/forged",
    }
    for name, value in forged.items():
        request = content_signing.with_header(request, name, value)
    return request


# The result


def _print_result(
    options: argparse.Namespace, target: TriggerTarget, sample: Sample, answer: Response | NoResponse, at: float
) -> int:
    outcome = read_outcome(answer, TIMEOUT_SECONDS)
    rejected = outcome.status is not None and 400 <= outcome.status < 500
    is_right = rejected if options.what else outcome.ok
    if options.json:
        fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "message")}
        print(to_json({"provider": target.provider, "event": sample.event, "url": target.url, **fields}))
        return DONE if is_right else NOT_DONE
    broken = f", {options.what} broken" if options.what else ""
    print(f"{target.entry.name}, {sample.event}{broken}, to {printable(target.url)}")
    needs_start = options.to is None and isinstance(answer, NoResponse)
    start = f"; start `{start_command(options.state)}`" if needs_start else ""
    print(f"  {printable(_result_text(outcome, sample, answer))}{start}{_verdict(options, target, outcome, rejected)}")
    if note := send.wrong_port_note(target.url, outcome, options.state):
        print(f"  {note}")
    if not (options.to or note):  # else it was sent to another receiver
        for line in _result_lines(options, target, outcome, sample, at):
            print(f"  {printable(line)}")
    return DONE if is_right else NOT_DONE


def _result_lines(
    options: argparse.Namespace, target: TriggerTarget, outcome: Outcome, sample: Sample, at: float
) -> list[str]:
    sent = SentEvent(target.source.name, at, outcome.event_id)
    if outcome.ok:
        return [] if sample.is_handshake else _wait_for(options.state, lambda local: _events(sent, local))
    if not outcome.status:
        return []
    lines = _why_rejected(sent, options.state)
    if options.what:
        lines.append("`hookchain status` calls the source failing until its next event is accepted")
    return lines


def _result_text(outcome: Outcome, sample: Sample, answer: Response | NoResponse) -> str:
    if sample.is_handshake and outcome.ok and isinstance(answer, Response):
        return f"answered ({answer.status}): {answer.body.decode('utf-8', 'replace')[:200]}"
    return outcome.message


def _verdict(options: argparse.Namespace, target: TriggerTarget, outcome: Outcome, rejected: bool) -> str:
    if not options.what:
        return ""
    if rejected:
        return ", as expected"
    if outcome.ok:
        return "; IT SHOULD HAVE BEEN REJECTED"
    key = ": the provider's public key cannot be fetched" if catalogue_pages.uses_provider_keys(target.entry) else ""
    return f"; neither accepted nor rejected{key if outcome.status == 503 else ''}"


def _cannot_sign_text(provider: str, reason: CannotSign) -> str:
    entry = load_catalogue()[provider]
    detail = f": {entry.proven.detail}" if entry.proven.detail else ""
    lines = [
        f"hookchain trigger: a sample of {entry.name} cannot be signed here: {reason}.",
        f"Its verification was tested with {catalogue_pages.PROVEN[entry.proven.by]}{detail}.",
        f"`hookchain trigger {provider} --break signature` sends a forged request, which must be rejected.",
    ]
    if "public key" in str(reason):
        lines.append(f"`hookchain trigger {provider} --make-key` generates a key pair to test with.")
    return "\n".join(lines)


def _why_rejected(sent: SentEvent, state: Path) -> list[str]:
    """Return receive's diagnosis, or the finding of its check if it made none."""
    if running_ports(state) is None:
        command = start_command(state)
        found = f"no `{command}` runs with {state}, so another program answered"
        return [f"why: {found}. Set HOOKCHAIN_STATE and PORT_BASE as for the `{command}` that you mean"]
    return _wait_for(state, lambda local: _rejection(sent, local))


def _wait_for(state: Path, look: Callable[[State], tuple[list[str], bool]]) -> list[str]:
    """Return the lines once they are settled, or after WAIT_SECONDS; none if no `hookchain dev` runs."""
    deadline = time.monotonic() + WAIT_SECONDS
    while running_ports(state) is not None:
        try:
            with open_local_state(state) as local:
                lines, is_settled = look(local)
        except StateFault:
            return []
        if is_settled or time.monotonic() > deadline:
            return lines
        time.sleep(_POLL_SECONDS)
    return []


def _events(sent: SentEvent, local: State) -> tuple[list[str], bool]:
    if sent.event_id:
        ids = [sent.event_id]
    else:
        page = local.reader.events(journal_view.EventQuery(source=sent.source, since=sent.at, limit=MAX_EVENTS))
        ids = [event.id for event in reversed(page.events)]
    lines: list[str] = []
    is_settled = bool(ids)
    for event_id in ids:
        record = local.reader.event(event_id)
        lines += _event(event_id, local) if record else []
        is_settled &= record is not None and record.summary.status in _SETTLED
    return lines, is_settled


def _event(event_id: str, local: State) -> Iterator[str]:
    record = local.reader.event(event_id)
    if record is None:
        return
    yield f"{record.summary.type} {event_id[:8]}: {record.summary.status}"
    yield from (f"  route {each.route!r}: {each.outcome}: {each.reason}" for each in record.routes)
    if record.other_routes:
        others = count_of(record.other_routes, "other route")
        yield f"  {others} did not match: `hookchain events show {event_id[:8]}` prints why"
    yield from (f"  to {row.destination}: {_state_text(row)}" for row in local.deliveries(event_id))


def _state_text(row: ledger.LedgerRow) -> str:
    if row.group and row.retry_at is not None:
        return f"waits until {times.rfc3339(row.retry_at)[:19]}Z: {row.reason}"
    reason = f": {row.reason}" if row.reason and row.state != "delivered" else ""
    return f"{row.state}{reason}"


def why_of(detail: str) -> str:
    """Return the diagnosis in a rejection's detail, else the finding of its check."""
    finding, _, why = detail.partition(local_requests.HEADERS)[0].partition(_WHY)
    return why or finding


def _rejection(sent: SentEvent, local: State) -> tuple[list[str], bool]:
    for request in local.reader.rejected(MAX_EVENTS):
        if request.source == sent.source and request.at >= sent.at:
            return [f"why: {why_of(request.detail)}"], True
    return [], False
