"""How to connect to a server that is known by its own authorities, or wants to see a certificate of ours."""

from __future__ import annotations

import ssl
from pathlib import Path

from federation.errors import InputError


def client_tls(ca_file: Path | None, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """`ca_file`: who signs for the server (PEM); None: whom the machine knows. `certificate_file` (PEM) is
    what we show, its key in there or in `key_file`.

    Raises InputError where a file can't be used, in words that quote nothing of it. Nobody is asked for the
    passphrase of a key: a service has no terminal, and would wait for ever.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise InputError(f"{ca_file} is no file of certificates: {error.strerror}") from None
    if certificate_file is not None:
        try:
            context.load_cert_chain(certificate_file, key_file, _no_passphrase)
        except _LockedError:
            text = "is locked with a passphrase: expected a key without one, as that of a proxy certificate"
            raise InputError(f"the key in {key_file or certificate_file} {text}") from None
        except OSError as error:  # SSLError is one
            text = f"the certificate in {certificate_file} can't be used: {error.strerror}"
            raise InputError(text) from None
    return context


class _LockedError(Exception):
    pass


def _no_passphrase() -> str:
    raise _LockedError
