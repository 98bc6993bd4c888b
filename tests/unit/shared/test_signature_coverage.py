"""The part of a request that a signature covers, as each scheme of the catalogue declares it."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.config.sections.catalogue import load_catalogue
from functions.receive.source import Source
from shared.http import Request
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import RequestFields, parse_choices

SCHEMES: Final = {
    f"{key}-{offered.scheme.variant}": read_scheme(offered.scheme.model_dump(exclude_none=True))
    for key, entry in load_catalogue().items()
    for offered in entry.auth
}
SIGNING: Final = {name: scheme for name, scheme in SCHEMES.items() if scheme.signs_content}


@st.composite
def requests(draw: st.DrawFn, scheme: AuthScheme) -> Request:
    named = [each.name for each in scheme.locations if each.kind == "header"]
    name = st.sampled_from([*named, "svix-id", "svix-signature", "webhook-id", "x-contentful-signed-headers", "x"])
    headers = draw(st.lists(st.tuples(name, st.text(max_size=9)), max_size=4))
    return Request("POST", "/hook", draw(st.text(max_size=9)), tuple(headers), draw(st.binary(max_size=40)))


@pytest.mark.parametrize("name", sorted(SIGNING))
@settings(max_examples=20)
@given(data=st.data())
def test_the_coverage_of_a_scheme_varies_only_where_it_says_so(name: str, data: st.DataObject) -> None:
    scheme = SIGNING[name]
    request = data.draw(requests(scheme))
    if not scheme.coverage_varies:
        assert scheme.coverage("", request) == scheme.coverage("", Request("POST", "/"))


@pytest.mark.parametrize("name", sorted(name for name, scheme in SIGNING.items() if scheme.signs_body_alone))
@settings(max_examples=20)
@given(data=st.data())
def test_a_scheme_that_signs_the_body_alone_is_named_by_the_bodys_own_hash(name: str, data: st.DataObject) -> None:
    request = data.draw(requests(SIGNING[name]))
    assert SIGNING[name].signed_content(RequestFields(request)) == request.body


def test_a_source_knows_which_leading_locations_of_its_id_are_signed() -> None:
    signed = read_scheme({"scheme": "hmac", "header": "X-Sig", "secret": "s", "content": "{header.X-Id}{body}"})
    choices = parse_choices(["header.X-Id", "data.id", "header.X-Other", "data.late"])
    facts = Source("shop", (signed,), id=choices).signed_facts[signed]
    assert facts.id == choices[:2]
    assert facts.outside_items == choices[:1]
    assert facts.within_item == (choices[1], choices[3])
    assert not facts.is_complete
    assert Source("shop", (signed,), id=choices[:2]).signed_facts[signed].is_complete


def test_a_source_splits_its_schemes_by_where_their_credentials_are() -> None:
    bearer = read_scheme({"scheme": "bearer", "secret": "s"})
    token = read_scheme({"scheme": "token", "at": "data.token", "secret": "s"})
    source = Source("shop", (token, bearer))
    assert (source.head_schemes, source.body_schemes) == ((bearer,), (token,))
