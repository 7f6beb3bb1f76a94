"""What we show to a server, from files that may be anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from federation.errors import InputError
from federation.tls import client_tls
from tests.skaha.test_certificates import Authority


def test_nobody_is_asked_for_the_passphrase_of_a_key(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "authority").certificate("ann"), tmp_path / "userkey.pem"
    locked = BestAvailableEncryption(b"secret")
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
    )
    with pytest.raises(InputError, match=r"the key in .*userkey.pem is locked with a passphrase: expected"):
        client_tls(None, certificate, key)
