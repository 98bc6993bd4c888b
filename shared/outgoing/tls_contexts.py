"""The TLS contexts of requests: the authorities of the server's certificate, and the certificate that we show."""

import ssl
from collections import OrderedDict
from typing import Final

from shared import errors, fetch

MAX_CONTEXTS: Final = 100
"""The number of TLS contexts that are kept."""


class TlsContexts:
    """The TLS contexts, one for each client certificate and set of authorities.

    `default` is the context of requests with neither of them.
    """

    def __init__(self, default: ssl.SSLContext | None = None) -> None:
        self._default = default
        self._contexts: OrderedDict[fetch.Tls, ssl.SSLContext] = OrderedDict()

    def context(self, tls: fetch.Tls | None) -> ssl.SSLContext:
        """Return the context for these certificates. Raises Temporary (`secret_unusable`) if one of them is not PEM,
        because it may be corrected in the secret store."""
        if tls is None:
            if self._default is None:
                self._default = ssl.create_default_context()  # reads the system's authorities: some 20 ms, once
            return self._default
        if tls not in self._contexts:
            self._contexts[tls] = _context(tls)
            if len(self._contexts) > MAX_CONTEXTS:
                self._contexts.popitem(last=False)
        return self._contexts[tls]


def _context(tls: fetch.Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=tls.authorities or None)
    except (ssl.SSLError, ValueError) as error:
        raise errors.Temporary("secret_unusable", "the authorities of the server's certificate are not PEM") from error
    if tls.authorities:  # a private authority's certificates often lack what RFC 5280 asks for, as its key's id
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.certificate:
        return context
    # Imported here, because it takes 3 ms, and few processes need it.
    import tempfile

    # OpenSSL reads them from a file only. No other user can read this file, and it is deleted at once.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="hookchain-") as file:
        file.write(f"{tls.key.rstrip()}\n{tls.certificate}")
        file.flush()
        try:
            # If the key has a passphrase, OpenSSL would ask for it at the terminal without this argument.
            context.load_cert_chain(file.name, password="")
        except (ssl.SSLError, ValueError) as error:
            detail = "the client's certificate and its key are not PEM, do not belong together, or have a passphrase"
            raise errors.Temporary("secret_unusable", detail) from error
    return context
