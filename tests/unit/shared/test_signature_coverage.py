"""The part of a request that a signature covers, as each scheme of the catalogue declares it."""

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.config.sections.catalogue import load_catalogue
from shared.http import Request
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import RequestFields

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


@settings(max_examples=300)
@given(st.sampled_from(sorted(SIGNING)), st.data())
def test_the_coverage_of_a_scheme_varies_only_where_it_says_so(name: str, data: st.DataObject) -> None:
    scheme = SIGNING[name]
    request = data.draw(requests(scheme))
    if not scheme.coverage_varies:
        assert scheme.coverage("", request) == scheme.coverage("", Request("POST", "/"))


@settings(max_examples=300)
@given(st.sampled_from(sorted(name for name, scheme in SIGNING.items() if scheme.signs_body_alone)), st.data())
def test_a_scheme_that_signs_the_body_alone_is_named_by_the_bodys_own_hash(name: str, data: st.DataObject) -> None:
    request = data.draw(requests(SIGNING[name]))
    assert SIGNING[name].signed_content(RequestFields(request)) == request.body
