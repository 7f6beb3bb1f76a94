"""A certificate instead of a token: shown to a server that asks for one, renewed on the disk, expired."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.platforms import PlatformError, Unreachable
from broker.platforms.skaha import SkahaPlatform
from federation.errors import InputError
from tests.contracts.platform_support import make_platform
from tests.skaha.serving import Served, Tls, skaha

NOW, NAN = datetime.now(UTC), float("nan")


class Authority:
    """Signs certificates; `file` is its own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name(name)
        self._directory = directory
        self.file = directory / f"{name}.pem"
        made = _builder(self._name, self._name, self._key, NOW + timedelta(days=1))
        signed = made.add_extension(x509.BasicConstraints(True, None), True).sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str, until: datetime = NOW + timedelta(days=1)) -> Path:
        """A file with the certificate and its key, as CANFAR's proxies have them."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = _builder(_name(name), self._name, key, until).add_extension(address, False)
        signed = made.sign(self._key, hashes.SHA256())
        file = self._directory / f"{name}.pem"
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        file.write_bytes(
            signed.public_bytes(pem)
            + key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
        )
        return file


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=2))
        .not_valid_after(until)
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Served]:
    with skaha(
        tmp_path_factory.mktemp("skaha"), Tls(authority.certificate("server"), authority.file)
    ) as served:
        yield served


def platform_of(served: Served, authority: Authority, directory: Path, certificate: Path) -> SkahaPlatform:
    options = {
        "url": served.url,
        "certificate_file": str(certificate),
        "ca_file": str(authority.file),
        "request_seconds": 20.0,
    }
    platform = make_platform("skaha", directory, options)
    assert isinstance(platform, SkahaPlatform)
    return platform


def test_a_proxy_certificate_is_shown(secured: Served, authority: Authority, tmp_path: Path) -> None:
    platform_of(secured, authority, tmp_path, authority.certificate("ann")).learn()
    assert "authorization" not in secured.app.requests[-1][2]


def test_one_that_another_signed_is_not_taken(secured: Served, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").certificate("mallory")
    with pytest.raises(Unreachable, match=f"Skaha at {secured.url} can't be asked: "):
        platform_of(secured, authority, tmp_path, other).learn()


def test_a_renewed_one_counts_from_its_first_moment(
    secured: Served, authority: Authority, tmp_path: Path
) -> None:
    file = authority.certificate("old", until=NOW - timedelta(days=1))
    platform = platform_of(secured, authority, tmp_path, file)
    with pytest.raises(PlatformError, match=r"is not asked: the certificate expired at \d{4}-"):
        platform.learn()
    file.write_bytes(authority.certificate("new").read_bytes())
    platform.learn()


def test_what_is_no_certificate_is_said_to_be_none(
    secured: Served, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "no.pem"
    for text in (None, "SECRET WORDS"):
        if text is not None:
            file.write_text(text)
        with pytest.raises(PlatformError, match=r"the certificate in .*no.pem can't be used") as raised:
            platform_of(secured, authority, tmp_path, file).learn()
        assert "SECRET" not in str(raised.value)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "option 'url': expected the URL of a Skaha"),
    ({"url": "ftp://x/"}, "option 'url': expected the URL of a Skaha"),
    ({"url": "https://x/v1"}, "'token_file' or 'certificate_file': expected one of them, got none"),
    ({"url": "https://x/v1", "token_file": "a", "certificate_file": "b"}, "expected one of them, got both"),
    ({"url": "http://127.0.0.1/v1", "certificate_file": "b"}, "option 'url': expected https"),
    # a token is for one server, and for nobody on the way
    ({"url": "http://x/v1", "token_file": "a"}, "https://ws-uv.canfar.net/skaha/v1 (http:// is for a server"),
    ({"url": "https://ann:secret@x/v1", "token_file": "a"}, "expected the URL of a Skaha with its version"),
    ({"url": "https://x/v1", "token_file": "a", "staging_there": "/arc"}, "expected 'staging' with it"),
    ({"url": "https://x/v1", "token_file": "a", "staging": "/a b"}, "option 'staging': expected an absolute"),
    (
        {"url": "https://x/v1", "token_file": "a", "staging": "/a/../b"},
        "option 'staging': expected an absolute",
    ),
    (
        {"url": "https://x/v1", "token_file": "a", "links_below": [1]},
        "option 'links_below': expected absolute",
    ),
    (
        {"url": "https://x/v1", "token_file": "a", "request_seconds": 0.0},
        "'request_seconds': expected a positive",
    ),
    ({"url": "https://x/v1", "token_file": "a", "poll_seconds": -1.0}, "'poll_seconds': expected a positive"),
    ({"url": "https://x/v1", "token_file": "a", "log_seconds": NAN}, "'log_seconds': expected a positive"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[words for _, words in WRONG])
def test_options_that_can_t_work_end_the_start(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="site 'here': option ") as raised:
        make_platform("skaha", tmp_path, options)
    assert words in str(raised.value)
