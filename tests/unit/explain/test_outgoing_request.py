import importlib
import pkgutil

import pytest

import functions.notify.destinations as kinds
from deploy.explain.outgoing_request import MADE, masked_request, request_lines
from functions.notify.destination import kind_module
from functions.notify.http_kind import compile_settings, example_delivery
from shared.secrets import secret_names

MODULES = {name: importlib.import_module(kind_module(name)) for _, name, _ in pkgutil.iter_modules(kinds.__path__)}
HTTP_KINDS = [name for name, module in MODULES.items() if hasattr(module, "request")]


@pytest.mark.parametrize("name", HTTP_KINDS)
def test_the_request_of_every_kind_is_shown_with_the_names_of_its_secrets(name: str) -> None:
    kind = MODULES[name]
    for example in kind.EXAMPLES:
        written = compile_settings(kind, example.settings)
        request = masked_request(kind, example_delivery(example.data), written)
        text = "\n".join(request_lines(request))
        assert request.method == example.method
        assert "whsec_" not in text
        assert "secret.example" not in text
        shown = [f"<secret {secret}>" in text or f"%3Csecret%20{secret}%3E" in text for secret in secret_names(written)]
        assert all(shown) or MADE in text or request.auth
